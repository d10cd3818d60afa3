import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lenet_multi.errors import StartError
from lenet_multi.machine import start_error
from lenet_multi.machine.start_error import explained, suspects

START = (
    "import sys; from lenet_multi.errors import UserError;"
    "from lenet_multi.machine.keras_start import start\n"
    "try: start(sys.argv[1])\n"
    "except UserError as error: print(error)\n"
    "else: print('started')"
)


def started(backend: str, **environ: str) -> str:
    """Return what a process says that starts `backend` with `environ`."""
    done = subprocess.run(
        [sys.executable, "-c", START, backend],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.strip()


# What stops each backend where there is no such device, or no such flag.
STOPPING = {
    "tensorflow": [
        *(("XLA_FLAGS", "--no_such_flag"), ("TF_XLA_FLAGS", "--no_such_flag")),
        ("TF_NUM_INTRAOP_THREADS", "-1"),
    ],
    "jax": [
        *(("JAX_PLATFORMS", "rocm"), ("JAX_PLATFORMS", "nonsense"), ("JAX_DISABLE_JIT", "perhaps")),
        *(("KERAS_NNX_ENABLED", "1"), ("XLA_FLAGS", "--no_such_flag=1")),
        *(("JAX_DEFAULT_MATMUL_PRECISION", "exact"), ("JAX_DISABLE_JIT", "1")),
        *(("JAX_NUMPY_RANK_PROMOTION", "raise"), ("JAX_NUMPY_DTYPE_PROMOTION", "strict")),
    ],
    "torch": [
        *(("KERAS_TORCH_DEVICE", "xpu"), ("KERAS_TORCH_DEVICE", "nonsense")),
        *(("KERAS_TORCH_DEVICE", ""), ("KERAS_TORCH_DEVICE", "meta")),
    ],
}


@pytest.mark.backend
def test_what_stops_a_backend_is_named(backend: str) -> None:
    """The one line names the variable that stops a start, with its value, and says to unset it."""
    for name, value in STOPPING[backend]:
        line = started(backend, **{name: value})
        assert line.startswith(f"{backend} does not start: "), (name, value)
        assert line.endswith(f"; unset {name} (now {value!r})"), line
        assert "\n" not in line


@pytest.mark.backend
@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "XLA_FLAGS"])
def test_what_a_backend_accepts_does_not_stop_it(backend: str, name: str) -> None:
    """A backend starts with odd values of variables that it ignores, and with right ones."""
    value = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}.get(name, "nonsense")
    assert started(backend, **{name: value}) == "started"


@pytest.mark.parametrize(
    ("text", "environ", "found"),
    [
        (
            "Unable to initialize 'cuda'",
            {"JAX_PLATFORMS": "cuda", "JAX_TRACE": "1"},
            "JAX_PLATFORMS",
        ),
        ("see PROTO_KIND_X; cuda", {"PROTO_KIND_X": "c", "JAX_PLATFORMS": "cuda"}, "PROTO_KIND_X"),
        ("it failed", {"JAX_A": "x", "XLA_B": "y", "TF_C": "z", "PATH": "/bin"}, "JAX_A XLA_B"),
        ("no module", {"PATH": "/bin", "JAX_ENABLE_X64": "0", "KERAS_BACKEND": "jax"}, ""),
    ],
    ids=["value", "name", "all", "none"],
)
def test_the_suspects_are_few(text: str, environ: dict[str, str], found: str) -> None:
    """Suspects are variables named in the error, else values in it, else all that it reads."""
    assert suspects("jax", text, environ) == found.split()


def test_variables_of_other_programs_are_no_suspects() -> None:
    """Terraform's variables begin as TensorFlow's do; protobuf's stop TensorFlow."""
    environ = {"TF_CLI_CONFIG_FILE": "/x", "TF_VAR_region": "eu", "TF_LOG": "", "TF_XLA_FLAGS": "x"}
    assert suspects("tensorflow", "it failed", environ) == ["TF_XLA_FLAGS"]
    environ = {"TF_VAR_region": "eu", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "cpp"}
    assert suspects("tensorflow", "it failed", environ) == list(environ)[1:]


def test_without_a_suspect_the_backend_is_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no variable is to blame, the remedy is to install the backend again."""
    monkeypatch.setattr(os, "environ", {"PATH": "/bin"})
    with pytest.raises(StartError) as raised, explained("torch"):
        raise ImportError("libtorch_cpu.so: cannot open shared object file.")
    assert str(raised.value) == (
        "torch does not start: libtorch_cpu.so: cannot open shared object file; install it again "
        "with: pip install --force-reinstall torch"
    )


def test_a_file_that_hides_a_library_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No other copy of the backend helps where a user's file has the name of what it needs."""
    monkeypatch.chdir(tmp_path)
    file = SimpleNamespace(__file__=str(tmp_path / "wave.py"))
    monkeypatch.setitem(sys.modules, "wave", file)
    with pytest.raises(StartError) as raised, explained("jax"):
        raise ImportError("this version of jax requires wave >= 0.10.")
    assert str(raised.value) == (
        f"jax does not start: {tmp_path}/wave.py hides a module (this version of jax requires wave "
        ">= 0.10); rename it, or work in another folder"
    )


