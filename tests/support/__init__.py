"""The helpers of all tests. A test module imports from here, and from no other test module.

To run the command:
    settings       flags, times of the lease, `full` or a sample
    pace           how patient tests are with a slow server
    places         the project's folder, the folder for servers' data
    cli            `calldrop-migrate` as a process: `Cli`, `Result`
    reaching       a command line and a client of a server, outside pytest, too
    forks          processes that begin at once
    preloaded      the process that they are forked from
    at             a process that does something to itself at an exact point of its run
    blind          the program without its eye for keys that are equal
    decoding       the program with a driver that decodes everything
    terminal       the command on a real terminal
    told           what a command said, files of migrations, waiting
    processes      the children of a process

To work with:
    fixtures       server, client, keyspace, command lines, `filled`
    servers        the server that is given, or one of this run's own
    compose        ScyllaDB by Docker Compose
    distribution   which worker runs what, and on which server
    sampling       what `make test` leaves out, and how many schedules were judged
    ring           three nodes
    secured        a server with TLS, passwords and grants
    pinning        the pinned jars of a release of Cassandra, written anew
    certificates   its CA and certificates
    roles          roles, their grants, command lines as one of them
    trigger        a trigger of Cassandra that does nothing, as a jar
    front          another face of a server: another certificate, or no TLS
    guards         Cassandra's guard rails, switched while it runs
    scylla         a Cassandra that answers as ScyllaDB does
    theirs         a project of cassandra-migrate, and its program

Rows and schemas:
    handful        five calls
    calls          calls of all kinds, and what they are at another revision
    misfits        calls that fit into one shape only
    rounds         a keyspace that goes up and down
    sections       sections of several statements about one table
    values         values of every type
    raw_values     statements and rows as bytes
    casts          the CASTs that lose nothing
    demo           the seed and the moment of the demo's calls
    schema         the schema, past the tool
    bookkeeping    the tool's own tables, past the tool

Readers that share nothing with the tool:
    cells          every cell with its write time and its end
    raw_cells      the same, its values as bytes
    asking         an independent client that asks again

Faults:
    wire           the proxy: requests that are lost, cut, held back, rewritten
    killing        runs that are killed, at a point or at a request
    held           a runner that stands still while others go on
    mapping        statements of a simulated run among the requests of a real one
    replaying      one line of a schedule on a real server

Without a server:
    contract       the simulator and a real server behind one face
    simulator/     a deterministic cluster in memory, behind the ports of the engine
    replay         one line of a schedule, made again there and on a server
    mutations      mutations of the engine, and the schedule that notices each
    mutating       one of them in a process of its own
    world          a small model of a database that runs a plan
    any_text       what holds for any text
    record         records what a server's own tables answer
"""
