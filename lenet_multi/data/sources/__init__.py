"""Image sets that other libraries read and download: one file for each library.

Each file is named after a prefix of `--data`. Its function `read` takes the rest of `--data` and
returns training images and labels, test images and labels. `reader` calls it in a second process:
there the library may import a backend, print, and fill memory; the first starts Keras meanwhile.
"""

LIBRARIES = ("keras", "tfds", "hf")
