"""Test a model on two backends, find the fastest, and train it fast in a script of your own."""

from my_model import build, data

import lenet_multi as lm

BACKENDS = ["jax", "torch"]  # by default all that are installed


def main():
    """Run the three steps; each of the first two works in processes of its own."""
    result = lm.parity(build, data, BACKENDS, quick=True, precision="float32")
    print(result)
    if not result.passed:
        raise SystemExit(f"They differ: {result.first_failure}")

    print(lm.bench(build, data, BACKENDS, quick=True))

    model, (x, y) = build(), data()  # here, on the backend that KERAS_BACKEND names
    with lm.fast(model):
        model.fit(x, y, epochs=3, verbose=2)


if __name__ == "__main__":
    main()
