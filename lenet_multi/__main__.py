"""The `lenet-multi` command: each module of `commands` is one verb."""

import importlib
import io
import os
import pkgutil
import signal
import sys
import threading
from typing import NoReturn

import click

from lenet_multi import __version__, commands
from lenet_multi.errors import LostError, StoppedError, UserError, printable, reason
from lenet_multi.machine import frameworks, parent, ranks


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lenet-multi")
def cli() -> None:
    """Test whether a Keras model trains the same on each backend, and which backend is fastest.

    \b
    Examples:
      lenet-multi parity my_model.py:build
      lenet-multi bench my_model.py:build
      lenet-multi train --backend jax
      KERAS_BACKEND=torch lenet-multi train --recipe notebook
      lenet-multi compare runs/one runs/two
      lenet-multi predict photo.jpg
      lenet-multi demo
      lenet-multi parity
    """


for verb in pkgutil.iter_modules(commands.__path__):
    if not verb.name.startswith("_"):
        cli.add_command(importlib.import_module(f"{commands.__name__}.{verb.name}").command)


def main(*verb: str) -> NoReturn:
    """Run the command line, with `verb` in front if given; print an error as one stderr line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # like stderr: a path may be no text
    sys.unraisablehook = come_again
    parent.end_with_it()
    os.environ["MPLBACKEND"] = "agg"  # figures are files here; Matplotlib fails at another's name
    try:
        cli.main([*verb, *sys.argv[1:]], prog_name="lenet-multi", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        fail(error.format_message())
    except UserError as error:
        fail(str(error))
    except (ImportError, AttributeError) as error:
        if not (path := frameworks.hider(error)):
            raise
        fail(f"{path} hides a module of the same name ({reason(error)}); {frameworks.RENAME_IT}")
    except OSError as error:
        if error.filename is None:
            raise
        fail(f"cannot use {error.filename}: {error.strerror}")
    except LostError:
        leave(ranks.LOST)
    except StoppedError as stopped:
        click.echo(f"lenet-multi: {stopped}", err=True)
        leave(128 + stopped.signal_number)
    except (click.Abort, KeyboardInterrupt):
        click.echo("lenet-multi: interrupted; what was not saved is lost", err=True)
        leave(128 + signal.SIGINT)
    sys.exit(0)


def come_again(dropped: "sys.UnraisableHookArgs") -> None:
    """Send a signal again that Python dropped, which happens in a garbage collector's callback."""
    if dropped.exc_type in (KeyboardInterrupt, StoppedError):
        number = getattr(dropped.exc_value, "signal_number", signal.SIGINT)
        again = (threading.get_ident(), number)  # Python runs handlers in its main thread
        threading.Timer(0.05, _send, again).start()
    else:
        sys.__unraisablehook__(dropped)


def _send(thread: int, number: int) -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, number)
    else:  # Windows
        signal.raise_signal(number)


def leave(status: int) -> NoReturn:
    """Exit with the status that a shell gives to a process ended by a signal."""
    sys.stdout.flush()
    os._exit(status)  # in an ordinary exit TensorFlow's threads may abort the process


def fail(message: str) -> NoReturn:
    """Print one line on stderr and exit with status 2."""
    # From Python 3.13 on, a file that a full disk refused reports it again when it is closed.
    sys.unraisablehook = lambda dropped: None
    click.echo(f"lenet-multi: {printable(' '.join(message.split()))}", err=True)
    if ranks.count() > 1:
        leave(2)  # an ordinary exit would wait for the other ranks
    sys.exit(2)


if __name__ == "__main__":
    main()
