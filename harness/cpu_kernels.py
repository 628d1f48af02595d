"""What torch does on a CPU in several passes over memory, in one: kernels in C, for bf16.

    gate, gate_back, norm, norm_back, turn, loss_rows     as harness.triton_kernels has them
    shares(scores, bias, scale)            softmax(scale scores + bias) in place, and in bf16
    shares_back(gradient, share, scale)    the gradient by scores, in place of that by their shares

Built by the machine's own C compiler at first use, in half a second, and kept in the user's cache.
Each works on the calling thread alone. `harness.kernels` says whether they may be used.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

SOURCE = Path(__file__).with_suffix(".c")
COMPILERS = ("cc", "gcc", "clang")
OPTIONS = (
    *("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd"),
    *("-shared", "-fPIC"),
)
SECONDS = 60
"""How long a compiler may take."""


def compiler() -> str | None:
    """The machine's C compiler."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def gate(both: torch.Tensor) -> torch.Tensor:
    rows, n = len(both), both.shape[1] // 2
    out = both.new_empty(rows, n)
    _call("gate", both, out, rows, n)
    return out


def gate_back(both: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    by_both, out = torch.empty_like(both), torch.empty_like(gradient)
    _call("gate_back", both, gradient, by_both, out, *gradient.shape)
    return by_both, out


def norm(
    x: torch.Tensor, weight: torch.Tensor, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    out, inverse = torch.empty_like(x), x.new_empty(len(x), dtype=torch.float32)
    _call("norm", x, weight, out, inverse, *x.shape, epsilon)
    return out, inverse


def norm_back(
    x: torch.Tensor, weight: torch.Tensor, inverse: torch.Tensor, gradient: torch.Tensor
) -> torch.Tensor:
    out = torch.empty_like(x)
    _call("norm_back", x, weight, inverse, gradient, out, *x.shape)
    return out


def turn(
    source: torch.Tensor,
    target: torch.Tensor,
    cos: torch.Tensor,
    signed: torch.Tensor,
    *,
    back: bool = False,
) -> None:
    rows, heads, size = source.shape
    strides = source.stride(0), target.stride(0)
    _call("turn", source, target, cos, signed, *strides, rows, heads, size // 2, int(back))


def loss_rows(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    losses = logits.new_empty(len(logits), dtype=torch.float32)
    _call("loss_rows", logits, labels, losses, *logits.shape)
    return losses


def shares(scores: torch.Tensor, bias: torch.Tensor, scale: float) -> torch.Tensor:
    """scores (R * each, group * m, n) fp32, overwritten; bias (R, m, n) fp32; rounded shares."""
    out = torch.empty_like(scores, dtype=torch.bfloat16)
    rows, m, n = bias.shape
    squares = scores.numel() // (m * n)
    _call("shares", scores, bias, out, squares, squares // rows, m, n, scale)
    return out


def shares_back(gradient: torch.Tensor, share: torch.Tensor, scale: float) -> torch.Tensor:
    """Both (..., n); the gradient is overwritten."""
    n = share.shape[-1]
    _call("shares_back", gradient, share, share.numel() // n, n, scale)
    return gradient


def _call(name: str, *given: torch.Tensor | int | float) -> None:
    """Hand over tensors as addresses: what is not in one piece must say so by its strides."""
    converted: list[Any] = [
        ctypes.c_void_p(each.data_ptr())
        if isinstance(each, torch.Tensor)
        else ctypes.c_float(each)
        if isinstance(each, float)
        else ctypes.c_int64(each)
        for each in given
    ]
    getattr(_library(), name)(*converted)


@cache
def _library() -> ctypes.CDLL:
    """Raises OSError and subprocess.SubprocessError where it cannot be built or loaded."""
    from harness.models import cache_folder

    program = compiler()
    if program is None:
        raise OSError("no C compiler")
    folder = cache_folder() / "kernels"
    folder.mkdir(parents=True, exist_ok=True)
    built = folder / f"cpu-{_fingerprint(program)}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            made = Path(temporary) / built.name
            command = [program, *OPTIONS, "-o", str(made), str(SOURCE), "-lm"]
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
            made.replace(built)
    return ctypes.CDLL(str(built))


def _fingerprint(program: str) -> str:
    """Of all that the built kernels depend on: a home may be shared by unlike machines."""
    said = subprocess.run([program, "--version"], capture_output=True, timeout=SECONDS).stdout
    flags = b""
    if (known := Path("/proc/cpuinfo")).exists():
        flags = next((x for x in known.read_bytes().splitlines() if x.startswith(b"flags")), b"")
    parts = (
        said,
        flags,
        platform.machine().encode(),
        SOURCE.read_bytes(),
        *map(os.fsencode, OPTIONS),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
