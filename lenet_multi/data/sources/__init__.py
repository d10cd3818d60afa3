"""Image sets that other libraries read and download: one file for each library.

Each file is named after the prefix of `--data`, and has a function `read` that takes what follows
the prefix and returns training images and labels, test images and labels. It is called in a process
of its own (`reader`): there a library may import a backend, print what it likes and fill its
memory, while this process starts Keras on the backend of its choice.
"""

LIBRARIES = ("keras", "tfds", "hf")
