"""Fused bf16 kernels in C for a CPU: each does in one pass over memory what torch does in several.

    gate, gate_back, norm, norm_back, turn, loss_rows     as in harness.engine.kernels.triton
    softmax(scores, bias, scale)           softmax(scale scores + bias) in place, and in bf16
    softmax_back(gradient, probs, scale)   its gradient with respect to the scores, in place
    split, join, join_back, split_back, sum_up     gather and scatter around attention's products

The machine's C compiler builds them at first use, in half a second; the library is kept in the
user's cache. Each kernel runs on the calling thread only. Arguments are not checked: tensors must
be bf16 and contiguous unless stated otherwise. `kernels.choice` decides whether they are used.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
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
"""Timeout of the compiler."""
SIZES = ("first", "rows", "n", "m", "queries", "keys", "width")


class Block(ctypes.Structure):
    """A block of `rows` rows of n places each, the last m of them queries; the struct of cpu.c."""

    _fields_ = (
        ("tokens", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in SIZES),
    )
    first: int
    rows: int
    n: int
    m: int
    queries: int
    keys: int
    width: int

    @classmethod
    def of(cls, tokens: torch.Tensor, slots: torch.Tensor, first: int, *sizes: int) -> Block:
        """From a pass's tokens (P,) and slots (T,), int64, which must outlive the Block.

        `first` is the index of the block's first place; `sizes` are the others of SIZES.
        """
        start = tokens.data_ptr() + first * tokens.element_size()
        return cls(start, slots.data_ptr(), first, *sizes)

    @property
    def query_shape(self) -> tuple[int, int, int]:
        """(rows * keys, group * m, width): query heads of one KV head are rows of one product."""
        return self.rows * self.keys, self.queries // self.keys * self.m, self.width

    @property
    def key_shape(self) -> tuple[int, int, int]:
        """(rows * keys, n, width), the shape of the keys and of the values."""
        return self.rows * self.keys, self.n, self.width


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

    cos and sin (T, size). `back` computes the
    gradient instead. Only the first dimension of source and target may be strided.
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


def softmax(scores: torch.Tensor, bias: torch.Tensor, scale: float) -> torch.Tensor:
    """softmax(scale scores + bias), written to scores in fp32 and returned in bf16.

    scores (R * keys, group * m, n) fp32, bias (R, m, n) fp32.
    """
    out = torch.empty_like(scores, dtype=torch.bfloat16)
    rows, m, n = bias.shape
    squares = scores.numel() // (m * n)
    _call("softmax", scores, bias, out, squares, squares // rows, m, n, scale)
    return out


def softmax_back(gradient: torch.Tensor, probs: torch.Tensor, scale: float) -> torch.Tensor:
    """gradient and probs, the softmax's output, (..., n); the gradient is overwritten."""
    n = probs.shape[-1]
    _call("softmax_back", gradient, probs, probs.numel() // n, n, scale)
    return gradient


def split(
    block: Block, each: torch.Tensor
) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """Gather the block's query, key and value from each (T, queries + 2 keys, width).

    Returns them in bf16, and the same in fp32. Shapes: `query_shape`, and twice `key_shape`.
    """
    buffers = []
    for dtype in (torch.bfloat16, torch.float32):
        keys_values = each.new_empty(2, *block.key_shape, dtype=dtype)
        buffers.append((each.new_empty(block.query_shape, dtype=dtype), keys_values))
    (query, keys_values), (query_fp32, keys_values_fp32) = buffers
    _call("split", block, each, query, query_fp32, keys_values, keys_values_fp32)
    return (query, *keys_values), (query_fp32, *keys_values_fp32)


def join(block: Block, attended: torch.Tensor, out: torch.Tensor) -> None:
    """Scatter attention's output, `query_shape` in fp32, into out (T, queries, width) in bf16."""
    _call("join", block, attended, out)


def join_back(block: Block, gradient: torch.Tensor) -> torch.Tensor:
    """gradient (T, queries * width) of `out` -> that of `attended` in `join`, in bf16."""
    grad_attended = gradient.new_empty(block.query_shape)
    _call("join_back", block, gradient, grad_attended)
    return grad_attended


def split_back(
    block: Block,
    grad_query: torch.Tensor,
    grad_key: torch.Tensor,
    grad_value: torch.Tensor,
    grad_each: torch.Tensor,
    sums: torch.Tensor,
) -> None:
    """Scatter the gradients of `split`'s outputs back to tokens.

    Those of queries are written to grad_each (T, queries + 2 keys, width); those of keys and values
    are added to sums (T, 2 keys, width) fp32, since several rows may attend to one token.
    """
    _call("split_back", block, grad_query, grad_key, grad_value, grad_each, sums)


def sum_up(sums: torch.Tensor, grad_each: torch.Tensor) -> None:
    """Write the sums of all blocks, rounded to bf16, to the keys and values of grad_each."""
    tokens, n = len(sums), sums[0].numel()
    _call("sum_up", sums, grad_each, tokens, grad_each[0].numel() - n, n)


def _call(name: str, *arguments: torch.Tensor | Block | int | float) -> None:
    """Call a C function; a tensor is passed as its data pointer, without its strides."""
    getattr(_library(), name)(*map(_converted, arguments))


def _converted(argument: torch.Tensor | Block | int | float) -> Any:
    if isinstance(argument, torch.Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, Block):
        return ctypes.byref(argument)
    return ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_int64(argument)


@cache
def _library() -> ctypes.CDLL:
    """The compiled library, built if it is not cached.

    Raises OSError or subprocess.SubprocessError if it cannot be built or loaded.
    """
    from harness.files import cache_folder

    program = compiler()
    if program is None:
        raise OSError("no C compiler")
    folder = cache_folder() / "kernels"
    folder.mkdir(parents=True, exist_ok=True)
    built = folder / f"cpu-{_fingerprint(program)}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            output = Path(temporary) / built.name
            command = [program, *OPTIONS, "-o", str(output), str(SOURCE), "-lm"]
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
            output.replace(built)
    return ctypes.CDLL(str(built))


def _fingerprint(program: str) -> str:
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
        SOURCE.read_bytes(),
        *map(os.fsencode, OPTIONS),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
