"""The run folder: what a run records, how it is written, read and compared."""
