"""Whether a model holds the weights of its files: what the loader missed, and why it failed.

model, found = AutoModelForCausalLM.from_pretrained(source, output_loading_info=True, ...)
refuse_unmatched("./model", model, found)
    ModelError("model './model': 1 weight is missing from its files and would be random: ...")
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmtharness.harness.contracts import BUILTIN_MODEL, ModelOptions
from fmtharness.harness.errors import HarnessError, ModelError
from fmtharness.harness.files import is_full, on_disk
from fmtharness.harness.progress import say
from fmtharness.harness.text import did_you_mean

if TYPE_CHECKING:
    import torch

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
SHOWN = 3
"""How many keys a sentence names."""
LENGTH = 500
"""How many characters of a library's error a sentence shows."""
_CONSENT = re.compile(r"[Pp]lease (pass the argument|set the option) `trust_remote_code=True`")
_NO_SUCH_PAGE = re.compile(r"You can inspect the repository content at https://hf\.co//\S+ ")
"""transformers says this about a local folder, too."""
_UNFIT = re.compile(r"^(\S.*?)\s*\|\s*(?:\x1b\[[\d;]*m)?CONVERSION", re.MULTILINE)
"""A weight that the loader makes of several, in the table to which its error refers."""


def refuse_unmatched(name: str, model: Any, found: Mapping[str, Any]) -> None:
    """Raise ModelError if weights of the model were not in its files; say which were not used.

    `found` is the loading info of `from_pretrained`, without tied weights and those that the
    model's class declares to be optional.
    """
    missing, unused = sorted(found["missing_keys"]), sorted(found["unexpected_keys"])
    kind = type(model).__name__
    if mismatched := sorted(found["mismatched_keys"]):
        key, held, shape = mismatched[0]
        raise ModelError(
            f"model {name!r}: {_weights(mismatched)} not of the shape that config.json asks for: "
            f"{key} is {_shape(held)}, and {kind} has {_shape(shape)}; "
            f"its config.json belongs to other weights"
        )
    if errors := found.get("error_msgs"):
        raise ModelError(f"model {name!r} cannot be loaded: {' '.join(str(errors[0]).split())}")
    if missing and unused:
        expected, given = _alike(missing, unused)
        raise ModelError(
            f"model {name!r}: {_weights(missing)} missing from its files and would be random, and "
            f"{_weights(unused)} under a name that {kind} does not know, such as {given!r} where "
            f"{expected!r} is expected; rename the keys, or mend config.json's architectures"
        )
    if missing:
        raise ModelError(
            f"model {name!r}: {_weights(missing)} missing from its files and would be random: "
            f"{_some(missing)}; download the model again, or convert it as a whole"
        )
    modules = {each for each, _ in model.named_modules()}
    if lost := [key for key in unused if _is_part_of(key, modules)]:
        raise ModelError(
            f"model {name!r}: {_weights(lost)} in its files that {kind} has no place for, though "
            f"it has the layer: {_some(lost)}; its config.json belongs to other weights"
        )
    if unused:
        say(f"model {name!r}: {_weights(unused)} not part of {kind} and not used: {_some(unused)}")


def refuse_unfinite(name: str, folder: Path, unused: Collection[str]) -> None:
    """Raise ModelError if a weight in the folder's files is NaN or infinite.

    `unused` are patterns of keys that the model does not take. The files are read, since quantized
    weights no longer tell.
    """
    for path, key, weight in _in_files(folder):
        if not is_finite(weight) and not any(re.search(each, key) for each in unused):
            raise ModelError(
                f"model {name!r}: the weight {key} in {path} holds values that are no numbers "
                f"(NaN or infinite), so that its texts would mean nothing; download it again"
            )


def is_finite(weight: torch.Tensor) -> bool:
    """Whether all values are numbers; true for integers."""
    import torch

    if not weight.is_floating_point() or not weight.numel():
        return True
    wide = weight if weight.element_size() > 1 else weight.float()  # fp8 has no order
    return bool(torch.isfinite(torch.stack(torch.aminmax(wide.detach()))).all())


