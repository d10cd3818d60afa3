"""The error that says why a fast way cannot train a model."""


class UnfitError(Exception):
    """A fast way cannot train the model, and nothing has changed; the message is the reason."""


LOOPS_OVER_A_CONVOLUTION = (
    "XLA would loop over its convolutions, which takes four times as long on a CPU"
)
