"""Typer commands, one call each; the only place that prints."""
