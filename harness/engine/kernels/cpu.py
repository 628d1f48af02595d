"""Fused bf16 kernels in C for a CPU: each does in one pass over memory what torch does in several.

    gate, gate_back, norm, norm_back, turn, loss_rows     as in kernels.triton

The machine's C compiler builds them at first use, in half a second; the library is kept in the
user's cache, and loaded from there only if nobody else can have written it. Each kernel runs on the
calling thread only. Arguments are not checked: tensors must be bf16 and contiguous unless stated
otherwise. `kernels.choice` decides whether they are used.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

SOURCE = Path(__file__).with_suffix(".c")
HEADER = SOURCE.with_name("exponential.h")
COMPILERS = ("cc", "gcc", "clang")
OPTIONS = (
    *("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd"),
    *("-shared", "-fPIC"),
)
SECONDS = 60
"""Timeout of the compiler."""


def compiler() -> str | None:
    """The C compiler's path, or None. Linux only: on macOS, running `cc` may open a dialog."""
    if not sys.platform.startswith("linux"):
        return None
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def gate(both: torch.Tensor) -> torch.Tensor:
    """both (T, 2 n) -> silu(g) u (T, n)."""
    rows, n = len(both), both.shape[1] // 2
    out = both.new_empty(rows, n)
    _call("gate", both, out, rows, n)
    return out


def gate_back(both: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """both (T, 2 n), gradient (T, n) -> the gradient with respect to `both`, and gate(both)."""
    grad_both, out = torch.empty_like(both), torch.empty_like(gradient)
    _call("gate_back", both, gradient, grad_both, out, *gradient.shape)
    return grad_both, out


def norm(
    x: torch.Tensor, weight: torch.Tensor, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """x (T, n), weight (n,) -> (T, n), and 1 / sqrt(mean(x^2) + epsilon) (T,) fp32."""
    out, inverse = torch.empty_like(x), x.new_empty(len(x), dtype=torch.float32)
    _call("norm", x, weight, out, inverse, *x.shape, epsilon)
    return out, inverse


def norm_back(
    x: torch.Tensor, weight: torch.Tensor, inverse: torch.Tensor, gradient: torch.Tensor
) -> torch.Tensor:
    """The gradient with respect to x (T, n); gradient (T, n), inverse as returned by `norm`."""
    out = torch.empty_like(x)
    _call("norm_back", x, weight, inverse, gradient, out, *x.shape)
    return out


def turn(
    source: torch.Tensor,
    target: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    *,
    back: bool = False,
) -> None:
    """Rotary embedding of source (T, heads, size) into target, which may be the same tensor.

    cos and sin (T, size). `back` computes the gradient instead. Only the first dimension of source
    and target may be strided.
    """
    rows, heads, size = source.shape
    strides = source.stride(0), target.stride(0)
    _call("turn", source, target, cos, sin, *strides, rows, heads, size // 2, int(back))


def loss_rows(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy of each row of logits (N, V), which are overwritten by their gradient.

    labels (N,), negative to ignore a row -> losses (N,) fp32.
    """
    losses = logits.new_empty(len(logits), dtype=torch.float32)
    _call("loss_rows", logits, labels, losses, *logits.shape)
    return losses


def _call(name: str, *arguments: torch.Tensor | int | float) -> None:
    """Call a C function; a tensor is passed as its data pointer, without its strides."""
    getattr(library(SOURCE), name)(*map(_converted, arguments))


def _converted(argument: torch.Tensor | int | float) -> Any:
    if isinstance(argument, torch.Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_int64(argument)


@cache
def library(source: Path, *options: str) -> ctypes.CDLL:
    """The compiled library: the cached one, or if it is damaged or not safe to load, a new one.

    Its name ends with its hash. Raises OSError or subprocess.SubprocessError if it cannot be built
    or loaded.
    """
    from fmtharness.harness.files import held_folder, sweep

    program = compiler()
    if program is None:
        raise OSError("no C compiler")
    options = (*OPTIONS, *options)
    name = f"{source.stem}-{_fingerprint(program, source, options)}"
    folder = _own_folder()
    for known in sorted(folder.glob(f"{name}-*.so")) if folder else ():
        if (loaded := _loaded(known)) is not None:
            return loaded
    if folder is not None:
        sweep(folder)
    with held_folder(folder or Path(tempfile.gettempdir()), name) as temporary:
        output = temporary / f"{name}.so"
        command = [program, *options, "-o", str(output), str(source), "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
        output.chmod(0o700)
        built = output.rename(output.with_stem(f"{name}-{_digest(output.read_bytes())}"))
        if (loaded := _loaded(built)) is None:
            raise OSError(f"{built} is not what the compiler wrote")
        if folder is not None:
            built.replace(folder / built.name)
    return loaded


def _own_folder() -> Path | None:
    """The cache's folder of kernels, if it is the user's own and no one else may write to it."""
    from fmtharness.harness.files import cache_folder

    folder = cache_folder() / "kernels"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    return folder if stat.S_ISDIR(found.st_mode) and _is_own(found) else None


def _is_own(found: os.stat_result) -> bool:
    others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return found.st_uid == os.getuid() and not others_write


def _loaded(path: Path) -> ctypes.CDLL | None:
    """The library, unless it is not the user's own, or not what was built."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(opened, "rb") as file:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or not _is_own(found):
            return None
        if not path.stem.endswith(f"-{_digest(file.read())}"):
            return None
        # By its descriptor: another file may stand at the path by now. It stays open, since the
        # loader takes two files whose descriptors have one number for one library.
        return ctypes.CDLL(f"/proc/self/fd/{os.dup(opened)}")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _fingerprint(program: str, source: Path, options: Sequence[str]) -> str:
    """A hash of the compiler's version, the CPU's features, the source and the options.

    Different machines may share the home folder that holds the cache.
    """
    version = subprocess.run([program, "--version"], capture_output=True, timeout=SECONDS).stdout
    flags = b""
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        flags = next((x for x in cpuinfo.read_bytes().splitlines() if x.startswith(b"flags")), b"")
    parts = (
        version,
        flags,
        platform.machine().encode(),
        source.read_bytes(),
        HEADER.read_bytes(),
        *map(os.fsencode, options),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
