"""The formats that a model is exported to: which backends can, what it takes, what runs it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lenet_multi.errors import UserError
from lenet_multi.machine.frameworks import BACKENDS, choose


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format and what must be installed to write and run it.

    `routes` names the backends whose Keras can write it, the best first, each with the modules
    that this takes; `runtime` is the module that runs it. The extra of this package that is called
    like the format installs them, but for backends. `keras_name` is Keras's name, where it has
    another; `suffix` is that of the file, empty where it is a folder; `holds` is a file that every
    such folder has.
    """

    name: str
    routes: Mapping[str, tuple[str, ...]]
    runtime: str
    keras_name: str = ""
    suffix: str = ""
    holds: str = ""


OPENVINO_MODEL = "model.xml"

# Keras 3.15.1 has more routes, which do not serve here:
# - onnx through jax: jax2onnx 0.17.1 makes one pooling over four axes of max pooling, and ONNX
#   Runtime 1.32 has kernels for three ("Unsupported pooling size");
# - saved_model through jax: a single XlaCallModule for the CPU, and it takes TensorFlow all the
#   same; openvino through jax: OpenVINO "has no conversion rule for" that;
# - saved_model through torch: Keras fails before it gets to torch_xla, which it would take;
# - litert through torch: for a single batch size (keras#22996, "won't fix").
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
            routes={"tensorflow": ("openvino",), "torch": ("openvino",)},
            runtime="openvino",
            holds=OPENVINO_MODEL,
        ),
        Format(
            name="litert", routes={"tensorflow": ()}, runtime="ai_edge_litert", suffix=".tflite"
        ),
    )
}

COMPARED = 1000  # images, on which an exported file and Keras are held together


def choose_backend(kind: Format, *, asked: str | None, trained_on: str | None) -> str:
    """Return the backend to write `kind` through: `asked`, or the first that can and is installed.

    KERAS_BACKEND comes first, then the one that the model was trained on, then `kind`'s routes.

    Raises `UserError` when the backend asked for cannot, or what it takes is not installed.
    """
    named = asked or os.environ.get("KERAS_BACKEND")
    if named:
        choose(asked)
    if asked and asked not in kind.routes:
        raise UserError(
            f"--backend {asked} cannot write {kind.name}, but {' and '.join(kind.routes)} can, "
            "whichever backend the model was trained on: name that, or drop --backend"
        )
    able = [asked] if asked else [named, trained_on, *kind.routes]
    lacking = {name: _lacking(kind, name) for name in able if name and name in kind.routes}
    best = min(lacking, key=lambda name: len(lacking[name]))  # of equals the first
    if not (modules := lacking[best]):
        return best
    from lenet_multi.machine.extras import install_line  # slow: it reads packages' metadata

    extras = dict.fromkeys(module if module in BACKENDS else kind.name for module in modules)
    raise UserError(
        f"--format {kind.name} takes {' and '.join(modules)}, not installed here; install with: "
        f"{install_line(','.join(extras))}"
    )


def _lacking(kind: Format, backend: str) -> list[str]:
    """Return the modules that must be installed first to write and run `kind` so."""
    needed = dict.fromkeys((backend, *kind.routes[backend], kind.runtime))
    return [module for module in needed if find_spec(module) is None]


def default_path(kind: Format, source: Path) -> Path:
    """Return where to write `kind` when not told: beside `source`, named like it."""
    source = source.resolve()
    name = source.name if source.is_dir() else source.stem
    return source.with_name(name + (kind.suffix or f"-{kind.name}"))


def refuse_target(kind: Format, path: Path, *, overwrite: bool) -> None:
    """Raise `UserError` when `path` is not named like `kind`, or holds what is to be kept."""
    if path.suffix != kind.suffix and kind.suffix:
        raise UserError(f"{path} does not end in {kind.suffix}, as a file of {kind.name} must")
    if not path.exists():
        return
    if not (path / kind.holds if kind.holds else path).is_file():
        raise UserError(f"{path} is no earlier export of {kind.name}; choose another --out")
    if not overwrite:
        raise UserError(f"{path} exists and is kept; pass --overwrite or choose another --out")
