"""The run folder: what a run records, how it is written whole, read again and compared."""
