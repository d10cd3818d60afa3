"""The training loop: set up, fit, watch, stop and resume a model."""
