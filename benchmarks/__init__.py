"""What is timed: our training loop against stock Keras, on each backend."""
