"""Find the digit on a photograph or drawing, and place it as in MNIST."""
