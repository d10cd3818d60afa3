import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lenet_multi.commands.export import command
from lenet_multi.config import MOST_CLASSES, TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.inference import formats, saved
from lenet_multi.inference.formats import FORMATS
from lenet_multi.inference.runtimes import ExportError
from lenet_multi.machine import keras_start
from tests.stand_ins import Calls

Ask = Callable[..., tuple[Result, Calls]]
SAID = (
    "Exported: {}\nLargest deviation of a probability: 1.5e-06 of 0.0001 allowed, "
    "over 1,000 test images in onnxruntime\n"
)


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Export a model that is a stand-in; return the result, and the calls that were made."""
    monkeypatch.chdir(tmp_path)
    calls = Calls()

    def asked(
        *arguments: str, has_test: bool = True, is_usual: bool = True, fails: bool = False
    ) -> tuple[Result, Calls]:
        del calls[:]
        test = SimpleNamespace(test=list(range(1200)))
        model = SimpleNamespace(
            data="mnist",
            trained_on="torch",
            task=SimpleNamespace(
                load_test=calls.of("load test", test) if has_test else None,
                load=calls.of("load", test),
            ),
            inputs=SimpleNamespace(is_usual=is_usual, range_words=lambda: "Fed: so"),
        )

        def export(found: Any, kind: Any, path: Path, *, images: Any) -> tuple[float, Any]:
            calls.append(("export", found is model, kind, images))
            path.write_text("exported")
            if fails:
                raise ExportError("a probability deviates")
            return 1.5e-6, {}

        monkeypatch.setattr(saved, "find", calls.of("find", model))
        module = SimpleNamespace(export=export)
        monkeypatch.setitem(sys.modules, "lenet_multi.inference.export", module)
        return CliRunner().invoke(command, arguments), calls

    monkeypatch.setattr(formats, "choose_backend", calls.of("choose", "jax"))
    monkeypatch.setattr(keras_start, "start", calls.of("start"))
    return asked


def test_a_model_is_written_and_compared(ask: Ask, tmp_path: Path) -> None:
    """The file lies beside the model by default; the first 1,000 test images are answered."""
    done, calls = ask("a.keras", "--format", "onnx")
    out = tmp_path.resolve() / "a.onnx"
    assert (done.exit_code, done.stdout) == (0, SAID.format(out))
    assert done.stderr == "exporting through jax, then checking in onnxruntime\n"
    assert out.read_text() == "exported"
    kind = FORMATS["onnx"]
    assert calls == [
        ("find", Path("a.keras"), {"asked_range": None, "names": None}),
        ("choose", kind, {"asked": None, "trained_on": "torch"}),
        ("load test", TrainConfig(classes=MOST_CLASSES), {}),
        ("start", "jax", {}),
        ("export", True, kind, list(range(1000))),
    ]


def test_flags_reach_what_exports(ask: Ask, tmp_path: Path) -> None:
    """Other inputs than the usual ones are said; data without a test set are loaded whole."""
    done, calls = ask(
        *("a", "--format", "onnx", "--backend", "torch", "--out", "b/c.onnx", "--data", "d.npz"),
        *("--input-range", "-1,1", "--class-names", "x,y"),
        has_test=False,
        is_usual=False,
    )
    assert (done.exit_code, done.stdout) == (0, SAID.format("b/c.onnx"))
    assert done.stderr.endswith("onnxruntime\nFed: so\n")
    assert calls[0] == ("find", Path("a"), {"asked_range": "-1,1", "names": "x,y"})
    assert calls[1][-1]["asked"] == "torch"
    assert calls[2] == ("load", TrainConfig(data="d.npz", classes=MOST_CLASSES), {})
    again = ("a", "--format", "onnx", "--out", "b/c.onnx")
    done, _ = ask(*again)
    assert isinstance(done.exception, UserError)
    assert "c.onnx exists and is kept; pass --overwrite" in str(done.exception)
    assert ask(*again, "--overwrite")[0].exit_code == 0


def test_an_export_that_answers_otherwise_is_not_kept(ask: Ask, tmp_path: Path) -> None:
    """Its reason is on stdout, and the status is 1."""
    done, _ = ask("a", "--format", "onnx", fails=True)
    assert (done.exit_code, done.stdout) == (1, "Not exported: a probability deviates\n")
    assert list(tmp_path.iterdir()) == []
