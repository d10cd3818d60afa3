"""Functions that stand in for others and keep how they were called."""

from collections.abc import Callable
from typing import Any


class Calls(list[tuple[Any, ...]]):
    """Calls in their order, each with its name, its arguments and a dictionary of named ones."""

    def of(self, name: str, answer: Any = None) -> Callable[..., Any]:
        """Return a function that keeps its calls as those of `name`, and returns `answer`."""

        def call(*given: Any, **named: Any) -> Any:
            self.append((name, *given, named))
            return answer

        return call
