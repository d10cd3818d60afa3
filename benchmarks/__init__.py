"""Benchmarks: our training against stock Keras and hand-written loops, on each backend."""
