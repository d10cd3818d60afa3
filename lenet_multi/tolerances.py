"""Every tolerance of the comparison, once: its value, the reason, the margin measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """The largest gap that passes, why, and what real runs showed."""

    value: float
    unit: str
    reason: str
    measured: str


MANY_IMAGES = 10_000

TEST_ACCURACY = Tolerance(
    value=0.5,
    unit="percentage points",
    reason=(
        "Rounding differs between backends, so that after some hundred steps their runs part "
        "like runs of two seeds do: single runs can only be as near as seeds are."
    ),
    measured="standard: 0.02 between backends; baseline: 0.00 (benchmarks/results)",
)

TEST_ACCURACY_OF_FEW_IMAGES = Tolerance(
    value=1.0,
    unit="percentage points",
    reason=f"As above; seeds spread more when fewer than {MANY_IMAGES:,} images train.",
    measured="notebook: 0.18 between backends; 0.9 between eight seeds of stock Keras",
)

LOGITS_ACROSS_BACKENDS = Tolerance(
    value=2e-5,
    unit="relative, and absolute",
    reason="The same weights and images, but float32 sums in another order.",
    measured="3.0e-6 at most between any two backends, models of the standard recipe",
)

LOGITS_TO_ORACLE = Tolerance(
    value=2e-6,
    unit="of the largest logit",
    reason="Float32 rounding (6e-8) through four layers of sums of up to 800 terms.",
    measured="6.0e-7 tensorflow, 6.5e-7 jax, 7.6e-7 torch",
)

GRADIENTS_TO_ORACLE = Tolerance(
    value=1e-5,
    unit="of the largest entry of the tensor's gradient",
    reason="As above, and sums over 128 images of up to 576 positions each.",
    measured="1.4e-6 tensorflow, 4.8e-7 jax, 9.0e-7 torch, over the eight tensors",
)


def for_test_accuracy(train_images: int) -> Tolerance:
    """Return the tolerance on the test accuracy of single runs on `train_images` images."""
    return TEST_ACCURACY if train_images >= MANY_IMAGES else TEST_ACCURACY_OF_FEW_IMAGES
