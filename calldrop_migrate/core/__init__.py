"""Pure code: values in, values out. No I/O, no clock, no driver.

CQL as text:
    cql           tokens with their places, and the statements of a file
    cursor        a cursor over the tokens of one statement
    ddl           the effect of a statement on the schema
    ddl_parts     parts of such statements: types, options, indexes, and their end
    rewriting     a CREATE with another name, column, mask or id
    secrets       passwords in statements, which are never shown or kept

Schemas:
    schema        a keyspace as values: columns, tables, views
    options       options of tables and views, compared for all servers
    masks         masks of columns
    described     what Cassandra 6.0 tells in DESCRIBE alone
    effects       the schema behind a statement
    declared      a table as CQL, and whether a declaration holds
    comparing     the differences of two schemas in words
    restoring     the way from a schema that has drifted back to the recorded one

Migration files:
    files         a folder of files as revisions
    folder        the same, checked by going up and back through it
    directives    `-- migrate:up` and the like
    rules         what a statement of a file may not say
    opposites     whether a way down leads back to where the way up began
    foreign       migrations of cassandra-migrate as files of ours
    seed_template the seed module that `new --seed` writes

Plans:
    operations    Run, Copy, Verify, Await: all that changes a database
    plan          attempts of operations, and what they were planned with
    draft         operations in the making
    expansion     one revision in one direction as operations
    rebuilding    a table into another shape, with its rows
    carrying      how a row of one table becomes a row of another
    widening      CASTs that lose nothing
    keys          the bytes of a key: which are the same, which are refused
    lives         rows by what is known of their end
    fencing       who can write to a table
    undoing       the way out of an attempt that destroyed nothing yet
    refusals      what a server would refuse, as far as the schema tells
    readding      columns that are added again
    demands       what a plan asks of a server
    preflight     what this server would refuse of that
    names         the names of the tool's own tables
    ranges        the grid over the token ring
"""
