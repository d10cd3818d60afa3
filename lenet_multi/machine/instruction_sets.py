"""The instruction set that each backend uses, and how to limit it to an older one.

A newer instruction set adds the terms of a sum in another order, so it rounds differently.
A processor of 2015 (AVX2) and a current one (AVX-512) therefore give different bits. Two libraries
do not obey fully: XLA's matrix products use all that the processor has, and MKL makes its own
choice on an AMD processor (benchmarks/README.md, "AVX2 alone").
"""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from lenet_multi.errors import UserError, unknown

SSE41, AVX2, AVX512 = "sse4.1", "avx2", "avx512"
INSTRUCTION_SETS = (SSE41, AVX2, AVX512)  # from old to new

# A processor has an instruction set if Linux lists these flags.
_FLAGS = {
    SSE41: {"sse4_1"},
    AVX2: {"avx2", "fma"},
    AVX512: {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
}

# The variable that limits each library, and its value for each instruction set. MKL obeys its
# variable on Intel's processors only: on an AMD EPYC (family 26) it changed no bit.
_XLA = "--xla_cpu_max_isa="
_SETTINGS = {
    "oneDNN": ("ONEDNN_MAX_CPU_ISA", ("SSE41", "AVX2", "AVX512_CORE")),
    "ATen": ("ATEN_CPU_CAPABILITY", ("default", "avx2", "avx512")),
    "XLA": ("XLA_FLAGS", (f"{_XLA}SSE4_2", f"{_XLA}AVX2", f"{_XLA}AVX512")),
    "MKL": ("MKL_ENABLE_INSTRUCTIONS", ("SSE4_2", "AVX2", "AVX512")),
}

OF_XLA = set(_SETTINGS["XLA"][1])  # what `held_to` sets XLA_FLAGS to

# The libraries of each backend. PyTorch also uses MKL, which does not report its choice.
_LIBRARIES: Mapping[str | None, tuple[str, ...]] = {
    "tensorflow": ("oneDNN", "XLA"),
    "jax": ("XLA",),
    "torch": ("ATen", "oneDNN"),
}


def of_processor() -> str:
    """Return the newest instruction set (Linux on x86), or the processor's kind, such as arm64."""
    flags = set(cpuinfo().get("flags", "").split())
    found = [name for name in INSTRUCTION_SETS if _FLAGS[name] <= flags]
    return found[-1] if found else platform.machine()


def cpuinfo() -> dict[str, str]:
    """Return Linux's facts about the first processor, by name; none on other systems."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    lines = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def held_to(name: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that limit every library of a new process to instruction set `name`.

    Raises `UserError` when `name` is unknown, or this processor lacks it.
    """
    if name not in INSTRUCTION_SETS:
        raise UserError(unknown("instruction set", name, INSTRUCTION_SETS))
    newest = of_processor()
    if _rank(name) > _rank(newest):
        raise UserError(
            f"this processor has no {name}, as far as the system reports (newest: {newest}); drop "
            "it or choose an older one"
        )
    variables = {variable: values[_rank(name)] for variable, values in _SETTINGS.values()}
    others = [flag for flag in environ.get("XLA_FLAGS", "").split() if not flag.startswith(_XLA)]
    variables["XLA_FLAGS"] = " ".join([*others, variables["XLA_FLAGS"]])
    if name == SSE41:
        variables["MKL_CBWR"] = "COMPATIBLE"  # on the EPYC, only this changes MKL's bits
    return variables


def used(backend: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the instruction set that `backend` may use: the processor's, or an older limit.

    Without a backend, return that of all libraries. If libraries differ, name each:
    "ATen avx2, oneDNN avx512". MKL is left out, because it does not report its choice.
    """
    newest = of_processor()
    libraries = _LIBRARIES.get(backend, ("oneDNN", "ATen", "XLA"))
    by_library = {library: _allowed(library, newest, environ) for library in libraries}
    if len(names := set(by_library.values())) == 1:
        return names.pop()
    return ", ".join(f"{library} {name}" for library, name in by_library.items())


def _rank(name: str) -> int:
    return INSTRUCTION_SETS.index(name) if name in INSTRUCTION_SETS else -1


def _allowed(library: str, newest: str, environ: Mapping[str, str]) -> str:
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