def test_an_error_without_a_word_is_named_and_a_long_one_is_cut() -> None:
    """The line says what it can, and fits on a screen."""
    with (
        pytest.raises(StartError, match="does not start: AssertionError without a word; "),
        explained("jax"),
    ):
        raise AssertionError
    with pytest.raises(StartError) as raised, explained("torch"):
        raise RuntimeError("no such device " * 100)
    assert len(raised.value.why) < 300
    assert raised.value.why.endswith(" ...")


def test_flags_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process and its children try the same flags once, and those that we set not at all."""
    tried = []

    def run(*given: object, **named: object) -> object:
        tried.append(given)
        return subprocess.CompletedProcess((), 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.delenv("LENET_MULTI_FLAGS_TRIED", raising=False)
    for flags, trials in (
        ("", 0),
        ("--xla_cpu_max_isa=AVX2", 0),
        ("--a", 1),
        ("--a", 1),
        ("--b", 2),
    ):
        monkeypatch.setenv("XLA_FLAGS", flags)
        start_error.refuse_deadly_flags("jax")
        start_error.refuse_deadly_flags("torch")
        assert len(tried) == trials, flags


@pytest.mark.parametrize(
    ("backend", "text", "environ", "found"),
    [
        ("torch", "odd", {"KERAS_TORCH_X": "1", "TORCH_X": "1", "PYTORCH_X": "1"}, 3),
        ("tensorflow", "odd", {"TF_X": "1", "XLA_X": "1", "JAX_X": "1"}, 2),
        ("openvino", "odd", {"KERAS_NNX_X": "1", "CUDA_X": "1", "TF_X": "1"}, 2),
        ("jax", "odd", {"JAX_X": "", "JAX_Y": "2"}, 2),
        ("jax", "Is it ON?", {"JAX_X": "on", "JAX_Y": "off"}, 1),
        ("jax", "JAX_XY is odd", {"JAX_X": "1", "JAX_XY": "2"}, 1),
        ("jax", "PATH is odd", {"PATH": "/bin"}, 0),
    ],
)
def test_each_backend_reads_its_own(
    backend: str, text: str, environ: dict[str, str], found: int
) -> None:
    """A whole name counts, in the order of the variables; a value counts in any case."""
    assert len(suspects(backend, text, environ)) == found


def test_all_suspects_are_to_be_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its value beside it."""
    monkeypatch.setattr(os, "environ", {})
    environ = {"JAX_X": "1", "JAX_Y": "two"}
    assert start_error._remedy("jax", "odd", environ) == (
        "unset JAX_X (now '1') or JAX_Y (now 'two')"
    )
    assert start_error._remedy("numpy", "odd", {}) == (
        "install it again with: pip install --force-reinstall jax"
    )


@pytest.mark.parametrize(
    ("returncode", "stderr", "raises"),
    [
        (1, "F0000 00:00:17.1 12 a.cc:234] Unknown flag\n", True),
        (-6, "", True),
        (1, "Traceback (most recent call last):\nValueError: odd\n", False),
        (0, "a warning\n", False),
    ],
)
def test_a_flag_that_ends_the_process_is_refused(
    monkeypatch: pytest.MonkeyPatch, returncode: int, stderr: str, raises: bool
) -> None:
    """The line has what was logged, and every flag; what raises an error is left to the start."""

    def run(command: list[str], **named: object) -> object:
        assert command[:2] == [sys.executable, "-c"]
        assert "tensorflow" in command[2]
        assert named["stdin"] == subprocess.DEVNULL
        assert named["capture_output"]
        assert named["text"]
        return subprocess.CompletedProcess((), returncode, "", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    for name, value in (("XLA_FLAGS", "--a"), ("TF_XLA_FLAGS", "--b")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LENET_MULTI_FLAGS_TRIED", "others")
    if not raises:
        start_error.refuse_deadly_flags("tensorflow")
        assert os.environ["LENET_MULTI_FLAGS_TRIED"].startswith("tensorflow {")
        return
    with pytest.raises(StartError) as raised:
        start_error.refuse_deadly_flags("tensorflow")
    assert raised.value.why == ("Unknown flag" if stderr else "")
    assert raised.value.remedy == ("unset XLA_FLAGS (now '--a') or TF_XLA_FLAGS (now '--b')")
    assert os.environ["LENET_MULTI_FLAGS_TRIED"] == "others"


def test_a_reason_is_cut_at_a_word() -> None:
    """A full stop at its end is left out; the error itself is the cause."""
    cause = RuntimeError("word " * 100)
    with pytest.raises(StartError) as raised, explained("jax"):
        raise cause
    assert raised.value.why == "word " * 49 + "..."
    assert raised.value.__cause__ is cause
