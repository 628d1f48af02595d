"""Attention restricted to the rows of a packed sequence.

    use(model, patches)     rows of 120 and 90 tokens attend as two squares, not under one mask

transformers would compute one square of 210 x 210 under a block mask, with the same result. Layers
that are found to be plain attention (rotary positions, grouped or single keys, nothing else) are
replaced as a whole; in others, rows are separated where transformers calls its attention function.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from fmtharness.harness.engine import decode_attention
from fmtharness.harness.engine.encoding import Encoded
from fmtharness.harness.engine.lora_linear import side_by_side
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.rounding import apart, measured
from fmtharness.trainers.attention.flash import attend_flash, has_flash
from fmtharness.trainers.attention.heads import Heads
from fmtharness.trainers.attention.rows import attend_rows
from fmtharness.trainers.attention.squares import attend_squares, move
from fmtharness.trainers.batch.packed import Packed, pack, shape_of
from fmtharness.trainers.batch.tree import pack_tree

NAME = "fmtharness_rows"
PARTS = {"q_proj", "k_proj", "v_proj", "o_proj"}
"""The child modules of a plain attention layer."""


def use(model: Any, patches: Patches) -> None:
    """Make the model attend row by row in every forward pass that has the argument `packed`."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, _mask)
    patches.attend_by(model, NAME, "packed rows attend separately")
    for module in model.modules():
        if {name for name, _ in module.named_children()} == PARTS and _is_plain(module, model):
            packed = partial(_forward, module, module.forward)
            patches.replace(module, "forward", packed, "packed rows attend in fused kernels")


def window(config: Any) -> int | None:
    """The most tokens that a layer with a window looks back; None if no layer has a window.

    Rows that fit in the window may attend without a mask.
    """
    return getattr(config, "sliding_window", None) or getattr(config, "attention_window_size", None)


def _forward(
    module: Any,
    unpacked: Any,
    hidden_states: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    packed: Packed | None = None,
    **kwargs: Any,
) -> Any:
    """hidden_states (1, T, hidden); the layer's own forward if `packed` is None.

    Handles partial rotary positions, too: only the size of position_embeddings shows them.
    """
    if packed is None or position_embeddings[0].shape[-1] != module.head_dim:
        more = kwargs if packed is None else {**kwargs, "packed": packed}
        return unpacked(
            hidden_states=hidden_states, position_embeddings=position_embeddings, **more
        )
    return _packed(module, hidden_states, position_embeddings, packed), None


def _packed(
    module: Any,
    hidden: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    packed: Packed,
) -> torch.Tensor:
    projected = side_by_side((module.q_proj, module.k_proj, module.v_proj), hidden)[0]
    cos, sin = position_embeddings
    turns = cos[0], sin[0]
    size = module.head_dim
    heads = Heads(
        module.q_proj.out_features // size,
        module.k_proj.out_features // size,
        size,
        module.scaling,
    )
    whole = attend_flash if has_flash(projected, heads) else attend_squares
    attend = attend_rows if packed.blocks else whole
    attended = attend(projected, *turns, packed, heads)
    made: torch.Tensor = module.o_proj(attended[None])
    return made


def _is_plain(module: Any, model: Any) -> bool:
    """Whether the fused forward agrees with the layer's own on a random row."""
    unlike = ("sliding_window", "attention_dropout")
    if any(getattr(each, name, None) for each in (module, model.config) for name in unlike):
        return False
    try:
        width, size = module.q_proj.in_features, module.head_dim
        module.k_proj.out_features, module.scaling  # noqa: B018 - a plain layer has both
    except AttributeError:
        return False
    row = [Encoded([0] * 6, 1)]
    device = model.device
    packed = (pack_tree(row) if device.type == "cpu" else pack(row, shape_of(row))).to(device)
    tokens = packed.ids.shape[1]
    generator = torch.Generator().manual_seed(0)
    angles = torch.rand(1, tokens, size // 2, generator=generator)
    cos, sin = (
        torch.cat([part, part], -1).to(device, model.dtype) for part in (angles.cos(), angles.sin())
    )
    hidden = torch.randn(1, tokens, width, generator=generator).to(device, model.dtype)
    try:
        with torch.no_grad():
            turns = cos, sin
            given = {"hidden_states": hidden, "position_embeddings": turns, "attention_mask": None}
            own = measured(module, lambda: [module(**given)[0][:, :6]])
            return apart(own, [_packed(module, hidden, turns, packed)[:, :6]]) <= 1
    except (RuntimeError, TypeError):  # its forward has other arguments
        return False


def _mask(*arguments: Any, **kwargs: Any) -> Any:
    from transformers.masking_utils import sdpa_mask

    # Without padding no mask is needed: _attend separates the rows.
    return None if kwargs.get("attention_mask") is None else sdpa_mask(*arguments, **kwargs)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packed: Packed | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """query, key, value: (1, heads, tokens, size) -> (1, tokens, heads, size)."""
    attend: Any = decode_attention.attend
    if kwargs.get("softcap"):
        raise ValueError("its attention caps the scores")
    if packed is None:
        whole: tuple[torch.Tensor, None] = attend(
            module, query, key, value, attention_mask, **kwargs
        )
        return whole
    if not packed.blocks:
        squares = [
            move(tensor[0].transpose(0, 1).flatten(1), packed.tokens, packed.slots)
            .view(-1, packed.length, *tensor.shape[1::2])
            .transpose(1, 2)
            for tensor in (query, key, value)
        ]
        attended = attend(module, *squares, None, **kwargs)[0]
        in_rows = attended.flatten(0, 1).flatten(1)
        back = move(in_rows, packed.slots, packed.tokens)
        return back.view(1, -1, *attended.shape[2:]), None
    at_places = [
        torch.split(
            tensor[0].transpose(0, 1).index_select(0, packed.tokens),
            [len(block.bias) * block.n for block in packed.blocks],
        )
        for tensor in (query, key, value)
    ]
    outs = []
    for block, *parts in zip(packed.blocks, *at_places, strict=True):
        asked, *others = (part.unflatten(0, (-1, block.n)).transpose(1, 2) for part in parts)
        bias = block.bias.to(query.dtype)[:, None]
        m = bias.shape[2]
        made = attend(module, asked[:, :, block.n - m :], *others, bias, **kwargs)[0]
        filled = torch.nn.functional.pad(made, (0, 0, 0, 0, block.n - m, 0))
        outs.append(filled.flatten(0, 1))
    return torch.cat(outs).index_select(0, packed.slots)[None], None
