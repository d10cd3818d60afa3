"""Every tolerance of the comparison, once: its value, above it the reason and what was measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """The largest gap that passes, and its unit."""

    value: float
    unit: str


# Rounding differs between backends, so that after some hundred steps their runs part like runs of
# two seeds do: single runs can only be as near as seeds are. Measured: standard: 0.04 between
# backends; baseline: 0.00 (benchmarks/results).
TEST_ACCURACY = Tolerance(0.5, "percentage points")

# As above; seeds spread more when fewer than so many images train. Measured: notebook: 0.11 between
# backends; 0.9 between eight seeds of stock Keras.
MANY_IMAGES = 10_000
TEST_ACCURACY_OF_FEW_IMAGES = Tolerance(1.0, "percentage points")

# As above, for the headline of a model that is no classifier. Measured: 0.0012 between backends,
# six epochs of a small regression (tests/guest.py).
TEST_METRIC = Tolerance(0.05, "relative")

# The same weights and images, but float32 sums in another order. Measured: 3.0e-6 at most between
# any two backends, models of the standard recipe.
LOGITS_ACROSS_BACKENDS = Tolerance(2e-5, "relative, and absolute")

# The parity ladder. Gaps "of entries" are the largest difference of two tensors' entries over the
# largest entry. Gaps "of movements" are the Euclidean distance of two weight tensors over the way
# they went from the initial one. "On every instruction set" means SSE4.1, AVX2, AVX-512, and
# different ones on the two backends, with one thread and two, from ten seeds, on an AMD EPYC
# (family 26, model 2): benchmarks/results/processors.json, which `nox -s processors` writes.

# Rounding changes a sum by at most the dtype's unit roundoff (6e-8 in float32, 1e-16 in float64),
# up or down by chance, so n of them come to about the root of n. Each backend and each instruction
# set adds in another order. Measured: float32: 0.49 (L1), 0.31 (L2); float64: 0.47, 0.29; on every
# instruction set.
ROUNDING = Tolerance(
    1.0, "times the dtype's unit roundoff, times the root of the number of terms added"
)

# Rounding of 1e-16 has not grown to a difference within a hundred steps. Measured: 2.9e-13.
TRAINED_FLOAT64 = Tolerance(1e-10, "relative (losses), of movements (weights)")

# A one-ulp change of the initial weights moves values about as much as another backend's rounding
# does, but eight twins are few: the largest of them is not the largest there is. Measured: 1.6
# times (L3), 1.9 times (L4) on every instruction set; 2.2 over an epoch.
TWINS = Tolerance(
    5.0, "times the largest gap between a backend and its one-ulp twins, of either backend"
)

# A pair at step n is held to what the twins show by this many times n: when a training drifts away
# is a matter of chance.
TRAJECTORY_AHEAD = 2

# Rounding of 1e-16. Measured: 1.1e-15.
PORTABILITY_FLOAT64 = Tolerance(1e-12, "relative, losses")

# Set before any seed was run: about what separates published repeats of this network (0.03 to 0.05
# of spread), and ten of the 10,000 test images. Measured: benchmarks/results/seeds.json.
EQUIVALENCE = Tolerance(0.1, "percentage points")

# Float32 sums in another order, through a softmax. What goes wrong on the way is larger: OpenVINO
# with weights in float16 deviates by 4.8e-4, in bfloat16 by 7.7e-3. Measured: 1.1e-6 at most, in
# five formats (benchmarks/results/exports.json).
EXPORTED = Tolerance(1e-4, "of a probability")
