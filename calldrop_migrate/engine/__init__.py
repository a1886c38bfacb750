"""Does the work through `ports.py`; knows neither the driver nor the terminal.

On the way of `up`, from the command to the server:
    jobs          what can be run under the lease
    planning      the plan, from the schema, the history and the rows
    scanning      what the tables of a plan hold, read once
    review        a plan with what a person has to know before it runs
    preflight     what the server says to what the plan depends on
    runner        takes the lease, plans again, passes the revisions
    passage       one revision: its operations, and the rows that say so
    executing     one operation, and what came of its statement
    copying       Copy and Verify over ranges, with checkpoints
    balance       the last look before rows are destroyed
    ports         what is asked of a database; cluster/session.py answers

What is kept of runs:
    journal       the lease and the events, one partition for each keyspace
    lease         how the lease stands, as values
    history       the table `database_migrations`
    keyspace      the keyspace and the tool's own tables, made before revision 1
    shadows       the second copies that rebuilds keep

Rows:
    misfits       rows that another shape can't hold
    selecting     which rows of a table an operation is about
    ranging       work over ranges, each of which may be repeated
    spreading     ranges that other processes work on
    pools         these processes
    pacing        no more rows a second than are allowed
    counting      rows and bytes, counted without a query that is too large
    figures       figures of the calls, for `seed --report`
    seeding       the rows of a seed module
    estimating    how long the rows of a plan take

What was left by others:
    resuming      an attempt that an earlier run began
    drift         the live schema against the recorded one
    sameness      that tables are the ones that they were, by their ids
    settling      an unknown outcome, read until it is known
    permissions   fences and grants around a table that is made anew
    upkeep        the plans of abort, clean and repair
    adopting      the history of cassandra-migrate, taken over

What is told:
    reports       status, verify, the log
    underway      how far a run is, for whoever looks on
    news          news of a run while it works
    wording       the words for what a revision did
    course        a run's clock, its ear and its mouth, and the points for hooks
    place         where an operation stands
"""
