"""Adapters: put on a loaded base, and what they depend on.

state = state_of(ModelOptions(), tokenizer, "bfloat16", None)
    TrainedOn(base="smollm2-135m-instruct", base_sha256="b179...", quantization="none", ...)
model = with_adapter(base, Path("adapter"), state, patches)
    says "adapter adapter: trained on nf4 weights, and used on unquantized weights" if that is so
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from harness.contracts import BUILTIN_MODEL, ModelOptions, TrainedOn, trained_on
from harness.engine.encoding import stop_token
from harness.engine.gguf import BUILTIN_SHA256
from harness.engine.patching import Patches
from harness.engine.quiet import quiet_transformers
from harness.errors import ModelError
from harness.files import on_disk, quick_digest
from harness.progress import say
from harness.requirements import needs_adapter


def state_of(
    options: ModelOptions, tokenizer: Any, precision: str, commit: str | None
) -> TrainedOn:
    """What an adapter depends on that is trained, or used, with these options.

    `precision` is the type that the model computes in, `commit` that of a hub model.
    """
    base, sha256, revision = options.name, None, options.revision
    if options.name == BUILTIN_MODEL:
        sha256 = BUILTIN_SHA256
    elif (local := on_disk(options.name)) is not None:
        base, sha256 = str(local.resolve()), quick_digest(local)
    else:
        revision = commit or revision
    return TrainedOn(
        base=base,
        revision=revision,
        base_sha256=sha256,
        quantization="nf4" if options.quantization == "nf4" else "none",
        precision=precision,
        template_sha256=hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest(),
        stop_token=str(tokenizer.convert_ids_to_tokens(stop_token(tokenizer))),
    )


def with_adapter(model: Any, adapter: Path, state: TrainedOn, patches: Patches) -> Any:
    """The base with the adapter on it, fused; says where this state differs from its training.

    Raises ModelError for a folder that is no adapter of this base.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    from harness.engine.fused_layers import fuse
    from harness.engine.lora_linear import groups

    needs_adapter(adapter)
    try:
        with quiet_transformers():
            adapted = PeftModel.from_pretrained(model, str(adapter))
    except (ValueError, RuntimeError, OSError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"adapter {str(adapter)!r} does not fit this model: {reason}") from error
    for difference in differences(trained_on(adapter), state):
        say(f"adapter {adapter}: {difference}")
    fuse(adapted, patches)
    for group in groups(adapted):
        group.settle(adapted.dtype)
    return adapted


def differences(told: TrainedOn | None, state: TrainedOn) -> list[str]:
    """In which ways the adapter is used otherwise than it was trained, as sentences."""
    if told is None:
        return ["its folder does not say which base, quantization and template it was trained with"]
    found = []
    if told.base_sha256 and state.base_sha256:
        if told.base_sha256 != state.base_sha256:
            found.append(
                f"trained on the base {told.base}, whose weights are not those of this one"
            )
    elif told.base != state.base:
        found.append(f"trained on the base {told.base}, and used on {state.base}")
    elif told.revision != state.revision:
        found.append(f"trained on commit {told.revision}, and used on {state.revision}")
    if state.quantization != told.quantization:
        found.append(
            f"trained on {_weights(told.quantization)}, and used on {_weights(state.quantization)}"
        )
    if state.precision != told.precision:
        found.append(f"trained in {told.precision}, and used in {state.precision}")
    if state.template_sha256 != told.template_sha256:
        found.append("trained with another chat template")
    if state.stop_token != told.stop_token:
        found.append(f"trained to end with {told.stop_token!r}, and used with {state.stop_token!r}")
    return found


def _weights(quantization: str) -> str:
    return "unquantized weights" if quantization == "none" else f"{quantization} weights"
