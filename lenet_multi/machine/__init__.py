"""The process and its children: which frameworks are here, starting Keras, signals."""
