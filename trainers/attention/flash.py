"""Causal attention of packed rows on a GPU, by torch's variable-length flash attention kernels.

    attend_flash(projected, cos, sin, packed, heads)     (T, all heads) -> (T, query heads)

No row is moved: `packed.starts` has the offsets of the rows, and the padding behind them is one
more row, whose output is never used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from fmtharness.harness.engine import torch_private
from fmtharness.trainers.attention.heads import Heads
from fmtharness.trainers.attention.rotary import turn, turn_back
from fmtharness.trainers.batch.packed import Packed

LARGEST = 256
"""The largest head size that the kernels take."""


def attend_flash(
    projected: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    packed: Packed,
    heads: Heads,
) -> torch.Tensor:
    """projected (T, all * size) is overwritten; cos and sin (T, size) as in `rotary`."""
    attended: torch.Tensor = _Flash.apply(  # type: ignore[no-untyped-call]
        projected, cos, sin, packed.starts, packed.longest, heads
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
        and torch_private.has_flash()
    )


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        offsets: torch.Tensor,
        longest: int,
        heads: Heads,
    ) -> torch.Tensor:
        each = projected.detach().view(len(projected), heads.all, heads.size)
        turn(each[:, : heads.turned], cos, sin)  # in place: nothing else reads the projection
        starts = offsets.int()
        made = torch_private.flash(*heads.split(each), starts, longest, heads.scale)
        ctx.save_for_backward(cos, sin, starts, each, *made)
        ctx.longest, ctx.heads = longest, heads
        return made[0].flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        cos, sin, starts, each, *made = ctx.saved_tensors
        heads: Heads = ctx.heads
        gradients = torch_private.flash_back(
            gradient.reshape(made[0].shape),
            *heads.split(each),
            made,
            starts,
            ctx.longest,
            heads.scale,
        )
        by_each = torch.cat(gradients, 1)
        turn_back(by_each[:, : heads.turned], cos, sin)
        return by_each.flatten(1), None, None, None, None, None
