"""What torch does on a CPU in several passes over memory, in one: kernels in C, for bf16.

    gate, gate_back, norm, norm_back, turn, loss_rows     as harness.engine.kernels.triton has them
    softmax(scores, bias, scale)           softmax(scale scores + bias) in place, and in bf16
    softmax_back(gradient, share, scale)   its gradient with respect to the scores, in place
    split, join, join_back, split_back, sum_up     between tokens and the products of attention

Built by the machine's own C compiler at first use, in half a second, and kept in the user's cache.
Each works on the calling thread alone. `kernels.choice` says whether they may be used.
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
"""How long a compiler may take."""
SIZES = ("first", "rows", "n", "m", "queries", "keys", "width")


class Block(ctypes.Structure):
    """Rows of n places each, of which the last m ask; as in cpu_kernels.c."""

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
        """tokens (P,) and slots (T,) must outlive it; `first` is its first place."""
        start = tokens.data_ptr() + first * tokens.element_size()
        return cls(start, slots.data_ptr(), first, *sizes)

    @property
    def asking(self) -> tuple[int, int, int]:
        """The shape of what asks: query heads that share a key are rows of one product."""
        return self.rows * self.keys, self.queries // self.keys * self.m, self.width

    @property
    def asked(self) -> tuple[int, int, int]:
        return self.rows * self.keys, self.n, self.width


def compiler() -> str | None:
    """The machine's C compiler; elsewhere than on Linux, asking for one may open windows."""
    if not sys.platform.startswith("linux"):
        return None
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


def softmax(scores: torch.Tensor, bias: torch.Tensor, scale: float) -> torch.Tensor:
    """scores (R * keys, group * m, n) fp32, overwritten; bias (R, m, n) fp32; returned in bf16."""
    out = torch.empty_like(scores, dtype=torch.bfloat16)
    rows, m, n = bias.shape
    squares = scores.numel() // (m * n)
    _call("softmax", scores, bias, out, squares, squares // rows, m, n, scale)
    return out


def softmax_back(gradient: torch.Tensor, share: torch.Tensor, scale: float) -> torch.Tensor:
    """The softmax and its gradient, both (..., n); the gradient is overwritten."""
    n = share.shape[-1]
    _call("softmax_back", gradient, share, share.numel() // n, n, scale)
    return gradient


def split(
    block: Block, each: torch.Tensor
) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """each (T, queries + 2 keys, width) as queries, keys and values; the same in fp32."""
    made = []
    for dtype in (torch.bfloat16, torch.float32):
        others = each.new_empty(2, *block.asked, dtype=dtype)
        made.append((each.new_empty(block.asking, dtype=dtype), others))
    (query, others), (query_wide, others_wide) = made
    _call("split", block, each, query, query_wide, others, others_wide)
    return (query, *others), (query_wide, *others_wide)


def join(block: Block, given: torch.Tensor, out: torch.Tensor) -> None:
    """What the block's tokens were given, fp32, into their rows of out (T, queries, width)."""
    _call("join", block, given, out)


def join_back(block: Block, gradient: torch.Tensor) -> torch.Tensor:
    """gradient (T, queries * width), in one piece -> that by what `join` was given, rounded."""
    by_given = gradient.new_empty(block.asking)
    _call("join_back", block, gradient, by_given)
    return by_given


def split_back(
    block: Block,
    by_query: torch.Tensor,
    by_key: torch.Tensor,
    by_value: torch.Tensor,
    by_each: torch.Tensor,
    sums: torch.Tensor,
) -> None:
    """Queries into by_each, as `split` was given it; keys and values to sums (T, 2 keys, width)."""
    _call("split_back", block, by_query, by_key, by_value, by_each, sums)


def sum_up(sums: torch.Tensor, by_each: torch.Tensor) -> None:
    """The sums, rounded, into the keys and values of by_each."""
    tokens, n = len(sums), sums[0].numel()
    _call("sum_up", sums, by_each, tokens, by_each[0].numel() - n, n)


def _call(name: str, *given: torch.Tensor | Block | int | float) -> None:
    """Hand over tensors as addresses: what is not in one piece must say so by its strides."""
    getattr(_library(), name)(*map(_converted, given))


def _converted(given: torch.Tensor | Block | int | float) -> Any:
    if isinstance(given, torch.Tensor):
        return ctypes.c_void_p(given.data_ptr())
    if isinstance(given, Block):
        return ctypes.byref(given)
    return ctypes.c_float(given) if isinstance(given, float) else ctypes.c_int64(given)


@cache
def _library() -> ctypes.CDLL:
    """Raises OSError and subprocess.SubprocessError where it cannot be built or loaded."""
    from harness.files import cache_folder

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
