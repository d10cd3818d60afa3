"""The formats for export: which backends write them, with which modules, and what runs them."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lenet_multi.errors import UserError
from lenet_multi.machine.frameworks import BACKENDS, choose


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format; this package's extra of the same name installs its modules except backends."""

    name: str
    routes: Mapping[str, tuple[str, ...]]  # backends that write it, best first; modules they need
    runtime: str  # the module that runs it
    keras_name: str = ""  # Keras's name for it, if different
    suffix: str = ""  # of the file; empty for a folder
    holds: str = ""  # a file that every such folder has


OPENVINO_MODEL = "model.xml"

# Keras 3.15.1 has more routes, but they do not work here:
# - onnx through jax: jax2onnx 0.17.1 turns max pooling into a pooling over four axes, but ONNX
#   Runtime 1.32 only has kernels for three ("Unsupported pooling size");
# - saved_model through jax: gives one XlaCallModule for the CPU, and needs TensorFlow anyway;
#   openvino through jax: OpenVINO "has no conversion rule for" XlaCallModule;
# - saved_model through torch: needs torch_xla, and Keras fails before it calls torch_xla;
# - litert through torch: fixes the batch size (keras#22996, "won't fix");
# - openvino through tensorflow on Python 3.13: OpenVINO 2026.4.1 calls exec("import tensorflow")
#   and exec("del tensorflow"), which no longer see each other (PEP 667).
_OPENVINO_WRITERS = ("tensorflow", "torch") if sys.version_info < (3, 13) else ("torch",)

FORMATS: Mapping[str, Format] = {
    kind.name: kind
    for kind in (
        Format(
            name="onnx",
            routes={"torch": ("onnx",), "tensorflow": ("onnx", "tf2onnx")},
            runtime="onnxruntime",
            suffix=".onnx",
        ),
        Format(
            name="saved_model",
            keras_name="tf_saved_model",
            routes={"tensorflow": ()},
            runtime="tensorflow",
            holds="saved_model.pb",
        ),
        Format(name="torch", routes={"torch": ()}, runtime="torch", suffix=".pt2"),
        Format(
            name="openvino",
            routes=dict.fromkeys(_OPENVINO_WRITERS, ("openvino",)),
            runtime="openvino",
            holds=OPENVINO_MODEL,
        ),
        Format(
            name="litert", routes={"tensorflow": ()}, runtime="ai_edge_litert", suffix=".tflite"
        ),
    )
}

COMPARED = 1000  # images on which the answers of an exported file and of Keras are compared


def choose_backend(kind: Format, *, asked: str | None, trained_on: str | None) -> str:
    """Return the backend that writes `kind`: `asked`, or the first that can and is installed.

    The order is KERAS_BACKEND, `trained_on`, `kind.routes`. Raises `UserError` when `asked` cannot
    write `kind`, or modules are not installed.
    """
    named = asked or os.environ.get("KERAS_BACKEND")
    if named:
        choose(asked)
    if asked and asked not in kind.routes:
        raise UserError(
            f"--backend {asked} cannot write {kind.name}, whichever backend trained the model; "
            f"choose {' or '.join(kind.routes)}, or drop --backend"
        )
    able = [asked] if asked else [named, trained_on, *kind.routes]
    lacking = {name: _lacking(kind, name) for name in able if name and name in kind.routes}
    best = min(lacking, key=lambda name: len(lacking[name]))  # the first among equals
    if not (modules := lacking[best]):
        return best
    from lenet_multi.machine.extras import install_line  # slow: it reads packages' metadata

    extras = dict.fromkeys(module if module in BACKENDS else kind.name for module in modules)
    raise UserError(
        f"--format {kind.name} needs {' and '.join(modules)}, not installed here; install with: "
        f"{install_line(','.join(extras))}"
    )


def _lacking(kind: Format, backend: str) -> list[str]:
    needed = dict.fromkeys((backend, *kind.routes[backend], kind.runtime))
    return [module for module in needed if find_spec(module) is None]


def default_path(kind: Format, source: Path) -> Path:
    """Return the default --out of `kind`: beside `source`, with its name."""
    source = source.resolve()
    name = source.name if source.is_dir() else source.stem
    return source.with_name(name + (kind.suffix or f"-{kind.name}"))


def refuse_target(kind: Format, path: Path, *, overwrite: bool) -> None:
    """Raise `UserError` when `path` has the wrong suffix, or exists and may not be replaced."""
    if path.suffix != kind.suffix and kind.suffix:
        raise UserError(f"{path} must end in {kind.suffix} to be a file of {kind.name}")
    if not path.exists():
        return
    if not (path / kind.holds).is_file():
        raise UserError(f"{path} is not an earlier {kind.name} export; choose another --out")
    if not overwrite:
        raise UserError(f"{path} exists and is kept; pass --overwrite or choose another --out")
