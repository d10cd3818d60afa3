"""Free a saved model of the backend that it was compiled on."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

CONFIG = "config.json"


def make_portable(path: str | Path) -> None:
    """Rewrite the compile settings of a `.keras` file so that each backend can go on with it.

    Keras 3.15.1 writes what binds the file to its backend: its answer to `jit_compile="auto"`,
    which would turn XLA off on JAX or torch.compile on; the steps per execution, of which PyTorch
    refuses more than one; and PyTorch's own class of the optimizer, which no other backend can
    load. The file gets the question, one step, and the class that Keras documents.
    """
    draft = Path(f"{path}.draft")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(draft, "w") as portable:
        for member in whole.infolist():
            content = whole.read(member)
            if member.filename == CONFIG:
                content = json.dumps(_portable(json.loads(content))).encode()
            portable.writestr(member, content)
    os.replace(draft, path)


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    compiled = config.get("compile_config")
    if not compiled:
        return config
    import keras

    optimizer = compiled["optimizer"]
    is_known = optimizer["module"].partition(".")[0] in {"keras", "lenet_multi"}
    if is_known and hasattr(keras.optimizers, optimizer["class_name"]):
        # Keras's, PyTorch's or our own: one formula, one state
        optimizer = {**optimizer, "module": "keras.optimizers", "registered_name": None}
    settings = {"optimizer": optimizer, "jit_compile": "auto", "steps_per_execution": 1}
    return {**config, "compile_config": {**compiled, **settings}}
