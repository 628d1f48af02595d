"""Fused Triton kernels: each does in one pass over GPU memory what torch does in several.

    gate(both)                        SwiGLU: silu(g) u for both = [g, u], (T, 2 n) -> (T, n)
    gate_back(both, gradient)         its gradient, and silu(g) u recomputed
    norm(x, weight, epsilon)          RMSNorm: w x / sqrt(mean(x^2) + epsilon), and each row's
                                      1 / sqrt(mean(x^2) + epsilon)
    norm_back(x, weight, inverse, gradient)         its gradient with respect to x
    turn(source, target, cos, sin)    rotary position embedding, (T, heads, size)
    loss_rows(logits, labels)         cross entropy, (N, V) -> (N,); overwrites the logits with
                                      their gradient

Each kernel computes in fp32 and rounds where the corresponding sequence of torch operations does,
so that a layer's output matches transformers'. Arguments are not checked.
`fmtharness.harness.engine.kernels.choice` decides whether the kernels are used.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK = 1024
"""Elements of a row per program of an elementwise kernel."""
BLOCK_HEADS = 16
"""Heads per program of `turn`."""
BLOCK_LOGITS = 4096
"""Logits per loop iteration of `loss_rows`."""
LOWEST = -1.0e30
"""Initial maximum: below any logit, and finite so that differences are never NaN."""


@triton.jit
def _rounded(x, like):  # type: ignore[no-untyped-def]
    """x rounded to the dtype that `like` points to, in fp32."""
    return x.to(like.dtype.element_ty).to(tl.float32)


@triton.jit
def _gate(both, out, n, block: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < n
    gate = tl.load(both + row * 2 * n + column, mask=inside).to(tl.float32)
    up = tl.load(both + row * 2 * n + n + column, mask=inside).to(tl.float32)
    tl.store(out + row * n + column, _rounded(gate * tl.sigmoid(gate), out) * up, mask=inside)


@triton.jit
def _gate_back(both, gradient, grad_both, out, n, block: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < n
    gate = tl.load(both + row * 2 * n + column, mask=inside).to(tl.float32)
    up = tl.load(both + row * 2 * n + n + column, mask=inside).to(tl.float32)
    grad = tl.load(gradient + row * n + column, mask=inside).to(tl.float32)
    sig = tl.sigmoid(gate)
    silu = _rounded(gate * sig, out)
    grad_gate = _rounded(grad * up, out) * sig * (1.0 + gate * (1.0 - sig))
    tl.store(grad_both + row * 2 * n + column, grad_gate, mask=inside)
    tl.store(grad_both + row * 2 * n + n + column, grad * silu, mask=inside)
    tl.store(out + row * n + column, silu * up, mask=inside)


@triton.jit
def _norm(x, weight, out, inverse, n, epsilon, block: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)
    inside = column < n
    value = tl.load(x + row * n + column, mask=inside, other=0.0).to(tl.float32)
    row_weight = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    inverse_rms = tl.rsqrt(tl.sum(value * value, 0) / n + epsilon)
    tl.store(inverse + row, inverse_rms)
    tl.store(out + row * n + column, _rounded(value * inverse_rms, out) * row_weight, mask=inside)


@triton.jit
def _norm_back(  # type: ignore[no-untyped-def]
    x, weight, inverse, gradient, out, n, block: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)
    inside = column < n
    value = tl.load(x + row * n + column, mask=inside, other=0.0).to(tl.float32)
    row_weight = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    grad = tl.load(gradient + row * n + column, mask=inside, other=0.0).to(tl.float32)
    inverse_rms = tl.load(inverse + row)
    normed = value * inverse_rms
    grad = _rounded(grad * row_weight, out)
    projection = tl.sum(grad * normed, 0) / n
    tl.store(out + row * n + column, (grad - projection * normed) * inverse_rms, mask=inside)


@triton.jit(do_not_specialize=["heads"])
def _turn(  # type: ignore[no-untyped-def]
    source,
    target,
    cos,
    sin,
    source_row,
    target_row,
    heads,
    half,
    back: tl.constexpr,
    block_heads: tl.constexpr,
    block: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * block_heads + tl.arange(0, block_heads)[:, None]
    column = tl.arange(0, block)[None, :]
    in_head = column < half
    inside = (head < heads) & in_head
    within = head * 2 * half + column
    first = tl.load(source + row * source_row + within, mask=inside).to(tl.float32)
    second = tl.load(source + row * source_row + within + half, mask=inside).to(tl.float32)
    angles = row * 2 * half + column
    cos_first = tl.load(cos + angles, mask=in_head).to(tl.float32)
    cos_second = tl.load(cos + angles + half, mask=in_head).to(tl.float32)
    sin_first = tl.load(sin + angles, mask=in_head).to(tl.float32)
    sin_second = tl.load(sin + angles + half, mask=in_head).to(tl.float32)
    if back:
        sin_first, sin_second = -sin_second, -sin_first
    out_first = _rounded(first * cos_first, target) - _rounded(second * sin_first, target)
    out_second = _rounded(second * cos_second, target) + _rounded(first * sin_second, target)
    tl.store(target + row * target_row + within, out_first, mask=inside)
    tl.store(target + row * target_row + within + half, out_second, mask=inside)


@triton.jit
def _loss_rows(  # type: ignore[no-untyped-def]
    logits, labels, losses, row_length, n: tl.constexpr, lowest: tl.constexpr, block: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    label = tl.load(labels + row)
    weight = tl.where(label >= 0, 1.0, 0.0)
    logits += row * row_length
    at_label = tl.load(logits + tl.maximum(label, 0)).to(tl.float32)
    running_max = tl.full((block,), lowest, tl.float32)
    total = tl.zeros((block,), tl.float32)
    for start in range(0, n, block):
        column = start + tl.arange(0, block)
        x = tl.load(logits + column, mask=column < n, other=lowest).to(tl.float32)
        new_max = tl.maximum(running_max, x)
        total = total * tl.exp(running_max - new_max) + tl.exp(x - new_max)
        running_max = new_max
    row_max = tl.max(running_max, 0)
    row_sum = tl.sum(tl.where(running_max > lowest, total * tl.exp(running_max - row_max), 0.0), 0)
    tl.store(losses + row, weight * (tl.log(row_sum) + row_max - at_label))
    for start in range(0, n, block):
        column = start + tl.arange(0, block)
        x = tl.load(logits + column, mask=column < n, other=lowest).to(tl.float32)
        prob = tl.exp(x - row_max) / row_sum
        prob = tl.where(column == label, prob - 1.0, prob) * weight
        tl.store(logits + column, prob, mask=column < n)


def gate(both: torch.Tensor) -> torch.Tensor:
    """both (T, 2 n), contiguous -> silu(g) u (T, n)."""
    rows, n = len(both), both.shape[1] // 2
    out = both.new_empty(rows, n)
    _gate[(rows, triton.cdiv(n, BLOCK))](both, out, n, BLOCK)
    return out


def gate_back(both: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """both (T, 2 n), gradient (T, n), contiguous -> the gradient of `both`, and gate(both)."""
    grad_both, out = torch.empty_like(both), torch.empty_like(gradient)
    rows, n = gradient.shape
    _gate_back[(rows, triton.cdiv(n, BLOCK))](both, gradient, grad_both, out, n, BLOCK)
    return grad_both, out


def norm(
    x: torch.Tensor, weight: torch.Tensor, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """x (T, n) contiguous, weight (n,) -> (T, n), and 1 / sqrt(mean(x^2) + epsilon) (T,) fp32."""
    out, inverse = torch.empty_like(x), x.new_empty(len(x), dtype=torch.float32)
    block, warps = _whole_row(x)
    _norm[(len(x),)](x, weight, out, inverse, x.shape[1], epsilon, block, num_warps=warps)
    return out, inverse


def norm_back(
    x: torch.Tensor, weight: torch.Tensor, inverse: torch.Tensor, gradient: torch.Tensor
) -> torch.Tensor:
    """The gradient of x (T, n); gradient (T, n) contiguous, inverse as returned by `norm`."""
    out = torch.empty_like(x)
    block, warps = _whole_row(x)
    _norm_back[(len(x),)](x, weight, inverse, gradient, out, x.shape[1], block, num_warps=warps)
    return out


def _whole_row(x: torch.Tensor) -> tuple[int, int]:
    """The block size, a power of two, that holds a row of x (T, n), and the number of warps."""
    block = triton.next_power_of_2(x.shape[1])
    return block, max(1, min(16, block // 256))


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
    grid = rows, triton.cdiv(heads, BLOCK_HEADS)
    strides = source.stride(0), target.stride(0)
    power = triton.next_power_of_2(size // 2)
    arguments = source, target, cos, sin, *strides, heads, size // 2, back, BLOCK_HEADS, power
    # A fused multiply-add would skip the rounding of the product.
    _turn[grid](*arguments, enable_fp_fusion=False)


def loss_rows(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy of each row of logits (N, V), which are overwritten by their gradient.

    labels (N,), negative to ignore a row -> losses (N,) fp32.
    """
    losses = logits.new_empty(len(logits), dtype=torch.float32)
    size = logits.shape[1]
    _loss_rows[(len(logits),)](
        logits, labels, losses, logits.stride(0), size, LOWEST, BLOCK_LOGITS, num_warps=8
    )
    return losses
