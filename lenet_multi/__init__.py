"""Train, compare and measure a Keras model on every Keras backend, from the same bits.

A model comes as a `Task` (`task`), with its data, loss and metrics; the default is a LeNet on
MNIST. Keras fixes its backend at import, so each backend needs its own process. Each run writes
a run folder (`runs`), and `compare` reads run folders without Keras. Importing this package
imports neither Keras nor a backend.
"""

__version__ = "0.1.0"
