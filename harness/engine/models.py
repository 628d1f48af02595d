"""Loads a model and its tokenizer, quantized and with an adapter if asked for.

with Patches() as patches:
    load_model(ModelOptions(), patches)      Loaded(model, tokenizer) of smollm2-135m-instruct

A model's name may also be a folder, a .gguf file or a hub id.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmtharness.harness.contracts import Loaded, ModelOptions
from fmtharness.harness.engine.adapters import refuse_changed, state_of, with_adapter
from fmtharness.harness.engine.gguf import resolve
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.quiet import quiet_transformers
from fmtharness.harness.engine.templates import set_template
from fmtharness.harness.engine.torch_private import cpu_has_bf16
from fmtharness.harness.engine.weights import refuse_unfinite, refuse_unmatched, unloadable
from fmtharness.harness.errors import ModelError
from fmtharness.harness.progress import say
from fmtharness.harness.text import bytes_of
from fmtharness.harness.trained_on import TrainedOn

if TYPE_CHECKING:
    import torch

PROBE = 'Write {"city": "Oslo", "nights": 4} as YAML, CSV and XML, with a list of 10 hotels.'
"""A text on whose tokens a model is tried: in fp16, and with a fused adapter."""
_TOO_LARGE_FOR_FP16: set[tuple[str, str | None]] = set()
"""Models, with their revisions, that this process has found to be too large for fp16."""


def load_model(
    options: ModelOptions,
    patches: Patches,
    adapter: Path | None = None,
    *,
    stay_packed_on_cpu: bool = False,
) -> Loaded:
    """Load the model in eval mode, with frozen parameters and the adapter if one is given.

    NF4 means double-quantized 4-bit NormalFloat weights (Dettmers et al. 2023, QLoRA) in every
    linear layer but the head. `stay_packed_on_cpu` leaves the model on the CPU and does not
    dequantize it; its dtype is still the one for the device of `options`. Raises ModelError if
    loading fails.
    """
    import torch

    if adapter is not None:
        refuse_changed(adapter)
    source = resolve(options.name, options)
    device = device_of(options)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # CUDA graphs, streams and Triton use the current device
    if options.memory_limit and device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        fraction = min(1.0, bytes_of(options.memory_limit) / total)
        torch.cuda.set_per_process_memory_fraction(fraction, device)
    dtype = _dtype(options, device)
    if stay_packed_on_cpu:
        device = torch.device("cpu")
    try:
        tokenizer = load_tokenizer(source, options, adapter)
        model = _model(source, options, dtype, device)
        if dtype == torch.float16 and not _is_finite(model, tokenizer):
            del model  # else two of them stand in memory
            dtype = _instead_of_fp16(options)
            model = _model(source, options, dtype, device)
            if not _is_finite(model, tokenizer):
                raise ModelError(
                    f"model {options.name!r}: its logits are no numbers in fp32, either; its "
                    f"weights are damaged, download it again"
                )
    except (torch.OutOfMemoryError, ModuleNotFoundError):
        raise
    except Exception as error:  # a third-party model's files can lead the libraries anywhere
        raise unloadable(options, error) from error
    if getattr(model.config, "attn_logit_softcapping", None):
        patches.attend_by(model, "eager", "SDPA has no cap, and older versions leave it out")
    if adapter is None:  # one that was trained elsewhere may have weights for all parts
        _keep_text_alone(options.name, model)
    packed = [w for w in model.parameters() if hasattr(w, "quant_state")]
    quantized = sum(math.prod(weight.quant_state.shape) for weight in packed)
    del packed
    if options.quantization == "nf4":
        if not stay_packed_on_cpu and _may_dequantize(options, model, device):
            with quiet_transformers():
                model.dequantize(dtype)
            why = "the weights are dequantized: else peft would create its 4-bit LoRA layers"
            patches.replace(model, "is_loaded_in_4bit", False, why)
        else:
            keep_training_layout(model, patches)
    if adapter is not None:
        commit = getattr(model.config, "_commit_hash", None)
        state = state_of(options, tokenizer, _name_of(dtype), commit)
        model = with_adapter(model, adapter, state, patches, _probe(model, tokenizer))
    model.requires_grad_(False)
    return Loaded(model.eval(), tokenizer, quantized)


def _model(source: str, options: ModelOptions, dtype: torch.dtype, device: torch.device) -> Any:
    """The model with all of its weights in this type, on the device.

    Raises ModelError for weights that its files do not hold, or that NF4 does not know.
    """
    from transformers import AutoModelForCausalLM

    arguments: dict[str, Any] = {"dtype": dtype, "trust_remote_code": options.trust_remote_code}
    if options.quantization == "nf4":
        arguments["quantization_config"] = _nf4(dtype)
        arguments["device_map"] = {"": device}  # the default is a GPU if there is one
    # Without its optional kernels package, bitsandbytes warns about a code path not used here.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    load: Any = AutoModelForCausalLM.from_pretrained
    with quiet_transformers():
        model, found = load(
            source,
            revision=options.revision,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused here, by name
            **arguments,
        )
    refuse_unmatched(options.name, model, found)
    if (folder := _folder(source, model)) is not None:
        unused = [f"^{re.escape(key)}$" for key in found["unexpected_keys"]]
        unused += getattr(model, "_keys_to_ignore_on_load_unexpected", None) or []
        refuse_unfinite(options.name, folder, unused)
    if options.quantization != "nf4":
        return model.to(device) if options.quantization == "none" else model
    if not any(hasattr(weight, "quant_state") for weight in model.parameters()):
        raise ModelError(
            f"model {options.name!r}: NF4 quantizes none of its layers, since "
            f"{type(model).__name__} has its own kind of linear layer; set model.quantization = "
            f'"none", and train with trainer = "lora"'
        )
    return model


def _folder(source: str, model: Any) -> Path | None:
    """Where the files of a loaded model lie: its folder, or a hub model's in the hub's cache."""
    from transformers.utils.hub import cached_file

    if Path(source).is_dir():
        return Path(source)
    commit = getattr(model.config, "_commit_hash", None)
    found = cached_file(source, "config.json", revision=commit, local_files_only=True)
    return Path(found).parent if found else None


def _keep_text_alone(name: str, model: Any) -> None:
    """Drop what a multimodal model has beside its text decoder, where no text passes through.

    An adapter on those parts would have no gradient.
    """
    if not any(hasattr(model.config, f"{sense}_config") for sense in ("vision", "audio")):
        return
    decoder = model.get_decoder()
    for parent in model.modules():
        children = dict(parent.named_children())
        if decoder in children.values() and parent is not model:
            others = [each for each, child in children.items() if child is not decoder]
            for each in others:
                setattr(parent, each, None)
            if others:
                say(f"model {name!r}: used for text alone, without {', '.join(others)}")
            return


def _is_finite(model: Any, tokenizer: Any) -> bool:
    """Whether the logits of a few real tokens are numbers; fp16 ends at 65504."""
    import torch

    ids = _probe(model, tokenizer)
    if not ids:
        return True
    with torch.inference_mode(), Patches() as patches:
        if getattr(model, "is_loaded_in_4bit", False):
            keep_training_layout(model, patches)  # this is not yet how it will be used
        logits = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits
    return bool(torch.isfinite(logits).all())


def _probe(model: Any, tokenizer: Any) -> list[int]:
    """Real tokens of the model."""
    known = model.get_input_embeddings().weight.shape[0]
    return [each for each in tokenizer(PROBE)["input_ids"] if each < known]


def _instead_of_fp16(options: ModelOptions) -> torch.dtype:
    """The type for a model whose activations do not fit fp16; said once.

    Raises ModelError if fp16 was asked for.
    """
    import torch

    what = f"model {options.name!r}: its activations exceed what fp16 can hold"
    if options.precision == "fp16":
        raise ModelError(
            f'{what}, so that its logits are no numbers; set model.precision = "fp32", or "bf16" '
            f"where the hardware computes with it"
        )
    _TOO_LARGE_FOR_FP16.add((options.name, options.revision))
    say(f"{what}; it is loaded in fp32, which takes twice the memory (see model.precision)")
    return torch.float32


def state_for(options: ModelOptions) -> tuple[TrainedOn, Any]:
    """What an adapter depends on that is trained with these options, and the base's tokenizer."""
    from transformers import AutoConfig

    source = resolve(options.name, options)
    tokenizer = load_tokenizer(source, options)
    config = AutoConfig.from_pretrained(
        source, revision=options.revision, trust_remote_code=options.trust_remote_code
    )
    commit = getattr(config, "_commit_hash", None)
    return state_of(
        options, tokenizer, _name_of(_dtype(options, device_of(options))), commit
    ), tokenizer


