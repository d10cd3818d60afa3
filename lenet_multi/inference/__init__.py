"""Use of a trained model: open it, evaluate it, predict with it, export it."""
