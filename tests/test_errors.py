import pytest

from lenet_multi.errors import (
    StartError,
    StoppedError,
    by,
    cannot_read,
    listed,
    named_reason,
    printable,
    reason,
    reason_in,
    unknown,
)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("  bad luck\nworse"), "bad luck"),
        (KeyError("layers"), "KeyError: 'layers'"),
        (
            ValueError("Example for <Dense>:\n\nShape mismatch"),
            "Example for <Dense>: Shape mismatch",
        ),
        (
            ValueError("In the layer:\nof the model:\nno shape\nodd"),
            "In the layer: of the model: no shape",
        ),
        (ValueError("only this:"), "only this"),
        (ValueError("[[node]]\n[[its]]\n[[place]]"), "ValueError: [[node]]"),
        (MemoryError(), "MemoryError"),
    ],
    ids=[
        *("two lines", "a word", "the reason comes next", "it comes later", "no reason comes"),
        *("places alone", "silent"),
    ],
)
def test_the_reason_is_one_line(error: Exception, line: str) -> None:
    """Another library's error becomes the one line with its reason."""
    assert reason(error) == line


NHWC = "The Conv2D op currently only supports the NHWC tensor format on the CPU."
IN_A_GRAPH = """Graph execution error:

Detected at node functional_1/conv2d_1/convolution defined at (most recent call last):
  File "/home/me/train.py", line 3, in <module>

  File "/lib/keras/src/utils/traceback_utils.py", line 117, in error_handler

{} The op was given the format: NCHW
\t [[{{{{node functional_1/conv2d_1/convolution}}}}]] [Op:__inference_train_steps_1090]"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (IN_A_GRAPH.format(NHWC), f"{NHWC} The op was given the format: NCHW"),
        (
            "2 root error(s) found.\n  (0) INVALID_ARGUMENT:  indices = 99 is not in [0, 3)\n\t "
            "[[{{node embedding}}]]\n\t [[while/exit/_12]]\n  (1) INVALID_ARGUMENT:  indices = 99 "
            "is not in [0, 3)\n\t [[{{node embedding}}]]\n0 successful operations.",
            "indices = 99 is not in [0, 3)",
        ),
        (
            "{{function_node __wrapped__MatMul_device_/job:localhost/replica:0}} Matrix size-"
            "incompatible: In[0]: [2,3], In[1]: [7,2] [Op:MatMul] name: ",
            "Matrix size-incompatible: In[0]: [2,3], In[1]: [7,2]",
        ),
        (
            'in user code:\n\n    File "my.py", line 3, in call  *\n        return 1 / zero\n\n'
            "    ZeroDivisionError: division by zero\n",
            "division by zero",
        ),
        (
            "Exception encountered when calling Bad.call().\n\n\x1b[1mshapes (7, 3) and (4, 2) do "
            "not match\x1b[0m\n\nArguments received by Bad.call():\n  • x=Tensor(shape=(7, 3))",
            "shapes (7, 3) and (4, 2) do not match (in Bad.call())",
        ),
        (
            "<class 'Dense'> could not be deserialized properly. Please ensure that components are "
            "right.\n\nconfig={'module': 'keras.layers'}.\n\nException encountered: unknown "
            "initializer 'Nope'",
            "unknown initializer 'Nope'",
        ),
        (
            "Unable to automatically build the model. Please build it yourself.\nException "
            "encountered:\n'Exception encountered when calling Bad.call().\n\n\x1b[1mno 'mode'"
            "\x1b[0m\n\nArguments received by Bad.call():\n  • x=Tensor(shape=(8, 3))'",
            "no 'mode' (in Bad.call())",
        ),
        (
            "Exception encountered: it broke.\nError encountered: 'the layer has no name'",
            "the layer has no name",
        ),
        (
            "The following operation failed in the TorchScript interpreter.\nTraceback of "
            'TorchScript (most recent call last):\n  File "linear.py", line 3, in forward\n    def '
            "f(x):\nRuntimeError: mat1 and mat2 shapes cannot be multiplied\n",
            "mat1 and mat2 shapes cannot be multiplied",
        ),
    ],
    ids=[
        "graph",
        "roots",
        "eager",
        "autograph",
        "layer",
        "config",
        "build",
        "inner",
        "torchscript",
    ],
)
def test_the_cause_is_found(text: str, line: str) -> None:
    """A backend puts places in the code around the cause; the line has the cause alone."""
    assert reason(RuntimeError(text)) == line
    assert named_reason(RuntimeError(text)) == f"RuntimeError: {line}"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyError("layers"), "KeyError: 'layers'"),
        (ValueError("ValueError: twice"), "ValueError: twice"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_a_type_is_named_once(error: Exception, line: str) -> None:
    """The type of the error stands in front once, even if the text begins with it."""
    assert named_reason(error) == line


TRACE = "Traceback (most recent call last):\n  File 'a.py', line 1, in <module>\n    raise\n"


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (f"noise\n{TRACE}ImportError: no libcuda\n", "ImportError: no libcuda"),
        (f"{TRACE}KeyError: 1\n\nDuring it:\n\n{TRACE}OSError: full\n", "OSError: full"),
        (f"{TRACE}lenet_multi.errors.UserError: a is b; drop a\n", "a is b; drop a"),
        (
            f"{TRACE}jax.errors.JaxRuntimeError: no CUDA\n--------------------\nFor simplicity, "
            "JAX has removed its internal frames from the traceback of the following exception.\n",
            "JaxRuntimeError: no CUDA",
        ),
        (f"{TRACE}RuntimeError: {IN_A_GRAPH.format(NHWC)}\n", f"RuntimeError: {NHWC} The op was"),
        (f"{TRACE}MemoryError\n", "MemoryError"),
        (
            "I0000 00:00:1 cpu.cc:1] hello\nF0000 00:00:17.1 12 parse_flags_from_env.cc:234] "
            "Unknown flag in XLA_FLAGS: --foo\n*** Check failure stack trace: ***\n    @ 0x7f\n",
            "Unknown flag in XLA_FLAGS: --foo",
        ),
        ("odd\nlast\n\n", "last"),
        ("odd\nmiddle\nlast\n", "last"),
        ("", ""),
    ],
    ids=[
        *("error", "two", "ours", "jax", "tensorflow", "silent", "fatal", "words", "more words"),
        "nothing",
    ],
)
def test_the_reason_of_a_processs_end_is_found(output: str, line: str) -> None:
    """The reason is the last error that a process printed, or what a library logged as fatal."""
    whole = f"{line} given the format: NCHW" if line.endswith("The op was") else line
    assert reason_in(output) == whole


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sieben é 七.png", "sieben é 七.png"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("bytes \udcff", "bytes \\udcff"),
        ("turned \u202e", "turned \\u202e"),
    ],
    ids=["text", "terminal", "no text", "direction"],
)
def test_what_is_no_text_is_escaped(text: str, shown: str) -> None:
    """Special characters in a file name are escaped, so it cannot control a terminal."""
    assert printable(text) == shown


def test_what_cannot_be_read_is_named_with_the_reason_and_the_remedy() -> None:
    """The system's words are the reason; an error without them says what it holds."""
    refused = cannot_read("a.npz", PermissionError(13, "Permission denied"))
    assert refused == "cannot read a.npz: Permission denied; give a readable file"
    assert cannot_read("a.npz", OSError("odd")) == "cannot read a.npz: odd; give a readable file"


