"""Tests with TLS, passwords and grants. A package: their server ends behind its last test."""
