import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from lenet_multi.errors import UserError
from lenet_multi.machine import instruction_sets
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.machine.instruction_sets import (
    AVX2,
    AVX512,
    INSTRUCTION_SETS,
    SSE41,
    held_to,
    used,
)

AVX512_FLAGS = "fpu sse4_1 avx2 fma avx512f avx512bw avx512dq avx512vl"


def flags(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Make Linux list these flags of the processor."""
    cpuinfo = f"model name\t: a processor\nflags\t\t: {words}\n\n"
    monkeypatch.setattr(Path, "read_text", lambda path: cpuinfo)


@pytest.mark.parametrize(
    ("words", "newest"),
    [
        (AVX512_FLAGS, AVX512),
        ("fpu sse4_1 avx2 fma", AVX2),
        ("fpu sse4_1 avx2 fma avx512f", AVX2),
        ("sse4_1", SSE41),
        ("asimd", "aarch64"),
    ],
    ids=["avx512", "avx2", "a part of avx512", "sse4.1", "no x86"],
)
def test_the_processors_newest_is_found(
    words: str, newest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instruction set counts only if the processor has all its flags."""
    flags(monkeypatch, words)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert instruction_sets.of_processor() == newest


def test_without_linuxs_file_the_kind_of_processor_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without Linux's file, the kind of processor is used instead."""

    def refuse(path: Path) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert used("jax", {}) == platform.machine()


def test_the_first_processors_facts_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, from Linux's file; a fact may have colons, or be empty."""
    first = "processor\t: 0\nmodel name\t: A: B\nflags\t\t: a b\npower\n"
    contents = {"/proc/cpuinfo": f"{first}\nprocessor\t: 1\nmodel name\t: C\n\n"}
    monkeypatch.setattr(Path, "read_text", lambda path: contents[str(path)])
    facts = {"processor": "0", "model name": "A: B", "flags": "a b", "power": ""}
    assert instruction_sets.cpuinfo() == facts


def test_every_library_has_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """MKL needs a second one for the oldest set alone."""
    flags(monkeypatch, AVX512_FLAGS)
    assert held_to(AVX2, {}) == {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    }
    assert held_to(SSE41, {}) == {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "MKL_CBWR": "COMPATIBLE",
    }


def test_a_processor_of_another_kind_has_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be held to one, and a user's limit gives it none."""
    flags(monkeypatch, "asimd")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(UserError, match=r"no sse4\.1, as far as .* \(newest: aarch64\)"):
        held_to(SSE41, {})
    assert used("jax", {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}) == "aarch64"


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_held_is_used(backend: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every library of a backend obeys the limit, so the record names one instruction set."""
    flags(monkeypatch, AVX512_FLAGS)
    assert used(backend, held_to(name, {})) == name


@pytest.mark.parametrize(
    ("backend", "environ", "words"),
    [
        ("torch", {"ATEN_CPU_CAPABILITY": "avx2"}, "ATen avx2, oneDNN avx512"),
        ("torch", {"ONEDNN_MAX_CPU_ISA": "AVX"}, "ATen avx512, oneDNN avx"),
        ("tensorflow", {"ONEDNN_MAX_CPU_ISA": "avx2"}, "oneDNN avx2, XLA avx512"),
        ("jax", {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2 --xla_dump_to=x"}, "avx2"),
        ("jax", {"XLA_FLAGS": "--xla_dump_to=x"}, "avx512"),
        ("jax", {"XLA_FLAGS": "--xla_cpu_max_isa=AVX"}, "avx"),
        ("jax", {"ATEN_CPU_CAPABILITY": "avx2"}, "avx512"),
        (None, {"ATEN_CPU_CAPABILITY": "avx2"}, "oneDNN avx512, ATen avx2, XLA avx512"),
    ],
    ids=[
        *("one of two", "another", "tensorflow", "two flags", "no limit", "no name", "not its own"),
        "all",
    ],
)
def test_a_users_own_setting_is_recorded(
    backend: str | None, environ: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the libraries of a backend differ, the record names each."""
    flags(monkeypatch, AVX512_FLAGS)
    assert used(backend, environ) == words


def test_a_setting_gives_the_processor_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library allowed to use AVX-512 still uses AVX2 on a processor without AVX-512."""
    flags(monkeypatch, "sse4_1 avx2 fma")
    assert used("torch", {"ATEN_CPU_CAPABILITY": "avx512"}) == AVX2


def test_other_flags_of_xla_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other flags of XLA stay; only its limit is replaced."""
    flags(monkeypatch, AVX512_FLAGS)
    environ = {"XLA_FLAGS": "--xla_dump_to=x --xla_cpu_max_isa=AVX2"}
    assert held_to(SSE41, environ)["XLA_FLAGS"] == "--xla_dump_to=x --xla_cpu_max_isa=SSE4_2"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("avx-2", "unknown instruction set 'avx-2'; did you mean 'avx2'?"),
        (
            "avx512",
            "this processor has no avx512, as far as the system reports (newest: avx2); drop it or "
            "choose an older one",
        ),
    ],
    ids=["unknown", "too new"],
)
def test_an_instruction_set_that_is_not_there_is_refused(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the available instruction sets."""
    flags(monkeypatch, "sse4_1 avx2 fma")
    with pytest.raises(UserError) as refused:
        held_to(name)
    assert str(refused.value) == message


SUMS = (
    "import hashlib, keras, numpy;"
    "from keras.layers import *;"
    "layers = [Input((16, 16, 8)), Conv2D(20, 5), Flatten(), Dense(500, 'tanh')];"
    "model = keras.Sequential(layers);"
    "draw = numpy.random.default_rng(0).standard_normal;"
    "model.set_weights([draw(w.shape) for w in model.weights]);"
    "answers = model.predict(draw((256, 16, 16, 8)).astype('float32'), verbose=0);"
    "print(hashlib.sha256(answers.tobytes()).hexdigest())"
)


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_an_older_instruction_set_rounds_otherwise() -> None:
    """The settings reach the libraries: an older set changes bits, the same set never does."""

    def bits(name: str) -> str:
        environ = {**os.environ, **held_to(name)}
        command = [sys.executable, "-c", SUMS]
        return subprocess.check_output(command, env=environ, text=True).split()[-1]

    newest = instruction_sets.of_processor()
    assert bits(newest) == bits(newest) != bits(SSE41)
