import tomllib
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from itertools import chain
from pathlib import Path

import pytest

from lenet_multi.errors import UserError
from lenet_multi.inference.formats import (
    FORMATS,
    choose_backend,
    default_path,
    refuse_target,
)
from lenet_multi.inference.runtimes import RUNTIMES
from lenet_multi.machine.frameworks import BACKENDS
from tests.conftest import PROJECT

Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that sets which modules count as installed; no backend is named."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)

    def only(*modules: str) -> None:
        def find_spec(name: str) -> ModuleSpec | None:
            place = f"/installed/{name}/__init__.py"
            spec = ModuleSpec(name, None, origin=place, is_package=True)
            spec.submodule_search_locations = [f"/installed/{name}"]
            return spec if name in modules else None

        monkeypatch.setattr("lenet_multi.machine.frameworks.find_spec", find_spec)
        monkeypatch.setattr("lenet_multi.inference.formats.find_spec", find_spec)

    return only


def test_each_format_can_be_written_run_and_installed() -> None:
    """Each format's routes are backends, its runtime has a loader, and extras install its needs."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert list(RUNTIMES) == list(FORMATS)
    for form in FORMATS.values():
        assert form.routes
        assert set(form.routes) <= set(BACKENDS)
        for module in {*form.routes, *chain(*form.routes.values()), form.runtime}:
            extra = module if module in BACKENDS else form.name
            assert any(
                requirement.startswith(f"{module.replace('_', '-')}>")
                for requirement in project["optional-dependencies"][extra]
            )


ALL = (*BACKENDS, "onnx", "onnxruntime", "tf2onnx", "openvino", "ai_edge_litert")


@pytest.mark.parametrize(
    ("name", "trained_on", "chosen"),
    [
        ("onnx", "tensorflow", "tensorflow"),
        ("onnx", "jax", "torch"),
        ("onnx", "torch", "torch"),
        ("torch", "jax", "torch"),
        ("litert", "jax", "tensorflow"),
        ("saved_model", "torch", "tensorflow"),
        ("openvino", None, next(iter(FORMATS["openvino"].routes))),  # others on Python 3.13
    ],
)
def test_the_backend_of_the_run_writes_where_it_can(
    install: Install, name: str, trained_on: str | None, chosen: str
) -> None:
    """With everything installed, a run's own backend exports it, if it can; else another."""
    install(*ALL)
    form = FORMATS[name]
    assert choose_backend(form, asked=None, trained_on=trained_on) == chosen


def test_what_is_installed_decides(install: Install) -> None:
    """A backend without the packages that the format needs is skipped."""
    install("tensorflow", "torch", "onnx", "onnxruntime")
    form = FORMATS["onnx"]
    assert choose_backend(form, asked=None, trained_on="tensorflow") == "torch"


def test_the_flag_decides_and_the_variable_prefers(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KERAS_BACKEND wins over the run's backend if it can write; `--backend` wins over both."""
    install(*ALL)
    form = FORMATS["onnx"]
    assert choose_backend(form, asked="tensorflow", trained_on="torch") == "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert choose_backend(form, asked=None, trained_on="tensorflow") == "torch"
    litert = FORMATS["litert"]
    assert choose_backend(litert, asked=None, trained_on="jax") == "tensorflow"


@pytest.mark.parametrize(
    ("modules", "name", "asked", "message"),
    [
        (ALL, "torch", "jax", "--backend jax cannot write torch, .*; choose torch, or drop"),
        (
            ALL,
            "litert",
            "torch",
            "--backend torch cannot write litert, .*; choose tensorflow, or drop",
        ),
        (["jax"], "torch", None, r"needs torch, .* pip install 'lenet-multi\[torch\]'"),
        (
            ["jax"],
            "onnx",
            "jax",
            "--backend jax cannot write onnx, .*; choose torch or tensorflow, or",
        ),
        (["jax"], "onnx", None, r"torch and onnx and onnxruntime, .*'lenet-multi\[torch,onnx\]'"),
        (["torch"], "onnx", None, r"needs onnx and onnxruntime, .*'lenet-multi\[onnx\]'"),
        (["torch"], "litert", None, r"needs tensorflow and .*\[tensorflow,litert\]'"),
        (["tensorflow", "torch", "onnx", "onnxruntime"], "onnx", "tensorflow", "needs tf2onnx, "),
        (["jax"], "onnx", "torch", "'torch' is not installed"),
        (["jax"], "onnx", "jacks", "unknown backend 'jacks'"),
    ],
)
def test_no_way_is_refused_with_one_that_is(
    install: Install, modules: list[str], name: str, asked: str | None, message: str
) -> None:
    """The error names a backend that can write, or the command that installs what is missing."""
    install(*modules)
    with pytest.raises(UserError, match=message):
        choose_backend(FORMATS[name], asked=asked, trained_on=None)


def test_the_default_stands_beside_the_model(tmp_path: Path) -> None:
    """The default path is next to the model, named after the run folder or the file."""
    (tmp_path / "v1.2").mkdir()
    assert default_path(FORMATS["onnx"], tmp_path / "v1.2") == tmp_path / "v1.2.onnx"
    assert default_path(FORMATS["torch"], tmp_path / "a.keras") == tmp_path / "a.pt2"
    folder = default_path(FORMATS["saved_model"], tmp_path / "v1.2")
    assert folder == tmp_path / "v1.2-saved_model"


@pytest.mark.parametrize("name", FORMATS)
def test_only_an_earlier_export_is_replaced(tmp_path: Path, name: str) -> None:
    """A free path passes, an earlier export passes with overwrite, and anything else never."""
    form = FORMATS[name]
    target = tmp_path / f"model{form.suffix}"
    refuse_target(form, target, overwrite=False)
    if form.holds:
        target.mkdir()
        (target / form.holds).touch()
    else:
        target.touch()
    with pytest.raises(UserError, match="pass --overwrite"):
        refuse_target(form, target, overwrite=False)
    refuse_target(form, target, overwrite=True)
    other = tmp_path / f"other{form.suffix}"
    other.touch() if form.holds else other.mkdir()
    with pytest.raises(UserError, match=f"is not an earlier {form.name} export"):
        refuse_target(form, other, overwrite=True)


def test_a_file_of_another_name_is_refused(tmp_path: Path) -> None:
    """A path without the format's suffix is refused, so the model itself is never overwritten."""
    with pytest.raises(UserError, match=r"must end in \.onnx"):
        refuse_target(FORMATS["onnx"], tmp_path / "model.keras", overwrite=True)
