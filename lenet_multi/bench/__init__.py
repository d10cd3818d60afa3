"""Which backend trains a model fastest: time stock Keras and ours on each, and say which to take.

`session` starts a process for each way to train (`ways`) and asks them in turn (`worker`,
`process`). `measures` times a model in such a process, `stages` the parts of its step. `result`
holds the figures, `verdict` words them, and `table` prints them.
"""
