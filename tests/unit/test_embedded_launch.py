"""What a person is told of a server that ended."""

from calldrop_migrate.embedded.launch import relevant


def test_from_the_first_error_on_without_stack_frames() -> None:
    log = (
        "INFO  starting\n" * 30
        + "Exception (ConfigurationException) encountered during startup: Invalid yaml\n"
        + "\tat org.apache.cassandra\n" * 40
        + "\n"
        + "ERROR [main] CassandraDaemon - Exception encountered during startup\n"
        + "x" * 1000
        + "\n"
    )
    lines = relevant(log)
    assert lines[0].endswith("Invalid yaml")
    assert lines[1].startswith("ERROR")
    assert len(lines) == 3
    assert len(lines[2]) == 300


def test_the_end_when_nothing_is_called_an_error() -> None:
    assert relevant("".join(f"line {n}\n" for n in range(40)))[-1] == "line 39"
    assert len(relevant("".join(f"line {n}\n" for n in range(40)))) == 15
    assert relevant("Killed\n") == ["Killed"]
    assert relevant("") == []
