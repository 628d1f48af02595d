"""Adapters: put on a loaded base, and what they depend on.

state = state_of(ModelOptions(), tokenizer, "bfloat16", None)
    TrainedOn(base="smollm2-135m-instruct", base_sha256="b179...", quantization="none", ...)
model = with_adapter(base, Path("adapter"), state, patches)
    says "adapter adapter: trained on nf4 weights, and used on unquantized weights" if that is so
with switched_off(model):
    inside, the model computes as its base
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fmtharness.harness.contracts import BUILTIN_MODEL, HUB_ID_OF_BUILTIN, ModelOptions
from fmtharness.harness.engine.encoding import stop_token
from fmtharness.harness.engine.gguf import BUILTIN_SHA256
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.quiet import quiet_transformers
from fmtharness.harness.engine.weights import is_finite
from fmtharness.harness.errors import ModelError
from fmtharness.harness.files import file_digest, on_disk, quick_digest
from fmtharness.harness.progress import say
from fmtharness.harness.requirements import ADAPTER_CONFIG, needs_adapter
from fmtharness.harness.trained_on import TRAINED_ON, TrainedOn, trained_on

LIKE_PEFT = (
    *("LORA", "ADALORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT", "VERA", "VBLORA", "RANDLORA"),
    *("FOURIERFT", "C3A", "HRA", "MISS", "ROAD", "SHIRA", "LN_TUNING", "TRAINABLE_TOKENS"),
)
"""peft's types of adapters that change weights alone, and whose logits are tested against peft's.

Those that add to the prompt or the cache (prefix tuning and the like) need peft's own `generate`.
"""


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


def with_adapter(
    model: Any, adapter: Path, state: TrainedOn, patches: Patches, probe: Sequence[int]
) -> Any:
    """The base with the adapter on it; says where this state differs from its training.

    A LoRA is fused, if the logits of the token ids `probe` are peft's then; other types go through
    peft's own forward. Raises ModelError for a folder that
    is not an adapter of this base, and for a type whose texts would not be peft's.
    """
    from peft import PeftConfig, get_peft_model

    needs_adapter(adapter)
    settings = _settings(adapter)
    told, named = trained_on(adapter), str(settings.get("base_model_name_or_path") or "")
    trained = told.base if told else named
    try:
        # What PeftModel.from_pretrained does, but that keeps to itself which keys had no place.
        with quiet_transformers():
            config = PeftConfig.from_pretrained(str(adapter))
            config.inference_mode = True
            renamed = getattr(model, "_checkpoint_conversion_mapping", None)
            adapted: Any = get_peft_model(model, config)
            loaded = adapted.load_adapter(str(adapter), "default", key_mapping=renamed)
    except Exception as error:  # peft and torch raise anything for files that others wrote
        raise _misfit(adapter, trained, state.base, _reason(error)) from error
    if reason := _unmatched(loaded.unexpected_keys, loaded.missing_keys):
        raise _misfit(adapter, trained, state.base, reason)
    _refuse_unfinite(adapter)
    for difference in differences(told, state, named):
        say(f"adapter {adapter}: {difference}")
    if settings["peft_type"] == "LORA" and probe:
        _fuse(adapted.eval(), patches, probe)
    return adapted


def _fuse(adapted: Any, patches: Patches, probe: Sequence[int]) -> None:
    """Fuse the layers; undone, and said, if the logits are not peft's up to rounding."""
    import torch

    from fmtharness.harness.engine.fused_layers import fuse
    from fmtharness.harness.engine.lora_linear import groups
    from fmtharness.harness.engine.rounding import apart, measured

    ids = torch.tensor([list(probe)], device=adapted.device)

    def logits() -> list[torch.Tensor]:
        return [adapted(input_ids=ids, use_cache=False).logits]

    before = len(patches)
    with torch.no_grad():
        own = measured(adapted, logits)
        fuse(adapted, patches)
        for group in groups(adapted):
            group.settle(adapted.dtype)
        if apart(own, logits()) > 1:
            patches.undo(keep=before)
            say("generate: more slowly, by peft's own layers, since fused ones give other logits")


@contextmanager
def switched_off(model: Any) -> Iterator[None]:
    """Inside, a module computes without its adapters, by peft's own layers or fused ones.

    Weights and their gradients' flags are not touched, as peft's `disable_adapter` does.
    """
    from fmtharness.harness.engine.lora_linear import groups

    with Patches() as patches:
        for module in model.modules():
            if hasattr(module, "_disable_adapters"):
                patches.replace(module, "_disable_adapters", True, "peft's layers give the base's")
        for group in groups(model):
            patches.replace(group, "scales", [0.0] * len(group.scales), "and so do fused ones")
        yield


