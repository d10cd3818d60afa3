"""A test for the suite of a library: `pytest test_my_model.py`."""

import lenet_multi as lm


def test_my_model_trains_the_same_on_jax_and_torch():
    """The error names the rung, the two backends, the step, the layer and the tensor."""
    lm.assert_same_training("my_model.py:build", "my_model.py:data", backends=["jax", "torch"])
