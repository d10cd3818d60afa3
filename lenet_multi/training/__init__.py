"""The training loop: how a model is set up, fitted, watched, stopped and resumed."""
