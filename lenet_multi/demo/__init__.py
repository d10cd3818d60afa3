"""A page on which one draws a digit and sees every backend answer: `app` is the server.

Keras fixes its backend when it is imported, so each backend answers from a process of its own:
`worker` is that process, `process` its parent's side.
"""
