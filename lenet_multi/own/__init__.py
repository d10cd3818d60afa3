"""A user's own model becomes a `Task`: a builder in a file or a module, or a saved model.

`find` finds the task of a configuration, `place` the user's function; `builder` calls it, and
`task` makes the task. `data` reads the user's data, and `drawn` makes data that fit a model.
A user's code runs only in processes that started Keras on a backend.
"""