def _in_files(folder: Path) -> Iterator[tuple[Path, str, torch.Tensor]]:
    """Every tensor in a folder's files of weights, as transformers chooses them."""
    import torch
    from safetensors import safe_open

    if paths := sorted(folder.glob("model*.safetensors")):
        for path in paths:
            with safe_open(path, "pt") as file:
                for key in file.keys():  # noqa: SIM118 - it is no mapping
                    yield path, key, file.get_tensor(key)
        return
    for path in sorted(folder.glob("pytorch_model*.bin")):
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        for key, value in held.items():
            if isinstance(value, torch.Tensor):
                yield path, key, value


def refuse_pointers(name: str, place: Path | None) -> None:
    """Raise ModelError for a file of a local model that is only a pointer of Git LFS."""
    if place is None:
        return
    for path in sorted(place.iterdir()) if place.is_dir() else [place]:
        if path.is_file() and path.stat().st_size < 1024:  # a pointer has three lines
            with path.open("rb") as file:
                if file.read(len(LFS_POINTER)) == LFS_POINTER:
                    raise ModelError(
                        f"model {name!r}: {path} is only Git LFS's pointer to the file; "
                        f"run git lfs pull where it was cloned, or download the file itself"
                    )


def unloadable(options: ModelOptions, error: Exception) -> HarnessError:
    """The sentence for what a library raised while it loaded the model."""
    if isinstance(error, HarnessError):
        return error
    place = on_disk(options.name)
    if damaged := _damaged(place):
        path, why = damaged
        return ModelError(
            f"model {options.name!r}: {path} is cut off or damaged ({why}); download it again"
        )
    hint = ""
    if place is None:
        hint = f" (a hub id needs network access or a local cache; {BUILTIN_MODEL} needs neither)"
    near = did_you_mean(options.name, [BUILTIN_MODEL])
    return ModelError(f"model {options.name!r} cannot be loaded{near}: {reason(error)}{hint}")


def reason(error: Exception) -> str:
    """A library's error in one line, with our option where it names the library's."""
    if is_full(error):
        return "the disk is full; free some space, or set FMTHARNESS_CACHE to a folder on another"
    if unfit := _UNFIT.findall("\n".join(getattr(error, "__notes__", ()))):
        return f"some of its weights are missing or have another shape, such as {unfit[0]}"
    text = _NO_SUCH_PAGE.sub("", " ".join(str(error).split()))
    text = _CONSENT.sub("Set model.trust_remote_code = true", text)
    if isinstance(error, OSError | ValueError | ImportError) and text:
        named = text  # written for readers
    else:
        named = f"{type(error).__name__}: {text}".removesuffix(": ")
    return named if len(named) <= LENGTH else f"{named[:LENGTH]}..."


def _damaged(place: Path | None) -> tuple[Path, str] | None:
    """The first file of weights in a folder that cannot be opened, and why."""
    import pickle

    import torch
    from safetensors import SafetensorError, safe_open

    for path in sorted(place.iterdir()) if place and place.is_dir() else ():
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, "pt"):
                    pass
            elif path.name.startswith("pytorch_model") and path.suffix == ".bin":
                torch.load(path, map_location="meta", weights_only=True, mmap=True)
        except SafetensorError as error:
            return path, str(error)
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError):
            return path, "these are no weights that torch can read"
        except OSError:
            return path, "it cannot be read"
    return None


def _alike(missing: Collection[str], unused: Collection[str]) -> tuple[str, str]:
    """A missing and an unused key that end with the same three parts, else the first of each."""
    by_end: dict[str, str] = {}
    for key in unused:
        by_end.setdefault(".".join(key.split(".")[-3:]), key)
    ends = [(key, ".".join(key.split(".")[-3:])) for key in missing]
    found = [(key, by_end[end]) for key, end in ends if end in by_end]
    return found[0] if found else (next(iter(missing)), next(iter(unused)))


def _is_part_of(key: str, modules: Collection[str]) -> bool:
    """Whether the key is a weight or bias that one of the modules lacks."""
    module, _, kind = key.rpartition(".")
    return kind in ("weight", "bias") and module in modules


def _weights(keys: Collection[Any]) -> str:
    return "1 weight is" if len(keys) == 1 else f"{len(keys)} weights are"


def _some(keys: Collection[str]) -> str:
    shown = ", ".join(list(keys)[:SHOWN])
    return shown if len(keys) <= SHOWN else f"{shown}, ..."


def _shape(size: Collection[int]) -> str:
    return " x ".join(map(str, size)) or "a number"