def test_a_backend_that_does_not_start_is_one_line_with_its_parts() -> None:
    """The message has the backend, why, and the remedy; the last two can be taken apart."""
    error = StartError("jax", "no GPU is there", "unset JAX_PLATFORMS")
    assert str(error) == "jax does not start: no GPU is there; unset JAX_PLATFORMS"
    assert (error.why, error.remedy) == ("no GPU is there", "unset JAX_PLATFORMS")


def test_a_stop_names_its_signal() -> None:
    """The message has the signal's name, and its number is kept for the exit status."""
    error = StoppedError(15)
    assert (str(error), error.signal_number) == ("stopped by SIGTERM", 15)


def test_a_shape_is_shown_with_crosses() -> None:
    """A length that may be any is shown so."""
    assert by((28, None, 1)) == "28xanyx1"


def test_of_many_names_the_first_are_listed() -> None:
    """Twenty names are listed, of more the first twenty; a name has sixty letters at most."""
    assert listed([1, "b"]) == "1, b"
    twenty = [f"n{number}" for number in range(20)]
    assert listed(twenty) == ", ".join(twenty)
    assert listed([*twenty, *["more"] * 1000]) == f"{', '.join(twenty)} and 1,000 more"
    assert listed([*twenty, "more"]) == f"{', '.join(twenty)} and 1 more"
    assert listed(["x" * 60, "x" * 61]) == f"{'x' * 60}, {'x' * 60}..."


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("JAXX", ["tensorflow", "jax", "torch"], "did you mean 'jax'?"),
        ("numpy", ["jax", "torch"], "choose from jax, torch"),
        ("odd", [*map(str, range(20))], f"choose from {', '.join(map(str, range(20)))}"),
        ("odd", [*map(str, range(1021))], "give another: none of the 1,021 known is like it"),
    ],
    ids=["like one", "few", "twenty", "many"],
)
def test_what_is_not_known_is_answered_with_what_is(name: str, known: list[str], hint: str) -> None:
    """The nearest name is shown, in any case of letters, or else all names, if they are few."""
    assert unknown("backend", name, known) == f"unknown backend {name!r}; {hint}"
