"""From a model reference to a model and its tokenizer, on their device.

load_model(ModelOptions())                  the built-in smollm2-135m-instruct
load_model(ModelOptions(name="./my-model")) a folder; also a .gguf file or a hub id
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contracts import BUILTIN_MODEL, Loaded, ModelOptions, bytes_of
from harness.engine.gguf import resolve
from harness.engine.quiet import quiet_transformers
from harness.errors import ModelError
from harness.text import did_you_mean

if TYPE_CHECKING:
    import torch


def load_model(
    options: ModelOptions, adapter: Path | None = None, *, stay_packed_on_cpu: bool = False
) -> Loaded:
    """The model in evaluation mode on its device, with the adapter on it where one is given.

    NF4 means double-quantized 4-bit NormalFloat weights (Dettmers et al. 2023, QLoRA) in every
    linear layer but the head. `stay_packed_on_cpu` leaves the model in main memory, in the type
    that its device asks for. Raises ModelError with the way out where loading fails.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = resolve(options.name)
    device = device_of(options)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # graphs, streams and Triton's kernels go by the current one
    if options.memory_limit and device.type == "cuda":
        whole = torch.cuda.get_device_properties(device).total_memory
        share = min(1.0, bytes_of(options.memory_limit) / whole)
        torch.cuda.set_per_process_memory_fraction(share, device)
    dtype = _dtype(options, device)
    if stay_packed_on_cpu:
        device = torch.device("cpu")
    arguments: dict[str, Any] = {"dtype": dtype, "trust_remote_code": options.trust_remote_code}
    if options.quantization == "nf4":
        arguments["quantization_config"] = _nf4(dtype)
        arguments["device_map"] = {"": device}  # unset, it would be a GPU where there is one
    shared = {"revision": options.revision, "trust_remote_code": options.trust_remote_code}
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(source, **shared)
            model: Any = AutoModelForCausalLM.from_pretrained(
                source, revision=options.revision, **arguments
            )
    except (OSError, ValueError, ImportError) as error:
        near = did_you_mean(options.name, [BUILTIN_MODEL])
        said = str(error).strip().splitlines()[0]
        raise ModelError(
            f"model {options.name!r} cannot be loaded{near}: {said} "
            f"(a hub id needs a network or a filled cache; {BUILTIN_MODEL} needs neither)"
        ) from error
    model = model.to(device) if options.quantization == "none" else model
    if options.quantization == "nf4":
        if not stay_packed_on_cpu and _may_dequantize(options, model, device):
            with quiet_transformers():
                model.dequantize(dtype)
            model.is_loaded_in_4bit = False  # else peft would wrap for 4-bit layers
        else:
            keep_training_layout(model)
    if adapter is not None:
        model = _with_adapter(model, adapter)
    model.requires_grad_(False)
    return Loaded(model.eval(), tokenizer)


def keep_training_layout(model: torch.nn.Module) -> None:
    """Stop bitsandbytes from repacking 4-bit weights at an evaluation forward.

    On CPUs with AVX512-BF16 it repacks for inference, and backward passes after that silently
    lose their gradients; the unpacked layout serves both.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _nf4(dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    # Without the optional kernels package it warns at each start about a path never taken here.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _may_dequantize(options: ModelOptions, model: Any, device: torch.device) -> bool:
    """Whether expanded weights leave at least two thirds of the free memory to everything else."""
    import torch

    if options.dequantize == "never":
        return False
    if device.type == "cpu":
        return True
    free = torch.cuda.mem_get_info(device)[0]
    if options.memory_limit:
        free = min(free, bytes_of(options.memory_limit) - torch.cuda.memory_allocated(device))
    packed = [w for w in model.parameters() if hasattr(w, "quant_state")]
    expanded = sum(weight.numel() for weight in packed) * 4  # two weights a byte, 2 bytes each
    return bool(expanded < free / 3)


def _with_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    from harness.engine.fused_layers import fuse
    from harness.engine.lora_linear import groups

    if not (adapter / "adapter_config.json").is_file():
        raise ModelError(f"adapter {str(adapter)!r}: the folder holds no adapter_config.json")
    try:
        with quiet_transformers():
            adapted = PeftModel.from_pretrained(model, str(adapter))
    except (ValueError, RuntimeError, OSError) as error:
        said = str(error).strip().splitlines()[0]
        raise ModelError(f"adapter {str(adapter)!r} does not fit this model: {said}") from error
    fuse(adapted)
    for group in groups(adapted):
        group.settle(adapted.dtype)
    return adapted


def device_of(options: ModelOptions) -> torch.device:
    """Where the model runs; raises ModelError where this machine has no such device."""
    import torch

    name = options.device
    if name == "cuda" and torch.cuda.is_available():
        name = f"cuda:{torch.cuda.current_device()}"  # torch's bound on memory asks for the number
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"model.device = {name!r} is not on this machine: {error}") from error
    return device


def _dtype(options: ModelOptions, device: torch.device) -> torch.dtype:
    import torch

    named = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    if options.precision != "auto":
        return named[options.precision]
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def memory_peaks() -> dict[str, int]:
    """Peak bytes of this process, and on a GPU the allocator's allocated and reserved peaks."""
    import torch

    peaks = {"resident": _peak_resident()}
    if torch.cuda.is_available():
        peaks["cuda_allocated"] = torch.cuda.max_memory_allocated()
        peaks["cuda_reserved"] = torch.cuda.max_memory_reserved()
    return peaks


def _peak_resident() -> int:
    if sys.platform == "win32":
        import psutil  # accelerate brings it

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
