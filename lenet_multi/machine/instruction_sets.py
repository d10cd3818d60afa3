"""The instruction set that each backend computes with, and how to hold it to an older one.

A newer instruction set adds the terms of a sum in another order, so it rounds differently.
A processor of 2015 (AVX2) and one of today (AVX-512) therefore give other bits.

Two libraries do not obey in full. XLA's matrix products use all that the processor has, and MKL on
an AMD processor chooses by itself (benchmarks/README.md, "AVX2 alone").
"""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from lenet_multi.errors import UserError, unknown

SSE41, AVX2, AVX512 = "sse4.1", "avx2", "avx512"
INSTRUCTION_SETS = (SSE41, AVX2, AVX512)  # from old to new

# A processor has an instruction set when Linux lists these flags.
_FLAGS = {
    SSE41: {"sse4_1"},
    AVX2: {"avx2", "fma"},
    AVX512: {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
}

# The variable that holds each library to an instruction set, and its value for each. MKL obeys its
# own on Intel's processors only: on an AMD EPYC (family 26) it changed no bit.
_XLA = "--xla_cpu_max_isa="
_SETTINGS = {
    "oneDNN": ("ONEDNN_MAX_CPU_ISA", ("SSE41", "AVX2", "AVX512_CORE")),
    "ATen": ("ATEN_CPU_CAPABILITY", ("default", "avx2", "avx512")),
    "XLA": ("XLA_FLAGS", (f"{_XLA}SSE4_2", f"{_XLA}AVX2", f"{_XLA}AVX512")),
    "MKL": ("MKL_ENABLE_INSTRUCTIONS", ("SSE4_2", "AVX2", "AVX512")),
}

# What each backend computes with. PyTorch also uses MKL, which tells nobody what it chose.
_LIBRARIES = {"tensorflow": ("oneDNN", "XLA"), "jax": ("XLA",), "torch": ("ATen", "oneDNN")}


def of_processor() -> str:
    """Return the newest instruction set of this processor; elsewhere than on x86 its kind.

    Linux alone tells the flags; other systems give the processor's kind, such as "arm64".
    """
    flags = set(cpuinfo().get("flags", "").split())
    found = [name for name in INSTRUCTION_SETS if _FLAGS[name] <= flags]
    return found[-1] if found else platform.machine()


def cpuinfo() -> dict[str, str]:
    """Return what Linux tells of the first processor, by name; nothing on other systems."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    lines = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def held_to(name: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that hold every library of a new process to instruction set `name`.

    Raises `UserError` when there is no such instruction set, or this processor lacks it.
    """
    if name not in INSTRUCTION_SETS:
        raise UserError(unknown("instruction set", name, INSTRUCTION_SETS))
    newest = of_processor()
    if _rank(name) > _rank(newest):
        raise UserError(
            f"this processor has no {name}, as far as the system tells; its newest instruction set "
            f"is {newest}"
        )
    variables = {variable: values[_rank(name)] for variable, values in _SETTINGS.values()}
    others = [flag for flag in environ.get("XLA_FLAGS", "").split() if not flag.startswith(_XLA)]
    variables["XLA_FLAGS"] = " ".join([*others, variables["XLA_FLAGS"]])
    if name == SSE41:
        variables["MKL_CBWR"] = "COMPATIBLE"  # which changes bits on the EPYC too, but only here
    return variables


def used(backend: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the instruction set that `backend` may use: the processor's, or an older one if held.

    Without a backend it is that of all libraries. Where they differ, each is named:
    "ATen avx2, oneDNN avx512". MKL is left out, because it does not tell.
    """
    newest = of_processor()
    libraries = _LIBRARIES.get(backend or "", ("oneDNN", "ATen", "XLA"))
    by_library = {library: _allowed(library, newest, environ) for library in libraries}
    if len(names := set(by_library.values())) == 1:
        return names.pop()
    return ", ".join(f"{library} {name}" for library, name in by_library.items())


def _rank(name: str) -> int:
    return INSTRUCTION_SETS.index(name) if name in INSTRUCTION_SETS else -1


def _allowed(library: str, newest: str, environ: Mapping[str, str]) -> str:
    """Return the older one of what the processor has and what the library is held to."""
    variable, values = _SETTINGS[library]
    prefix = _XLA if variable == "XLA_FLAGS" else ""
    words = [word for word in environ.get(variable, "").split() if word.startswith(prefix)]
    if not words:
        return newest
    asked = words[-1].lower()
    known = {value.lower(): name for value, name in zip(values, INSTRUCTION_SETS, strict=True)}
    if asked not in known:
        return asked.removeprefix(_XLA)
    return min(newest, known[asked], key=_rank)
