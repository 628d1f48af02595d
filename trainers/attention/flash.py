"""Causal attention of packed rows on a GPU, by torch's variable-length flash attention kernels.

    attend_flash(projected, cos, signed, packed, heads)     (T, all heads) -> (T, query heads)

No row is moved: `packed.starts` has the offsets of the rows, and the padding behind them is one
more row, whose output is never used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from trainers.attention.heads import Heads
from trainers.attention.rotary import turn, turn_back
from trainers.batch.packed import Packed

LARGEST = 256
"""The largest head size that the kernels take."""


def attend_flash(
    projected: torch.Tensor,
    cos: torch.Tensor,
    signed: torch.Tensor,
    packed: Packed,
    heads: Heads,
) -> torch.Tensor:
    """projected (T, all * size) is overwritten; cos and signed (T, size) as in `rotary`."""
    attended: torch.Tensor = _Flash.apply(  # type: ignore[no-untyped-call]
        projected, cos, signed, packed.starts, packed.longest, heads
    )
    return attended


def has_flash(x: torch.Tensor, heads: Heads) -> bool:
    """Whether the kernels support these heads: fp16 or bf16, on NVIDIA GPUs from Ampere on."""
    return (
        x.is_cuda
        and torch.version.hip is None
        and x.dtype in (torch.float16, torch.bfloat16)
        and heads.size % 8 == 0
        and heads.size <= LARGEST
        and torch.cuda.get_device_capability(x.device) >= (8, 0)
        and torch.backends.cuda.is_flash_attention_available()
    )


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: torch.Tensor,
        cos: torch.Tensor,
        signed: torch.Tensor,
        offsets: torch.Tensor,
        longest: int,
        heads: Heads,
    ) -> torch.Tensor:
        each = projected.detach().view(len(projected), heads.all, heads.size)
        turn(each[:, : heads.turned], cos, signed)  # in place: nothing else reads the projection
        starts = offsets.int()
        rows = (starts, starts, longest, longest, 0.0, True)
        out, logsumexp, *rng_state, _ = torch.ops.aten._flash_attention_forward(
            *heads.split(each), *rows, False, scale=heads.scale
        )
        ctx.save_for_backward(cos, signed, starts, each, out, logsumexp, *rng_state)
        ctx.longest, ctx.heads = longest, heads
        attended: torch.Tensor = out.flatten(1)
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        cos, signed, starts, each, out, logsumexp, *rng_state = ctx.saved_tensors
        heads: Heads = ctx.heads
        rows = (starts, starts, ctx.longest, ctx.longest, 0.0, True)
        gradients = torch.ops.aten._flash_attention_backward(
            gradient.reshape(out.shape),
            *heads.split(each),
            out,
            logsumexp,
            *rows,
            *rng_state,
            scale=heads.scale,
        )
        by_each = torch.cat(gradients, 1)
        turn_back(by_each[:, : heads.turned], cos, signed)
        return by_each.flatten(1), None, None, None, None, None
