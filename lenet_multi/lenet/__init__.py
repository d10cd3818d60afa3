"""The default guest: two networks for images of digits, their recipes, data and oracle."""
