"""Draw digits as people photograph them, and count how many each recipe reads."""
