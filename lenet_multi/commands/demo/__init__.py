"""`lenet-multi demo`: a page where you draw a digit and see every backend answer.

Keras fixes its backend at import, so each backend answers from its own process: `worker` is that
process, `process` its parent's side, `app` the page's server.

We wrote our own page and serve it with Starlette. Gradio 6.31 has a sketchpad, but installs about
50 packages and 250 MB (Starlette and uvicorn: 4 and 4 MB) and listens after 5 s (here 1 s). It
answers only when the pen is lifted, after 0.9 s and 14 requests (here 0.07 s); the user must choose
a brush first and cannot draw by keyboard.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from lenet_multi.errors import UserError
from lenet_multi.machine.frameworks import BACKENDS


@click.command("demo")
@click.argument("models", nargs=-1, metavar="[MODEL]...", type=click.Path(path_type=Path))
@click.option(
    "--backend",
    "wanted",
    multiple=True,
    metavar=f"[{'|'.join(BACKENDS)}]",
    help="backend that answers, once or more  (default: all installed ones)",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="address to listen on; only this machine reaches the default",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8028, show_default=True, help="0: any free"
)
@click.option("--open", "open_browser", is_flag=True, help="open the page in the browser")
def command(
    models: tuple[Path, ...], wanted: tuple[str, ...], host: str, port: int, open_browser: bool
) -> None:
    """Serve a page where you draw a digit and see each backend's answer while you draw.

    \b
    Examples:
      lenet-multi demo
      lenet-multi demo runs/jax --open
      lenet-multi demo runs/jax runs/torch --port 0
      lenet-multi demo model.keras --backend tensorflow --backend jax

    MODEL is a run folder or .keras file that all backends load; or give one run folder for each
    backend.  (default: the newest run folder in runs/)
    """
    # One image is little work. NumPy's threads here and PyTorch's there would wait for each other:
    # 100 ms instead of 17 on two processors. NumPy reads this variable at import.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    assigned = assign(models, wanted)
    from lenet_multi.machine import extras

    for module in ("starlette.applications", "uvicorn"):
        extras.require(module, "demo")
    from lenet_multi.commands.demo import process
    from lenet_multi.commands.demo.app import serve

    names = _class_names([*assigned.values()])
    backends = [
        process.BackendProcess(name, str(model), process.command(name, model), class_names=names)
        for name, model in assigned.items()
    ]
    serve(backends, host=host, port=port, open_browser=open_browser)


def _class_names(models: Sequence[Path]) -> tuple[str, ...] | None:
    """Return the names of the models' classes; raise `UserError` if theirs differ."""
    from lenet_multi.inference import saved

    names = [saved.find(model).class_names for model in models]
    for model, others in zip(models, names, strict=True):
        if others != names[0]:
            raise UserError(f"{models[0]} and {model} name their classes differently; drop one")
    return names[0]


def assign(models: Sequence[Path], wanted: Sequence[str]) -> dict[str, Path]:
    """Return each backend's saved model; raise `UserError` if one is unreadable or unassignable."""
    from lenet_multi.inference import saved
    from lenet_multi.machine import frameworks

    if len(models) < 2:
        model = models[0] if models else saved.newest_run()
        saved.find(model)
        names: Sequence[str | None] = wanted or frameworks.installed() or [None]
        return dict.fromkeys([frameworks.choose(name, {}) for name in names], model)
    if wanted:
        raise UserError("--backend is for one model; drop it, or give one model")
    assigned: dict[str, Path] = {}
    for model in models:
        if not (run := saved.find(model).result):
            raise UserError(f"{model} names no backend; give a run folder for each backend")
        name = frameworks.choose(run.backend, {})
        if name in assigned:
            raise UserError(f"{assigned[name]} and {model} both ran on {name}; drop one")
        assigned[name] = model
    return assigned
