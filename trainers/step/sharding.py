"""A base spread over the processes of a run: each holds a piece of every linear layer's weights.

    model = adapted(load_packed(options).model, ...)
    spread(model, device)

Full sharding, as FSDP does it, of weights that are frozen: they are put together where a layer uses
them and let go after it, and have no gradients to exchange. Embeddings, norms, the head, the
adapter, and experts that are one tensor for all are whole on every device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from harness import processes
from harness.contracts import Loaded, ModelOptions
from harness.engine import collectives
from harness.engine.lora_linear import groups
from harness.engine.models import load_model
from harness.errors import UserError


def load_packed(options: ModelOptions) -> Loaded:
    """The whole base in main memory, NF4 weights in 4 bits; each process loads its own."""
    # transformers would leave it to the first process to load, and to Accelerator to hand out.
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    return load_model(options, stay_packed_on_cpu=True)


def spread(model: Any, device: torch.device) -> None:
    """Keep this process's pieces of the fused layers, and move everything to the device.

    From here on all processes must compute the same passes, one after the other. Raises UserError
    for linear layers that are not fused, and for experts of their own.
    """
    fused = [layer.base_layer for group in groups(model) for layer in group.layers]
    known = {id(base) for base in fused}
    for name, module in model.named_modules():
        # Processes would ask different experts, and each asks all the others for its weights.
        whole = ".experts." in name or id(getattr(module, "base_layer", None)) not in known
        if hasattr(module, "base_layer") and whole:
            raise UserError(
                f"train: {name} ({type(module.base_layer).__name__}) cannot be spread over several "
                f"processes; launch without --use_fsdp"
            )
    for group in groups(model):
        parts = [_piece(layer.base_layer, device) for layer in group.layers]
        group.weight = parts[0] if len(parts) == 1 else partial(_below_each_other, parts)
        group.bias = None if group.bias is None else group.bias.to(device)
    torch.nn.Module.to(model, device)


def _piece(base: Any, device: torch.device) -> Callable[[], torch.Tensor]:
    """Cut a layer's weight down to a piece; returns what gives the whole as floats."""
    weight = base.weight
    flat = weight.data.reshape(-1)
    size = -(-len(flat) // processes.count())
    own = flat[processes.rank() * size :][:size]
    piece = torch.nn.functional.pad(own, (0, size - len(own))).to(device)
    if piece.data_ptr() == own.data_ptr():
        piece = piece.clone()  # else it would keep the whole
    base.weight = torch.nn.Parameter(piece, requires_grad=False)
    state = getattr(weight, "quant_state", None)
    if state is not None:
        state.to(device)
    return partial(_whole, base, len(flat), weight.shape, state)


def _whole(base: Any, size: int, shape: Sequence[int], state: Any) -> torch.Tensor:
    held = collectives.all_gather(base.weight.data)[:size].view(shape)
    if state is None:
        return held
    from bitsandbytes.functional import dequantize_4bit

    floats: torch.Tensor = dequantize_4bit(held, state)
    return floats


def _below_each_other(parts: Sequence[Callable[[], torch.Tensor]]) -> torch.Tensor:
    return torch.cat([part() for part in parts])
