"""Compare run folders without Keras: `python -m lenet_multi.compare RUN RUN`."""

from lenet_multi.runs.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]

if __name__ == "__main__":
    from lenet_multi.__main__ import main

    main("compare")
