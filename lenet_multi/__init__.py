"""One LeNet, trained and evaluated on MNIST by every Keras backend from the same bits.

Keras fixes its backend when it is imported, so two backends never meet in one
process. They meet on disk: every run writes a run folder (`runs`), and a reader
that does not import Keras compares run folders (`compare`).

Importing this package imports neither Keras nor a backend.
"""

__version__ = "0.1.0"
