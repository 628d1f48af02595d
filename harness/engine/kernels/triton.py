"""What torch does in several passes over a GPU's memory, in one: kernels for Triton.

    gate(both)                        silu(g) u for g and u side by side: (T, 2 n) -> (T, n)
    gate_back(both, gradient)         the gradient of that, and silu(g) u once more
    norm(x, weight, epsilon)          w x / sqrt(mean(x^2) + epsilon), and 1 / sqrt(...) of each row
    norm_back(x, weight, inverse, gradient)         the gradient of that by x
    turn(source, target, cos, signed) rotary positions: (T, heads, size)
    loss_rows(logits, labels)         -log softmax(logits)[label]: (N, V) -> (N,); the logits
                                      become the gradient of it

Each computes in fp32 and rounds where torch's operations, one after the other, would: so a layer
gives what transformers' own gives. `harness.engine.kernels.choice` says whether they may be used.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

WIDE = 1024
"""Numbers of a row that one program of an elementwise kernel takes."""
TOGETHER = 16
"""Heads that one program turns."""
LONG = 4096
"""Logits that a program holds at a time."""
FAR = -1.0e30
"""Below any logit, and finite: so the difference of two is a number."""


@triton.jit
def _rounded(x, like):  # type: ignore[no-untyped-def]
    """As a tensor of the type that `like` points to would hold it."""
    return x.to(like.dtype.element_ty).to(tl.float32)


@triton.jit
def _gate(both, out, n, wide: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * wide + tl.arange(0, wide)
    inside = column < n
    gate = tl.load(both + row * 2 * n + column, mask=inside).to(tl.float32)
    up = tl.load(both + row * 2 * n + n + column, mask=inside).to(tl.float32)
    tl.store(out + row * n + column, _rounded(gate * tl.sigmoid(gate), out) * up, mask=inside)


@triton.jit
def _gate_back(both, gradient, by_both, out, n, wide: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * wide + tl.arange(0, wide)
    inside = column < n
    gate = tl.load(both + row * 2 * n + column, mask=inside).to(tl.float32)
    up = tl.load(both + row * 2 * n + n + column, mask=inside).to(tl.float32)
    come = tl.load(gradient + row * n + column, mask=inside).to(tl.float32)
    share = tl.sigmoid(gate)
    opened = _rounded(gate * share, out)
    by_gate = _rounded(come * up, out) * share * (1.0 + gate * (1.0 - share))
    tl.store(by_both + row * 2 * n + column, by_gate, mask=inside)
    tl.store(by_both + row * 2 * n + n + column, come * opened, mask=inside)
    tl.store(out + row * n + column, opened * up, mask=inside)


@triton.jit
def _norm(x, weight, out, inverse, n, epsilon, wide: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, wide)
    inside = column < n
    value = tl.load(x + row * n + column, mask=inside, other=0.0).to(tl.float32)
    scale = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    share = tl.rsqrt(tl.sum(value * value, 0) / n + epsilon)
    tl.store(inverse + row, share)
    tl.store(out + row * n + column, _rounded(value * share, out) * scale, mask=inside)


@triton.jit
def _norm_back(  # type: ignore[no-untyped-def]
    x, weight, inverse, gradient, out, n, wide: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, wide)
    inside = column < n
    value = tl.load(x + row * n + column, mask=inside, other=0.0).to(tl.float32)
    scale = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    come = tl.load(gradient + row * n + column, mask=inside, other=0.0).to(tl.float32)
    share = tl.load(inverse + row)
    normed = value * share
    come = _rounded(come * scale, out)
    along = tl.sum(come * normed, 0) / n
    tl.store(out + row * n + column, (come - along * normed) * share, mask=inside)


@triton.jit(do_not_specialize=["heads"])
def _turn(  # type: ignore[no-untyped-def]
    source,
    target,
    cos,
    signed,
    source_row,
    target_row,
    heads,
    half,
    back: tl.constexpr,
    together: tl.constexpr,
    half_power: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * together + tl.arange(0, together)[:, None]
    place = tl.arange(0, half_power)[None, :]
    known = place < half
    inside = (head < heads) & known
    within = head * 2 * half + place
    first = tl.load(source + row * source_row + within, mask=inside).to(tl.float32)
    second = tl.load(source + row * source_row + within + half, mask=inside).to(tl.float32)
    angles = row * 2 * half + place
    cos_first = tl.load(cos + angles, mask=known).to(tl.float32)
    cos_second = tl.load(cos + angles + half, mask=known).to(tl.float32)
    sin_first = tl.load(signed + angles, mask=known).to(tl.float32)
    sin_second = tl.load(signed + angles + half, mask=known).to(tl.float32)
    if back:
        sin_first, sin_second = sin_second, sin_first
    made_first = _rounded(first * cos_first, target) + _rounded(second * sin_first, target)
    made_second = _rounded(second * cos_second, target) + _rounded(first * sin_second, target)
    tl.store(target + row * target_row + within, made_first, mask=inside)
    tl.store(target + row * target_row + within + half, made_second, mask=inside)


@triton.jit
def _loss_rows(  # type: ignore[no-untyped-def]
    logits, labels, losses, row_length, n: tl.constexpr, far: tl.constexpr, long: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    label = tl.load(labels + row)
    counts = tl.where(label >= 0, 1.0, 0.0)
    logits += row * row_length
    at_label = tl.load(logits + tl.maximum(label, 0)).to(tl.float32)
    highest = tl.full((long,), far, tl.float32)
    total = tl.zeros((long,), tl.float32)
    for start in range(0, n, long):
        column = start + tl.arange(0, long)
        x = tl.load(logits + column, mask=column < n, other=far).to(tl.float32)
        higher = tl.maximum(highest, x)
        total = total * tl.exp(highest - higher) + tl.exp(x - higher)
        highest = higher
    most = tl.max(highest, 0)
    whole = tl.sum(tl.where(highest > far, total * tl.exp(highest - most), 0.0), 0)
    tl.store(losses + row, counts * (tl.log(whole) + most - at_label))
    for start in range(0, n, long):
        column = start + tl.arange(0, long)
        x = tl.load(logits + column, mask=column < n, other=far).to(tl.float32)
        share = tl.exp(x - most) / whole
        share = tl.where(column == label, share - 1.0, share) * counts
        tl.store(logits + column, share, mask=column < n)


def gate(both: torch.Tensor) -> torch.Tensor:
    """both (T, 2 n), contiguous."""
    rows, n = len(both), both.shape[1] // 2
    out = both.new_empty(rows, n)
    _gate[(rows, triton.cdiv(n, WIDE))](both, out, n, WIDE)
    return out


def gate_back(both: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """both (T, 2 n), gradient (T, n), contiguous -> the gradient by `both`, and gate(both)."""
    by_both, out = torch.empty_like(both), torch.empty_like(gradient)
    rows, n = gradient.shape
    _gate_back[(rows, triton.cdiv(n, WIDE))](both, gradient, by_both, out, n, WIDE)
    return by_both, out


def norm(
    x: torch.Tensor, weight: torch.Tensor, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """x (T, n) contiguous, weight (n,) -> (T, n), and 1 / sqrt(mean(x^2) + epsilon) (T,) fp32."""
    out, inverse = torch.empty_like(x), x.new_empty(len(x), dtype=torch.float32)
    wide, warps = _whole_row(x)
    _norm[(len(x),)](x, weight, out, inverse, x.shape[1], epsilon, wide, num_warps=warps)
    return out, inverse


def norm_back(
    x: torch.Tensor, weight: torch.Tensor, inverse: torch.Tensor, gradient: torch.Tensor
) -> torch.Tensor:
    """The gradient by x (T, n); gradient (T, n) contiguous, inverse as from `norm`."""
    out = torch.empty_like(x)
    wide, warps = _whole_row(x)
    _norm_back[(len(x),)](x, weight, inverse, gradient, out, x.shape[1], wide, num_warps=warps)
    return out


def _whole_row(x: torch.Tensor) -> tuple[int, int]:
    """A power of two that holds a row of x (T, n), and the warps that share it."""
    wide = triton.next_power_of_2(x.shape[1])
    return wide, max(1, min(16, wide // 256))


def turn(
    source: torch.Tensor,
    target: torch.Tensor,
    cos: torch.Tensor,
    signed: torch.Tensor,
    *,
    back: bool = False,
) -> None:
    """source and target (T, heads, size), which may be one; cos and signed (T, size)."""
    rows, heads, size = source.shape
    grid = rows, triton.cdiv(heads, TOGETHER)
    strides = source.stride(0), target.stride(0)
    power = triton.next_power_of_2(size // 2)
    given = source, target, cos, signed, *strides, heads, size // 2, back, TOGETHER, power
    # Else a product and the sum after it would be rounded once.
    _turn[grid](*given, enable_fp_fusion=False)


def loss_rows(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """logits (N, V), overwritten; labels (N,), negative where nothing counts; losses (N,) fp32."""
    losses = logits.new_empty(len(logits), dtype=torch.float32)
    size = logits.shape[1]
    _loss_rows[(len(logits),)](
        logits, labels, losses, logits.stride(0), size, FAR, LONG, num_warps=8
    )
    return losses