def load_tokenizer(source: str, options: ModelOptions, adapter: Path | None = None) -> Any:
    """The tokenizer and template in the adapter's folder, or else those of the base."""
    from transformers import AutoTokenizer

    def load(place: str, trust: bool) -> Any:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(
                place, revision=options.revision, trust_remote_code=trust
            )

    own = adapter is not None and _has_tokenizer(adapter)
    trust = options.trust_remote_code
    tokenizer = load(str(adapter), trust=False) if own else load(source, trust)
    if adapter is not None and (template := adapter / "chat_template.jinja").is_file():
        tokenizer.chat_template = template.read_text(encoding="utf-8")
    elif own and not tokenizer.chat_template:
        tokenizer.chat_template = load(source, trust).chat_template
    set_template(tokenizer, options)
    return tokenizer


def _has_tokenizer(adapter: Path) -> bool:
    """Whether the adapter's folder has a tokenizer that needs no code; only a base's is trusted."""
    try:
        settings = json.loads((adapter / "tokenizer_config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    return "auto_map" not in settings


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def keep_training_layout(model: torch.nn.Module, patches: Patches) -> None:
    """Stop bitsandbytes from repacking 4-bit weights in an eval-mode forward pass.

    On CPUs with AVX512-BF16 it repacks them for inference, and later backward passes silently lose
    their gradients. The original layout works for both.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            why = "4-bit weights keep the layout that has gradients"
            patches.replace(module, "support_avx512bf16_for_cpu", False, why)


def _nf4(dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _may_dequantize(options: ModelOptions, model: Any, device: torch.device) -> bool:
    """Whether the dequantized weights take less than a third of the free device memory.

    Always true on a CPU, unless `dequantize` is "never".
    """
    import torch

    if options.dequantize == "never":
        return False
    if device.type == "cpu":
        return True
    free = torch.cuda.mem_get_info(device)[0]
    if options.memory_limit:
        free = min(free, bytes_of(options.memory_limit) - torch.cuda.memory_allocated(device))
    packed = [w for w in model.parameters() if hasattr(w, "quant_state")]
    # A packed byte holds two weights, which take 2 bytes each after dequantization.
    dequantized = sum(weight.numel() for weight in packed) * 4
    return bool(dequantized < free / 3)


def device_of(options: ModelOptions) -> torch.device:
    """The device of the model. Raises ModelError if this machine does not have it."""
    import torch

    name = options.device
    if name == "cuda" and torch.cuda.is_available():
        name = f"cuda:{torch.cuda.current_device()}"  # torch's memory limit needs the device index
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"model.device = {name!r} is not available on this machine: {error}"
        ) from error
    return device


def _dtype(options: ModelOptions, device: torch.device) -> torch.dtype:
    import torch

    named = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    if options.precision != "auto":
        return named[options.precision]
    fastest = _fastest_dtype(device)
    too_large = (options.name, options.revision) in _TOO_LARGE_FOR_FP16
    return torch.float32 if fastest == torch.float16 and too_large else fastest


def _fastest_dtype(device: torch.device) -> torch.dtype:
    import torch

    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    if device.type == "cpu" and not cpu_has_bf16():
        return torch.float32
    return torch.bfloat16


def memory_peaks() -> dict[str, int]:
    """Peak memory in bytes: resident, and with CUDA the allocator's allocated and reserved."""
    import torch

    peaks = {"resident": _peak_resident()}
    if torch.cuda.is_available():
        peaks["cuda_allocated"] = torch.cuda.max_memory_allocated()
        peaks["cuda_reserved"] = torch.cuda.max_memory_reserved()
    return peaks


def _peak_resident() -> int:
    if sys.platform == "win32":
        import psutil  # a dependency of accelerate

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB on Linux
