"""A deterministic cluster behind engine/ports.py: no server, no sleeping, one seed makes one run.

    cells.py       cells, rows, partitions: the newest write wins
    statements.py  the CQL about rows that the engine sends, parsed
    storage.py     the rows of one table, read and written by those statements
    views.py       the rows of a view
    allowed.py     what a schema lets a statement change
    cluster.py     keyspaces, tables with ids, nodes that lag, the clock
    faults.py      what happens to a statement on its way: killed, lost, refused, late, held
    carried.py     rows of a copy: what of a source row the target gets, and whether it holds it
    bulk.py        the port Bulk: copies, comparisons and moves of rows
    database.py    the port Database: one runner's connection to the cluster
    runs.py        one command as the command line would run it, and what came of it
    ids.py         ids that the engine makes up, from a counter of the cluster
    remembered.py  answers of pure functions of core, kept between runs
    together.py    two runners, of which one moves at a time
    lines.py       a schedule as one line of text
    exploring.py   schedules carried out from saved states
    holding.py     what must hold behind a run
    judging.py     a whole schedule, judged
    families.py    all schedules of one kind
    commands.py    commands as values, and those that a message names
    model.py       what may be expected of calls: where each is, with which cells
    observed.py    calls and schema as they are, and the schema that files declare
    site.py        one command after another, hindered or not, judged against the model
    applications.py  writes, on the cluster and in the model

It models regular cells, row markers and keys. Statics and collections that aren't frozen are left
to the real server: a table that has them raises `Unmodelled`.
"""
