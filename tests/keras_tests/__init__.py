"""Keras's own tests of `fit`, with our training in the place of Keras's: `nox -s keras-tests`.

`in_place.py` is a plugin of pytest: it lets each `fit` of a test train in a block of `fast`.
`__main__.py` runs the tests of the installed Keras on each backend, without the plugin and with it.
"""

# Variables that tell the plugin where to write what it saw, and whether to replace `fit`.
REPORT, IN_PLACE = "KERAS_TESTS_REPORT", "KERAS_TESTS_IN_PLACE"

FAST = "a fast way"
