"""TLS against a server that insists on it, and what a client is told when it doesn't come about.

That both sessions take it, the copying one too, is what test_roles.py does here with rows. Through
a `front` the same server has other certificates, wants none of ours, or has no TLS.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import certificates
from tests.support.cli import Cli
from tests.support.front import front
from tests.support.roles import seen_as
from tests.support.secured import Secured
from tests.support.told import told, told_as_json

LONGEST = 20  # seconds, with the start of the process; a machine under load takes its time
NO_FILES = {"tls_ca": "", "tls_cert": "", "tls_key": ""}


@contextmanager
def behind(secured: Secured, certificate: Path | None) -> Iterator[str]:
    """The port at which the server shows another certificate, or has no TLS."""
    host = secured.address.hosts[0]
    with front(host, (host, secured.address.port, secured.context), certificate) as port:
        yield str(port)


def test_a_key_in_the_file_of_the_certificate(cli: Cli, secured: Secured) -> None:
    both = cli.folder / "both.pem"
    both.write_bytes(secured.pki.cert.read_bytes() + secured.pki.key.read_bytes())
    assert seen_as(cli, tls_cert="both.pem", tls_key="")("status").code == 0


def test_a_server_that_wants_no_certificate_of_ours(cli: Cli, secured: Secured) -> None:
    host = secured.address.hosts[0]
    with behind(secured, secured.pki.of_server(host)) as port:
        result = seen_as(cli, tls_cert="", tls_key="", port=port)("status")
        assert result.code == 0, result
        err = told(seen_as(cli, **NO_FILES, port=port)("status"), 2, "wants TLS", "--tls-ca FILE")
    assert len(err.splitlines()) == 4  # nothing of the driver's


@pytest.mark.parametrize("tls", ["", "true"])
def test_a_ca_that_has_not_signed(cli: Cli, tls: str, tmp_path: Path) -> None:
    other = "" if tls else str(certificates.make(tmp_path / "other").ca)
    result = seen_as(cli, tls=tls, tls_ca=other)("status")
    told(result, 2, "is not trusted", "--tls-ca FILE", "Nothing was changed.")


def test_no_certificate_of_ours_and_a_strangers(cli: Cli, tmp_path: Path) -> None:
    words = ("refuses our certificate, or that there is none", "--tls-cert FILE --tls-key FILE")
    told(seen_as(cli, tls_cert="", tls_key="")("status"), 2, *words)
    stranger = certificates.make(tmp_path / "stranger")
    given = seen_as(cli, tls_cert=str(stranger.cert), tls_key=str(stranger.key))
    # Cassandra says no more than that it has an error.
    told_as_json(given("status", "--json"), 10, "no TLS with", "trust the certificate")


def test_without_tls(cli: Cli) -> None:
    told(seen_as(cli, **NO_FILES)("status"), 2, "wants TLS", "--tls,", "--tls-ca FILE")


def test_a_server_without_tls(cli: Cli, secured: Secured) -> None:
    with behind(secured, None) as port:
        told(seen_as(cli, port=port)("status"), 2, "does not speak TLS", "--port PORT")
        assert seen_as(cli, **NO_FILES, port=port)("status").code == 0


def test_a_certificate_that_has_expired(cli: Cli, secured: Secured) -> None:
    with behind(secured, secured.pki.of_server(secured.address.hosts[0], days=-1)) as port:
        told(seen_as(cli, port=port)("status"), 10, "is not valid now", "expired", "renewed")


def test_a_certificate_of_another_host(cli: Cli, secured: Secured) -> None:
    with behind(secured, secured.pki.of_server("db.example", "127.0.0.9")) as port:
        elsewhere = seen_as(cli, port=port)
        told(elsewhere("status"), 2, "is another host's", "--no-tls-hostname")
        assert elsewhere("status", "--no-tls-hostname").code == 0
        assert seen_as(elsewhere, tls_hostname="false")("status").code == 0
        unsigned = seen_as(elsewhere, tls_ca="", tls="true")
        told(unsigned("status", "--no-tls-hostname"), 2, "is not trusted")


@pytest.mark.thorough
def test_a_server_that_says_nothing(cli: Cli, secured: Secured) -> None:
    host = secured.address.hosts[0]
    with socket.create_server((host, 0)) as silent:
        started = time.monotonic()
        result = seen_as(cli, port=str(silent.getsockname()[1]))("status")
    told(result, 10, "no answer in time")
    assert time.monotonic() - started < LONGEST


def test_a_file_that_cannot_be_used(cli: Cli) -> None:
    """More of them are in tests/unit/test_tls.py."""
    told(cli("status", "--tls-ca", "nowhere.pem"), 2, "--tls-ca nowhere.pem: No such file")
    told_as_json(seen_as(cli, tls_cert="")("status", "--json"), 2, "--tls-key", "--tls-cert FILE")
    told(seen_as(cli, tls="false")("status"), 2, "tls = false, and --tls-ca")
