"""Tests on three nodes. A package: the nodes end behind its last test."""
