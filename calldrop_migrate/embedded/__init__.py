"""A real Apache Cassandra on this machine, for development and tests; nothing but cli imports it.

    server.py     the public face: find, start, stop, status, log_tail
    state.py      the home directory, the record of what runs there, the lock
    processes.py  starting detached processes, and knowing them again by pid
    ports.py      who listens where, and whether it answers CQL
    tuning.py     room and settings of each node
    node.py       what one node is started with: cassandra.yaml and the JVM's arguments
    releases.py   the releases that can be started, with the pinned lists of their jars
    jars.py       Cassandra's jars, downloaded once
    java.py       a Java that Cassandra runs on
    launch.py     all of these together: from a layout to a server that answers

Nothing here imports the driver. `find` needs `state` and `processes` only, and those stay cheap to
import: it runs at the start of every command.
"""
