"""The process and its children: installed frameworks, the start of Keras, signals."""
