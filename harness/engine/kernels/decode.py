"""A Triton kernel for the attention of one decode step: rotary, cache write and attention.

    attend(projected, cos, sin, keys, values, at, queries=9, scale=0.125)
        projected (512, (9 + 2 * 3) * 64), keys and values (512, 3, 704, 64) -> (512, 9 * 64)

Each row has one new token, at its own position `at`: its key is rotated and, with its value,
written into the cache there, and its query heads attend to positions 0 to `at`. Positions are read
on the device, so that a CUDA graph can hold the launch, and a row reads only what it has.
Queries and keys round where transformers' rotary embedding does; scores and softmax are fp32.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from fmtharness.harness.engine.kernels.triton import LOWEST, _rounded

CHUNK = 1024
"""Columns per program where rows are long and few: their parts are then combined."""
WHOLE = 1 << 30
"""Columns per program where rows are not split: one kernel for all lengths, built once."""
ENOUGH = 256
"""Programs that keep a GPU busy; more rows and heads than these are not split."""
LOG2_E = 1.4426950408889634
BLOCK = {16: 64, 32: 64, 64: 64, 128: 64, 256: 32}
"""Columns per loop iteration, by the padded head size; of fp32 half as many."""


@triton.jit
def _turned(pointer, heads, column, cos, sin, size: tl.constexpr, inside, like):  # type: ignore[no-untyped-def]
    """Heads (H, size) at `pointer`, rotated by cos and sin (size,), in fp32."""
    half: tl.constexpr = size // 2
    first = column < half
    partner = tl.where(first, column + half, column - half)
    value = tl.load(pointer + heads * size + column, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(pointer + heads * size + partner, mask=inside, other=0.0).to(tl.float32)
    other = tl.where(first, -other, other)
    return _rounded(_rounded(value * cos, like) + _rounded(other * sin, like), like)


@triton.jit
def _attend(  # type: ignore[no-untyped-def]
    projected,
    cos,
    sin,
    keys,
    values,
    at,
    out,
    maxima,
    sums,
    row_stride,
    head_stride,
    scale,
    queries: tl.constexpr,
    kv_heads: tl.constexpr,
    size: tl.constexpr,
    padded: tl.constexpr,
    chunk: tl.constexpr,
    parts: tl.constexpr,
    block: tl.constexpr,
    heads: tl.constexpr,
    log2_e: tl.constexpr,
    lowest: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    kv = tl.program_id(1)
    part = tl.program_id(2)
    position = tl.load(at + row).to(tl.int32)
    begin = part * chunk
    if begin > position:
        return
    group: tl.constexpr = queries // kv_heads
    head = tl.arange(0, heads)
    column = tl.arange(0, padded)
    in_size = column < size
    in_group = head < group
    both = in_group[:, None] & in_size[None, :]
    cosine = tl.load(cos + row * size + column, mask=in_size, other=0.0).to(tl.float32)
    sine = tl.load(sin + row * size + column, mask=in_size, other=0.0).to(tl.float32)
    own = projected + row * ((queries + 2 * kv_heads) * size)
    query = _turned(
        own,
        kv * group + head[:, None],
        column[None, :],
        cosine[None, :],
        sine[None, :],
        size,
        both,
        keys,
    )
    new_key = _turned(own, queries + kv, column, cosine, sine, size, in_size, keys)
    where_value = own + (queries + kv_heads + kv) * size + column
    new_value = tl.load(where_value, mask=in_size, other=0.0).to(tl.float32)
    base = row * row_stride + kv.to(tl.int64) * head_stride
    end = tl.minimum(position, begin + chunk)
    # The new token is taken from registers: other threads may not see its store yet.
    last = position < begin + chunk
    at_new = base + position.to(tl.int64) * size + column
    element = keys.dtype.element_ty
    tl.store(keys + at_new, new_key.to(element), mask=in_size & last)
    tl.store(values + at_new, new_value.to(element), mask=in_size & last)
    score = tl.sum(query * new_key[None, :], 1) * scale * log2_e
    running = tl.where(last, score, lowest)
    total = tl.where(last, 1.0, 0.0) + tl.zeros((heads,), tl.float32)
    made = tl.where(last, new_value[None, :], 0.0) + tl.zeros((heads, padded), tl.float32)
    query = query.to(element)
    for start in range(begin, end, block):
        token = start + tl.arange(0, block)
        known = token < end
        offsets = base + token.to(tl.int64) * size
        key = tl.load(
            keys + offsets[None, :] + column[:, None],
            mask=known[None, :] & in_size[:, None],
            other=0.0,
        )
        scores = tl.dot(query, key, input_precision="ieee") * (scale * log2_e)
        scores = tl.where(known[None, :], scores, lowest)
        highest = tl.maximum(running, tl.max(scores, 1))
        shrink = tl.exp2(running - highest)
        weights = tl.exp2(scores - highest[:, None])
        total = total * shrink + tl.sum(weights, 1)
        value = tl.load(
            values + offsets[:, None] + column[None, :],
            mask=known[:, None] & in_size[None, :],
            other=0.0,
        )
        added = tl.dot(weights.to(element), value, input_precision="ieee")
        made = made * shrink[:, None] + added
        running = highest
    of_head = row * queries + kv * group + head
    if parts == 1:
        target = out + of_head[:, None] * size + column[None, :]
        tl.store(target, (made / total[:, None]).to(element), mask=both)
    else:
        of_part = of_head * parts + part
        tl.store(out + of_part[:, None] * size + column[None, :], made, mask=both)
        tl.store(maxima + of_part, running, mask=in_group)
        tl.store(sums + of_part, total, mask=in_group)


@triton.jit
def _combine(  # type: ignore[no-untyped-def]
    made,
    maxima,
    sums,
    at,
    out,
    queries: tl.constexpr,
    size: tl.constexpr,
    padded: tl.constexpr,
    chunk: tl.constexpr,
    parts: tl.constexpr,
    padded_parts: tl.constexpr,
    lowest: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    of_head = row * queries + tl.program_id(1)
    position = tl.load(at + row).to(tl.int32)
    part = tl.arange(0, padded_parts)
    column = tl.arange(0, padded)
    known = (part < parts) & (part * chunk <= position)
    in_size = column < size
    of_part = of_head * parts + part
    running = tl.load(maxima + of_part, mask=known, other=lowest)
    shrink = tl.where(known, tl.exp2(running - tl.max(running, 0)), 0.0)
    total = tl.sum(tl.load(sums + of_part, mask=known, other=0.0) * shrink, 0)
    each = tl.load(
        made + of_part[:, None] * size + column[None, :],
        mask=known[:, None] & in_size[None, :],
        other=0.0,
    )
    whole = tl.sum(each * shrink[:, None], 0) / total
    tl.store(out + of_head * size + column, whole.to(out.dtype.element_ty), mask=in_size)


def attend(
    projected: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    at: torch.Tensor,
    *,
    queries: int,
    scale: float,
) -> torch.Tensor:
    """The attention of one new token a row, (rows, queries * size); writes its key and value.

    projected (rows, (queries + 2 KV heads) * size), contiguous; cos and sin (rows, size),
    contiguous; keys and values (rows, KV heads, length, size), contiguous but for the first two
    dimensions; at (rows,).
    """
    rows, kv_heads, length, size = keys.shape
    padded = max(16, triton.next_power_of_2(size))
    split = length > CHUNK and rows * kv_heads < ENOUGH
    parts = triton.cdiv(length, CHUNK) if split else 1
    chunk = CHUNK if split else WHOLE
    block = BLOCK[padded] // (2 if keys.dtype == torch.float32 else 1)
    heads = max(16, triton.next_power_of_2(queries // kv_heads))
    out = projected.new_empty(rows, queries * size)
    made = maxima = sums = out
    if split:
        shape = rows, queries, parts
        made = projected.new_empty(*shape, size, dtype=torch.float32)
        maxima, sums = (projected.new_empty(shape, dtype=torch.float32) for _ in range(2))
    _attend[(rows, kv_heads, parts)](
        projected,
        cos,
        sin,
        keys,
        values,
        at,
        made,
        maxima,
        sums,
        keys.stride(0),
        keys.stride(1),
        scale,
        queries,
        kv_heads,
        size,
        padded,
        chunk,
        parts,
        block,
        heads,
        LOG2_E,
        LOWEST,
        num_warps=4,
        num_stages=3 if padded <= 128 else 2,
    )
    if split:
        sizes = queries, size, padded, CHUNK, parts, triton.next_power_of_2(parts)
        _combine[(rows, queries)](made, maxima, sums, at, out, *sizes, LOWEST)
    return out
