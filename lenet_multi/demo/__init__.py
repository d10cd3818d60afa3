"""A page on which one draws a digit and sees every backend answer: `app` is its server.

Keras fixes its backend when it is imported, so each backend answers from a process of its own:
`worker` is that process, `process` its parent's side.

The page is drawn by hand and served by Starlette, where Gradio has a sketchpad to offer. Gradio
6.31 brings some 50 packages and 250 MB where Starlette and uvicorn bring 4 and 4 MB, listens after
5 s for 1, answers only when the pen is lifted, after 0.9 s and 14 requests for 0.07, has one choose
the brush first, and cannot be drawn on by keyboard.
"""
