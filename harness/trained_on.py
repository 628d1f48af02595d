"""What an adapter was trained on, as its folder says in fmtharness.json.

trained_on(Path("outputs/quick/adapter"))
    -> TrainedOn(base="smollm2-135m-instruct", quantization="nf4", precision="bfloat16", ...)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from fmtharness.harness.errors import ModelError

TRAINED_ON = "fmtharness.json"
"""The file in an adapter's folder that holds a `TrainedOn`."""


class TrainedOn(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter was trained on, in its folder as fmtharness.json."""

    base: str
    """The built-in model, a hub id, or the absolute path of a folder or GGUF file."""
    revision: str | None = None
    """The commit of a hub model."""
    base_sha256: str | None = None
    """Of the built-in model's GGUF file, or `quick_digest` of a local model's files."""
    quantization: Literal["nf4", "none"]
    precision: str
    """The type that the model computed in, as torch calls it: bfloat16."""
    template_sha256: str
    """Of the chat template, which the tokenizer in the folder holds."""
    chat_template_kwargs: dict[str, Any] = {}
    """What the template was given; the folder's has it written in front."""
    template_date: str | None = None
    """The date that the template writes, if it writes one."""
    stop_token: str
    backend: str = "transformers"
    """The run's backend."""
    backend_options: dict[str, Any] = {}
    """Its options that are not the defaults."""
    sha256: dict[str, str] = {}
    """Of the adapter's weights and settings, by the file's name."""


def trained_on(adapter: Path) -> TrainedOn | None:
    """What the adapter's folder says of its training; None if it says nothing.

    Raises ModelError for a file that cannot be read.
    """
    path = adapter / TRAINED_ON
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrainedOn)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path}: {error}; remove the file to use the adapter without it"
        ) from None
