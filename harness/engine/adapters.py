"""Adapters: put on a loaded base, and what they depend on.

state, tokenizer = state_of(ModelOptions())     TrainedOn(base="smollm2-135m-instruct", ...)
model = with_adapter(base, Path("adapter"), ModelOptions(quantization="nf4"), patches)
    adapter adapter: trained on nf4 weights and used on none     where that is so
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
from harness.files import quick_digest
from harness.progress import say


def state_of(options: ModelOptions, tokenizer: Any, precision: str) -> TrainedOn:
    """What an adapter depends on that is trained with these options.

    `tokenizer` is the base's, `precision` the type that the model computes in.
    """
    local, base = Path(options.name).expanduser(), options.name
    revision, sha256 = options.revision, None
    if options.name == BUILTIN_MODEL:
        sha256 = BUILTIN_SHA256
    elif local.exists():
        base, sha256 = str(local.resolve()), quick_digest(local)
    else:
        revision = _commit(options) or revision
    return TrainedOn(
        base=base,
        revision=revision,
        base_sha256=sha256,
        quantization=options.quantization,
        precision=precision,
        template_sha256=hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest(),
        stop_token=str(tokenizer.convert_ids_to_tokens(stop_token(tokenizer))),
    )


def _commit(options: ModelOptions) -> str | None:
    """The commit of a hub model in the local cache."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        options.name, revision=options.revision, trust_remote_code=options.trust_remote_code
    )
    return getattr(config, "_commit_hash", None)


def tokenizer_folder(adapter: Path | None) -> Path | None:
    """The adapter's folder if its tokenizer is the one that it was trained with."""
    told = trained_on(adapter) if adapter else None
    has_one = told and adapter and (adapter / "tokenizer_config.json").is_file()
    return adapter if has_one else None


def with_adapter(
    model: Any, adapter: Path, options: ModelOptions, precision: str, patches: Patches
) -> Any:
    """The base with the adapter on it, fused; says where its use differs from its training.

    Raises ModelError for a folder that is no adapter of this base.
    """
    from peft import PeftModel

    from harness.engine.fused_layers import fuse
    from harness.engine.lora_linear import groups

    if not (adapter / "adapter_config.json").is_file():
        raise ModelError(f"adapter {str(adapter)!r}: the folder has no adapter_config.json")
    try:
        with quiet_transformers():
            adapted = PeftModel.from_pretrained(model, str(adapter))
    except (ValueError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"adapter {str(adapter)!r} does not fit this model: {reason}") from error
    for difference in differences(trained_on(adapter), options, precision):
        say(f"adapter {adapter}: {difference}")
    fuse(adapted, patches)
    for group in groups(adapted):
        group.settle(adapted.dtype)
    return adapted


def differences(told: TrainedOn | None, options: ModelOptions, precision: str) -> list[str]:
    """In which ways the adapter is used otherwise than it was trained, as sentences."""
    if told is None:
        return ["its folder does not say which base, quantization and template it was trained with"]
    found = []
    local = Path(options.name).expanduser()
    sha256 = quick_digest(local) if local.exists() else None
    same_base = told.base in (options.name, str(local.resolve()))
    if options.name == BUILTIN_MODEL:
        sha256 = BUILTIN_SHA256
    if sha256 and told.base_sha256 and sha256 != told.base_sha256:
        found.append(f"trained on the base {told.base}, whose weights are not those of this one")
    elif not same_base and not (sha256 and sha256 == told.base_sha256):
        found.append(f"trained on the base {told.base}, and used on {options.name}")
    if options.quantization != told.quantization:
        found.append(
            f"trained on {_weights(told.quantization)}, and used on "
            f"{_weights(options.quantization)}"
        )
    if precision != told.precision:
        found.append(f"trained in {told.precision}, and used in {precision}")
    return found


def _weights(quantization: str) -> str:
    return "unquantized weights" if quantization == "none" else f"{quantization} weights"
