"""`lenet-multi demo`: a page on which one draws a digit and sees every backend answer.

Keras fixes its backend when it is imported, so each backend answers from a process of its own:
`worker` is that process, `process` its parent's side; `app` is the page's server.

The page is drawn by hand and served by Starlette, where Gradio has a sketchpad to offer. Gradio
6.31 brings some 50 packages and 250 MB where Starlette and uvicorn bring 4 and 4 MB, listens after
5 s for 1, answers only when the pen is lifted, after 0.9 s and 14 requests for 0.07, has one choose
the brush first, and cannot be drawn on by keyboard.
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
    help="backend to ask, once or more  (default: all that are installed)",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="address to listen on; the default is for this machine alone",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8028,
    show_default=True,
    help="port to listen on; 0: any that is free",
)
@click.option("--open", "open_browser", is_flag=True, help="open the page in the browser")
def command(
    models: tuple[Path, ...],
    wanted: tuple[str, ...],
    host: str,
    port: int,
    open_browser: bool,
) -> None:
    """Serve a page on which one draws a digit, and sees each backend's answer while drawing.

    MODEL is a run folder or a .keras file, which all backends load; or give a run folder of
    each backend.  (default: the newest run folder in runs/)

    \b
    Examples:
      lenet-multi demo
      lenet-multi demo runs/jax --open
      lenet-multi demo runs/jax runs/torch --port 0
      lenet-multi demo model.keras --backend tensorflow --backend jax
    """
    # One image is little work: threads of NumPy here and of PyTorch there would wait for one
    # another, 100 ms for 17 on two processors. NumPy reads this when it is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    assigned = assign(models, wanted)
    try:
        from lenet_multi.commands.demo import process
        from lenet_multi.commands.demo.app import serve
    except ModuleNotFoundError as error:
        from lenet_multi.machine import extras

        missing = str(error.name).partition(".")[0]
        raise UserError(
            f"the demo needs {missing}; install it with: {extras.install_line('demo')}"
        ) from error
    backends = [
        process.BackendProcess(name, str(model), process.command(name, model))
        for name, model in assigned.items()
    ]
    serve(backends, host=host, port=port, open_browser=open_browser)


def assign(models: Sequence[Path], wanted: Sequence[str]) -> dict[str, Path]:
    """Return the saved model that each backend is to load, all of them openable.

    Raises `UserError` when one is not, or it is unclear who is to load what.
    """
    from lenet_multi.inference import saved
    from lenet_multi.machine import frameworks

    if len(models) < 2:
        model = models[0] if models else saved.newest_run()
        saved.find(model)
        names: Sequence[str | None] = wanted or frameworks.installed() or [None]
        return dict.fromkeys([frameworks.choose(name, {}) for name in names], model)
    if wanted:
        raise UserError("--backend is for one model; several are each for the backend of its run")
    assigned: dict[str, Path] = {}
    for model in models:
        if not (run := saved.find(model).result):
            raise UserError(f"{model} names no backend; of several models give run folders")
        name = frameworks.choose(run.backend, {})
        if name in assigned:
            raise UserError(f"{assigned[name]} and {model} are both of {name}; drop one of them")
        assigned[name] = model
    return assigned
