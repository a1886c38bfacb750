"""The edge to the database: the only importer of `cassandra`."""
