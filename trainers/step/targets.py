"""Which layers get an adapter: linear ones, by the trainer's target_modules and exclude_modules.

check_targets(model, Lora(target_modules=["vproj"]))
    UserError("train.target_modules: 'vproj' is no linear layer of this model, did you mean ...")
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import torch

from fmtharness.harness.errors import UserError
from fmtharness.harness.text import did_you_mean
from fmtharness.trainers.options import LowRankOptions

MAMBA = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
"""Model types whose kernels read the weight of `out_proj` without calling it: peft refuses it."""


def excluded(model: Any, options: LowRankOptions) -> list[str] | str | None:
    """The exclude_modules for peft: the user's, else the layers that peft refuses."""
    everything = options.target_modules == "all-linear" and options.exclude_modules is None
    if everything and model.config.model_type in MAMBA:
        return ["out_proj"]
    return options.exclude_modules


def check_targets(model: Any, options: LowRankOptions) -> None:
    """Raise UserError for a name or expression that chooses no layer, or one that is not linear.

    peft passes over a name that it does not find if it finds another, and training computes the
    head by itself.
    """
    layers = _linear_layers(model)
    known = ", ".join(sorted({_last(name) for name in layers}))
    chosen = layers
    if options.target_modules != "all-linear":
        chosen = set()
        every = [name for name, _ in model.named_modules()]
        for wanted, found in _matches(options.target_modules, every).items():
            if not found & layers:
                near = did_you_mean(wanted, {_last(name) for name in layers})
                raise UserError(
                    f"train.target_modules: {wanted!r} is no linear layer of this model{near}; it "
                    f"has {known}, besides the head"
                )
            if others := found - layers:
                raise UserError(
                    f"train.target_modules: {wanted!r} also matches {min(others)!r}, and "
                    f"only linear layers but the head can have an adapter: {known}"
                )
            chosen |= found
    for wanted, found in _matches(options.exclude_modules or [], layers).items():
        if not found:
            near = did_you_mean(wanted, {_last(name) for name in layers})
            raise UserError(
                f"train.exclude_modules: {wanted!r} is no linear layer of this model{near}; it has "
                f"{known}, besides the head"
            )
        chosen = chosen - found
    if not chosen:
        raise UserError(
            "train.exclude_modules: they leave no layer to train; exclude fewer, or take them out "
            "of train.target_modules"
        )


def _linear_layers(model: Any) -> set[str]:
    """The names of the linear layers but the head, as peft knows them for `all-linear`."""
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    return {
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
    }


def _matches(wanted: list[str] | str, names: Collection[str]) -> dict[str, set[str]]:
    """The names that each wanted one matches, as peft does: an expression whole, a name at the end.

    {"v_proj": {"model.layers.0.self_attn.v_proj", ...}}
    """
    if isinstance(wanted, str):
        return {wanted: {name for name in names if re.fullmatch(wanted, name)}}
    return {each: {n for n in names if f".{n}".endswith(f".{each}")} for each in wanted}


def _last(name: str) -> str:
    return name.rpartition(".")[2]
