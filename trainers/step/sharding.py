"""A base model sharded over the processes of a run: each holds a part of every linear weight.

    model = adapted(load_for_sharding(options, patches).model, ...)
    shard(model, device)

Full sharding as in FSDP, but of frozen weights: each is all-gathered where a layer uses it and
freed afterwards, and there are no gradients to exchange. Embeddings, norms, the head, the adapter,
and experts that are a single tensor are whole on every device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from fmtharness.harness import processes
from fmtharness.harness.contracts import Loaded, ModelOptions
from fmtharness.harness.engine import collectives
from fmtharness.harness.engine.encoding import Encoded
from fmtharness.harness.engine.lora_linear import groups
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.errors import UserError

EMPTY_PASS = [Encoded([0, 0], 2)]
"""Two tokens without labels, for a process that has fewer passes than another."""


def load_for_sharding(options: ModelOptions, patches: Patches) -> Loaded:
    """The whole base in main memory, NF4 weights still in 4 bits; each process loads its own."""
    # Else transformers loads on rank 0 alone, for Accelerate to distribute.
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    return load_model(options, patches, stay_packed_on_cpu=True)


def shard(model: Any, device: torch.device) -> None:
    """Keep this rank's shard of each fused layer's weight, and move the model to the device.

    From here on all processes must run the same passes in the same order, since each layer is a
    collective. Raises UserError for linear layers that are not fused, and for experts that are
    modules of their own.
    """
    fused = [layer.base_layer for group in groups(model) for layer in group.layers]
    known = {id(base) for base in fused}
    for name, module in model.named_modules():
        # Ranks would route to different experts, and each would wait for all to gather its weight.
        unsupported = ".experts." in name or id(getattr(module, "base_layer", None)) not in known
        if hasattr(module, "base_layer") and unsupported:
            raise UserError(
                f"train: {name} ({type(module.base_layer).__name__}) cannot be sharded; launch "
                f"without --use_fsdp"
            )
    for group in groups(model):
        parts = [_shard_of(layer.base_layer, device) for layer in group.layers]
        group.weight = parts[0] if len(parts) == 1 else partial(_concatenated, parts)
        group.bias = None if group.bias is None else group.bias.to(device)
    torch.nn.Module.to(model, device)


def even_passes(passes: list[list[Encoded]]) -> list[list[Encoded]]:
    """Append empty passes until every process has as many: each pass gathers all shards."""
    return passes + [EMPTY_PASS] * (max(collectives.gather_objects([len(passes)])) - len(passes))


def _shard_of(base: Any, device: torch.device) -> Callable[[], torch.Tensor]:
    """Replace a layer's weight with this rank's shard; returns a function that gathers it whole.

    The gathered weight (out, in) is in floating point. The last shard is padded with zeros.
    """
    weight = base.weight
    flat = weight.data.reshape(-1)
    size = -(-len(flat) // processes.count())
    own = flat[processes.rank() * size :][:size]
    kept = torch.nn.functional.pad(own, (0, size - len(own))).to(device)
    if kept.data_ptr() == own.data_ptr():
        kept = kept.clone()  # a view would keep the whole weight in memory
    base.weight = torch.nn.Parameter(kept, requires_grad=False)
    state = getattr(weight, "quant_state", None)
    if state is not None:
        state.to(device)
    return partial(_gathered, base, len(flat), weight.shape, state)


def _gathered(base: Any, size: int, shape: Sequence[int], state: Any) -> torch.Tensor:
    """The whole weight; `size` and `shape` are those of the stored tensor, 4-bit or not."""
    stored = collectives.all_gather(base.weight.data)[:size].view(shape)
    if state is None:
        return stored
    from bitsandbytes.functional import dequantize_4bit

    floats: torch.Tensor = dequantize_4bit(stored, state)
    return floats


def _concatenated(parts: Sequence[Callable[[], torch.Tensor]]) -> torch.Tensor:
    return torch.cat([part() for part in parts])
