"""Schema migrations for ScyllaDB and Apache Cassandra."""
