"""Image sets that other libraries read and download: one file for each library.

Each file is named after a prefix of `--data`. Its function `read` takes the rest of `--data` and
returns images and labels by part (see `data.found`), and the names of the classes in the order of
the labels, or None. `reader` calls it in a second process, where the library may import a backend,
print and fill memory. Meanwhile the first process starts Keras on the backend of its choice.
"""

LIBRARIES = ("keras", "tfds", "hf")
