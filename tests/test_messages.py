import ast
import re
from collections.abc import Iterator

import pytest

from tests.conftest import PROJECT

# The remedy: a verb in the imperative after a stop, or what a value must be.
VERBS = (
    "add|ask|build|change|choose|climb|continue|copy|delete|download|draw|drop|export|free|give|install|keep|leave"
    "|lower|make|name|pack|pass|pip|prepare|put|rename|run|save|see|set|shorten|start|take|train|try"
    "|unset|use"
)
REMEDY = re.compile(
    rf"[;:,] ({VERBS})\b|\bmust\b|\{{remedy\}}|\{{RENAME_IT\}}|\{{unknown\(|\{{cannot_read\("
    r"|\{_explain\(|\{_remedy\("
)
CULPRIT = re.compile(r"\{|--[a-z]|\b[A-Z]{3,}\b")

# Messages whose caller adds what they lack, and what that is.
COMPLETED = {
    "{source}: {os.fsdecode(done.stdout)}": "the child's own message",
    "{os.fsdecode(done.stdout)}": "likewise, with the file's name",
    "{messages[-1].removeprefix(_MESSAGE)}": "the child's own message",
    "{said[-1]}": "the message of the process that looks at a model",
    "{str(error)}": "the message of a bench's process",
    "{str(first.failure)}": "likewise",
    "{name}: {error}": "the message of what reads the image",
    "{'; '.join(refused)}": "a message for each image",
    "it has no pixels; give another image": "`read` puts the name of the image in front",
    "nothing is drawn on it, or too faintly; give a clearer image": "likewise",
    "its configuration has more weights than its {WEIGHTS} holds": "`load`: the file, a remedy",
    "{path} is damaged": "`read`: it tries an earlier checkpoint",
    "{path} is damaged at {', '.join(wrong)}": "likewise",
    "{path} is damaged at {name}": "likewise",
    "{path} is damaged: {reason(error)}": "likewise",
}


def text(node: ast.expr) -> str:
    """Return the words of a message as the code has them, with expressions in braces."""
    match node:
        case ast.Constant():
            return str(node.value)
        case ast.JoinedStr():
            return "".join(map(text, node.values))
        case ast.FormattedValue():
            return f"{{{ast.unparse(node.value)}}}"
        case ast.BinOp():
            return text(node.left) + text(node.right)
    return f"{{{ast.unparse(node)}}}"


def messages() -> Iterator[tuple[str, str]]:
    """Yield the place and the words of each `UserError` that the package makes.

    Those of a `StartError` are put together as it does it.
    """
    for path in sorted((PROJECT / "lenet_multi").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[words]):
                    if name in ("UserError", "UserCodeError", "DivergedError"):
                        yield f"{path.relative_to(PROJECT)}:{node.lineno}", text(words)
                case ast.Call(func=ast.Name(id="StartError"), args=[*parts]):
                    backend, why, remedy = map(text, parts)
                    said = f"{backend} does not start: {why}; {remedy}"
                    yield f"{path.relative_to(PROJECT)}:{node.lineno}", said


def test_every_kind_of_message_is_collected() -> None:
    """Messages of a backend's start are among them, and those that a function returns."""
    found = {message for _, message in messages()}
    assert "{backend} does not start: {why}; {_remedy(backend, str(error))}" in found
    assert "{path} is no readable HDF5 file: {why}; save it again" in found


def is_whole(message: str) -> bool:
    """Return whether a message names a culprit and a remedy."""
    return bool(CULPRIT.search(message) and REMEDY.search(message))


@pytest.mark.parametrize(("place", "message"), list(messages()))
def test_a_message_names_the_culprit_and_the_remedy(place: str, message: str) -> None:
    """The user reads what is wrong, and then what to do."""
    assert is_whole(message) or message in COMPLETED, place


def test_every_exception_is_still_needed() -> None:
    """A message that is completed elsewhere exists, and lacks something by itself."""
    found = {message for _, message in messages()}
    assert found >= COMPLETED.keys()
    assert not any(is_whole(message) for message in COMPLETED)


@pytest.mark.parametrize(
    "message",
    ["it failed", "{path} is damaged", "--seeds is wrong"],
    ids=["neither", "no-remedy", "no-remedy-for-a-flag"],
)
def test_the_rule_can_fail(message: str) -> None:
    """A message without a culprit or a remedy breaks the rule."""
    assert not is_whole(message)