def refuse_changed(adapter: Path) -> None:
    """Raise ModelError if a file is not the one whose hash fmtharness.json has."""
    told = trained_on(adapter)
    for name, known in told.sha256.items() if told else ():
        path = adapter / name
        if not path.is_file() or file_digest(path) != known:
            why = "changed or damaged since it was trained" if path.is_file() else "missing"
            raise ModelError(
                f"adapter {str(adapter)!r}: {name} is {why}, as {TRAINED_ON} says; copy the "
                f"adapter again, or remove {TRAINED_ON} to use it as another tool's"
            )


def _refuse_unfinite(adapter: Path) -> None:
    """Raise ModelError for an adapter's file with a weight that is NaN or infinite."""
    from peft.utils import load_peft_weights

    for key, weight in load_peft_weights(str(adapter), device="cpu").items():
        if not is_finite(weight):
            raise ModelError(
                f"adapter {str(adapter)!r}: its weight {key} holds values that are no numbers "
                f"(NaN or infinite); the training that made it failed, or the file is damaged"
            )


def _settings(adapter: Path) -> dict[str, Any]:
    """The adapter's adapter_config.json; raises ModelError unless it is of a kind that fits."""
    path = adapter / ADAPTER_CONFIG
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kind = str(found["peft_type"]).upper()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{path}: not the settings of a peft adapter: {why}") from None
    if kind not in LIKE_PEFT:
        raise ModelError(
            f"{path}: adapters of the type {kind} are not supported, since their texts would not "
            f"be peft's own; supported are {', '.join(LIKE_PEFT)}"
        )
    if found.get("alora_invocation_tokens"):
        raise ModelError(
            f"{path}: alora_invocation_tokens (activated LoRA) is not supported, since its texts "
            f"would not be peft's own; a LoRA without it is"
        )
    if found.get("megatron_config"):
        raise ModelError(
            f"{path}: megatron_config is not supported, since peft would import the module that "
            f"megatron_core names"
        )
    if found.get("task_type") not in (None, "CAUSAL_LM"):
        raise ModelError(
            f"{path}: the adapter is for the task {found['task_type']}, and models are used here "
            f"for CAUSAL_LM alone"
        )
    return {**found, "peft_type": kind}


def _misfit(adapter: Path, trained: str, used: str, reason: str) -> ModelError:
    on = f"trained on {trained}" if trained else "whose folder names no base"
    return ModelError(
        f"adapter {str(adapter)!r}, {on}, does not fit the model in use, {used}: {reason}"
    )


def _reason(error: Exception) -> str:
    """An error of peft's or torch's in one line: of mismatched shapes, the first one."""
    if isinstance(error, KeyError):
        return f"its file has no {error}"
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    several = lines[0].startswith("Error(s) in loading") and len(lines) > 1
    return lines[1].rstrip(".") if several else lines[0]


def _unmatched(unexpected: Sequence[str], missing: Sequence[str]) -> str:
    """Which weights of the adapter's file have no place in the model, and which the file lacks."""
    # peft says so of vectors that all layers share, and that the file holds once.
    lacking = [key for key in missing if "vblora_vector_bank" not in key]
    parts = []
    if unexpected:
        parts.append(f"{len(unexpected)} of its weights have no place there ({unexpected[0]})")
    if lacking:
        parts.append(f"its file lacks {len(lacking)} weights ({lacking[0]})")
    return ", and ".join(parts)


def differences(told: TrainedOn | None, state: TrainedOn, named: str = "") -> list[str]:
    """In which ways the adapter is used differently than it was trained, as sentences.

    `named` is the base in the adapter_config.json, for a folder that tells nothing else.
    """
    if told is None:
        if not named or _same_base(named, state.base):
            which = "quantization" if named else "base, quantization"
            return [f"its folder does not say which {which} and template it was trained with"]
        return [
            f"trained on the base {named} by its {ADAPTER_CONFIG}, and used on {state.base}; its "
            f"folder does not say with which quantization and template"
        ]
    found = []
    if told.base_sha256 and state.base_sha256:
        if told.base_sha256 != state.base_sha256:
            found.append(
                f"trained on the base {told.base}, and used on {state.base}, whose weights are not "
                f"the same"
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


def _same_base(named: str, used: str) -> bool:
    """Whether a base that an adapter_config.json names is the one in use, by its name."""
    local = on_disk(named)
    names = {named, str(local.resolve()) if local else named}
    return used in names or (used == BUILTIN_MODEL and named == HUB_ID_OF_BUILTIN)


def _weights(quantization: str) -> str:
    return "unquantized weights" if quantization == "none" else f"{quantization} weights"
