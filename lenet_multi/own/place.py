"""Read the name of something in a user's code: FILE.py:NAME or package.module:NAME."""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from lenet_multi.errors import UserError, cannot_read
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.own import sent
from lenet_multi.own.user_code import user_code


def find(place: str) -> Any:
    """Return the object at `place`, "FILE.py:NAME" or "package.module:NAME", or sent to us.

    Raises `UserError` when there is no such file, module or name, or when the user's code fails.
    """
    if sent.is_sent(place):
        return sent.receive(place)
    where, _, name = place.rpartition(":")
    if not where or not name.isidentifier():
        raise UserError(f"{place!r} names nothing; give FILE.py:NAME, or package.module:NAME")
    module = _from_file(Path(where)) if where.endswith(".py") else _from_module(where)
    if name not in vars(module):
        here = [known for known, value in vars(module).items() if _is_own(module, value)]
        raise UserError(f"{where} has no {name}; give one of {', '.join(here) or 'its functions'}")
    return vars(module)[name]


def _is_own(module: ModuleType, value: Any) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _from_file(path: Path) -> ModuleType:
    """Run a file as a module of its own name, and let it import its neighbours."""
    path = path.resolve()
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    # Libraries look among the modules for backends, and use what has the name of one.
    if known is not None or path.stem in BACKENDS:
        raise UserError(f"{path.name} has the name of a module that is in use; rename the file")
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(cannot_read(path, error)) from error
    spec = spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules[path.stem] = module  # saved models name it
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        with user_code(str(path.name)):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def _from_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"{name!r} is no module; give FILE.py:NAME, or package.module:NAME")
    try:
        with user_code(name, let=(ModuleNotFoundError,)):
            return import_module(name)
    except ModuleNotFoundError as error:
        if f"{name}.".startswith(f"{error.name}."):
            raise UserError(
                f"there is no module {name}; install it, or add its folder to PYTHONPATH"
            ) from error
        with user_code(name):
            raise
    raise AssertionError
