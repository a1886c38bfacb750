"""Seed modules: each fills one table with made-up rows.

A seed module is one self-contained file of this folder, named after what it makes. In it are:

- `TABLE`, the table that the rows are for;
- `Options`, a frozen dataclass whose typed fields, each with a default, are what a user may change;
  values that make no sense are refused there with a ValueError;
- `rows(random, now, options)`, which yields one mapping of column name to Python value per row;
- `SPLIT`, if the rows are worth counting by a column's values: that column, and a word per value;
- `TIME`, if the table may have a TTL: the column that says when a row would have been written;
- `parts(options)`, if it makes many rows: about how many rows each of its parts has, which can be
  made independently of each other. `rows` gets a part's number as its fourth argument then, or None
  for all of them. Only a module with parts is loaded by several processes, and goes on in the
  middle after it was killed.

`rows` is pure: no clock, no input or output, no globals, so the same arguments give the same rows
in the same order. Rows of one partition come one after the other, because they are loaded in
batches of a single partition.
"""
