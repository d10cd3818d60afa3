"""Examples to train on: arrays, their batches and order, and where they come from."""
