"""Every tolerance of the comparisons: its value, and above it the reason and measured gaps."""

from typing import NamedTuple


class Tolerance(NamedTuple):
    """The largest gap that passes, and its unit."""

    value: float
    unit: str


# Backends round differently, so after some hundred steps their runs differ as much as runs of two
# seeds do. Measured between backends: standard: 0.04; baseline: 0.00 (benchmarks/results).
TEST_ACCURACY = Tolerance(0.5, "percentage points")

# As above; with fewer training images than this, seeds differ more. Measured: notebook: 0.11
# between backends; 0.9 between eight seeds of stock Keras.
MANY_IMAGES = 10_000
TEST_ACCURACY_OF_FEW_IMAGES = Tolerance(1.0, "percentage points")

# As above, for the headline of a model that is no classifier. Measured: 0.0012 between backends
# after six epochs of a small regression (tests/guest.py).
TEST_METRIC = Tolerance(0.05, "relative")

# Same weights and images, but float32 sums in another order. Measured: 3.0e-6 at most between any
# two backends, models of the standard recipe.
LOGITS_ACROSS_BACKENDS = Tolerance(2e-5, "relative, and absolute")

# The parity ladder. A gap "of entries" is the largest difference between entries of two tensors,
# divided by the largest entry. A gap "of movements" is the Euclidean distance of two weight
# tensors, divided by their distance from the initial one. "On every instruction set" means SSE4.1,
# AVX2, AVX-512, and different ones on the two backends, with one thread and two, from ten seeds, on
# an AMD EPYC (family 26, model 2): benchmarks/results/processors.json (`nox -s processors`).

# One rounding changes a sum by at most the dtype's unit roundoff (6e-8 in float32, 1e-16 in
# float64), up or down by chance, so n roundings change it by about the root of n. Each backend and
# each instruction set adds in another order. Measured on every instruction set: float32: 0.49 (L1),
# 0.31 (L2); float64: 0.47, 0.29.
ROUNDING = Tolerance(
    1.0, "times the dtype's unit roundoff, times the root of the number of terms added"
)

# Rounding of 1e-16 grows little within a hundred steps. Measured: 2.9e-13.
TRAINED_FLOAT64 = Tolerance(1e-10, "relative (losses), of movements (weights)")

# A one-ulp change of the initial weights moves values about as much as another backend's rounding.
# The tolerance is wider because the largest gap of only eight twins is not the largest possible
# one. Measured on every instruction set: 1.6 times (L3), 1.9 times (L4); over an epoch: 2.2.
TWINS = Tolerance(
    5.0, "times the largest gap between a backend and its one-ulp twins, of either backend"
)

# A pair at step n is checked against the twins' gaps up to this many times n, because the step at
# which a training drifts away is random.
TRAJECTORY_AHEAD = 2

# Rounding of 1e-16. Measured: 1.1e-15.
PORTABILITY_FLOAT64 = Tolerance(1e-12, "relative, losses")

# One device and several add the same numbers in another order; float64 rounds them by 1e-16.
# Measured: 1.6e-13 (benchmarks/results/devices.json).
DEVICES_FLOAT64 = Tolerance(1e-12, "relative (losses, metrics), of movements (weights)")

# A difference of the loss has an error of about the step, here 1e-7 of the loss, and rounding of
# 1e-16 over the same 1e-7. A wrong gradient is off by its own size.
FINITE_DIFFERENCES = Tolerance(1e-5, "relative")

# Set before any seed was run: about the gap between published repeats of this network (0.03 to
# 0.05 of spread), and ten of the 10,000 test images. Measured: benchmarks/results/seeds.json.
EQUIVALENCE = Tolerance(0.1, "percentage points")

# Float32 sums in another order, through a softmax. Real faults deviate more: OpenVINO with weights
# in float16 by 4.8e-4, in bfloat16 by 7.7e-3. Measured: 1.1e-6 at most, in five formats
# (benchmarks/results/exports.json).
EXPORTED = Tolerance(1e-4, "of a probability")
