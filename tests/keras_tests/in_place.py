"""A plugin of pytest: each `fit` trains in a block of `lenet_multi.fast`, if IN_PLACE is set.

It writes each test's outcome, and what trained in it, to the file that the variable REPORT names.
"""

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

from lenet_multi import backends
from lenet_multi.backends.fast import FastFit, fast
from lenet_multi.backends.selfcheck import SelfCheck
from tests.keras_tests import FAST, IN_PLACE, REPORT

Outcome = dict[str, Any]

_outcomes: dict[str, Outcome] = {}  # by test
_ways: list[str] = []  # what trained in the test that runs now


def pytest_configure(config: pytest.Config) -> None:
    """Put our training in the place of Keras's."""
    if os.environ.get(IN_PLACE):
        _replace_fit()
        _keep_fast_results()


def _replace_fit() -> None:
    trainer = next(one for one in keras.Model.__mro__ if "fit" in vars(one))
    stock = trainer.fit

    @functools.wraps(stock)
    def fit(model: Any, *given: Any, **named: Any) -> Any:
        if hasattr(model, "fast") or not model.compiled:  # in a block; Keras refuses it
            return stock(model, *given, **named)
        block = FastFit()
        try:
            with fast(model) as block:
                return model.fit(*given, **named)
        finally:
            _ways.append(block.why_stock or FAST)

    trainer.fit = fit


def _keep_fast_results() -> None:
    """Let a test see what the fast way computed in the ten steps that are checked.

    A user sees stock Keras's logs and weights of these steps, and most tests train no more.
    """
    file = SelfCheck._file

    def file_and_keep(check: SelfCheck, *courses: tuple[Any, Any]) -> None:
        file(check, *courses)
        if check.why_not is None:
            (logs, state), *_, (stock_logs, stock_state) = courses
            stock_logs.clear()
            stock_logs.update(logs)
            stock_state[:] = state  # JAX goes on from there, and the others from the model's state
            if keras.backend.backend() != "jax":
                backends.module(keras.backend.backend()).set_state(check.model, state)

    setattr(SelfCheck, "_file", file_and_keep)  # noqa: B010  # mypy refuses an assignment


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """File what trained in a test."""
    _ways.clear()
    result = yield
    _outcomes[item.nodeid]["ways"] = sorted(set(_ways))
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """File a test's outcome: of its parts, the first that did not pass."""
    known = _outcomes.setdefault(report.nodeid, {"outcome": report.outcome})
    if known["outcome"] == "passed" != report.outcome:
        known["outcome"] = report.outcome
        known["reason"] = str(report.longrepr).splitlines()[-1]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report."""
    Path(os.environ[REPORT]).write_text(json.dumps(_outcomes))
