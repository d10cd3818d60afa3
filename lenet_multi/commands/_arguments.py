"""Turn a function's arguments into the flags of its command."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from lenet_multi.errors import unknown

_OURS = {"json", "out", "help"}  # the functions set these


def flags(command: click.Command, given: Mapping[str, Any]) -> list[str]:
    """Return the flags of `command` for arguments by name; None is left out.

    A list is several flags or, where the command takes one, names with commas between them. Raises
    `TypeError` for an argument that the command has no flag for.
    """
    options = {_argument(one): one for one in command.params if isinstance(one, click.Option)}
    known = sorted(options.keys() - _OURS)
    found: list[str] = []
    for name, value in given.items():
        if name not in known:
            raise TypeError(unknown(f"argument of {command.name}()", name, known))
        if value is not None:
            found += _flags(options[name], value)
    return found


def _argument(option: click.Option) -> str:
    return max(option.opts, key=len).lstrip("-").replace("-", "_")


def _flags(option: click.Option, value: Any) -> Iterator[str]:
    flag = max(option.opts, key=len)
    if option.is_flag:
        yield from [flag] if value else option.secondary_opts[:1]
    elif not isinstance(value, list | tuple):
        yield f"{flag}={value}"
    elif option.multiple:
        yield from (f"{flag}={one}" for one in value)
    else:
        yield f"{flag}={','.join(map(str, value))}"
