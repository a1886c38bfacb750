"""The edge to the database: the only importer of `cassandra`.

The connection:
    session       one connection to one keyspace: implements engine/ports.py
    connecting    why no connection came to be
    tls           the TLS context
    balancing     which node is asked next
    failures      the driver's exceptions: applied, refused, or unknown
    platform      which server this is

What a server tells:
    catalog       schemas, sizes, the progress of views
    access        roles and permissions
    survey        settings, as far as a plan depends on them
    sampling      about how large a table is
    probing       whether a table has any row
    hidden        what is hidden of a column that is there again

Rows in bulk, as the server's bytes:
    bulk          implements the port of that name
    wire          the session, and the pages that are read
    pages         which rows of a page are meant
    writing       the batches that are written
    layout        where things stand in the rows that a copy reads
    cells         the cells of one key, and the statements that write them
    elements      the elements of a collection or user type
    encoding      rows of Python values as bytes
    raw           values and rows as bytes, and the CQL that names them
    keying        the key that a row has in the target
    lives         rows that end, counted

Rows that are compared:
    compare       what one table holds is in another
    summing       what of a row is in a sum
    lookup        one row of the target by its key
    strays        what is in the target alone
"""
