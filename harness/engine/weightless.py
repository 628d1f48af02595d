"""What there is to know about a model without its weights, for engines that load them themselves.

source, known = weightless(ModelOptions(name="./model"), None)
known.tokenizer, known.model.config, known.model.generation_config
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fmtharness.harness.contracts import Loaded, ModelOptions
from fmtharness.harness.engine.gguf import resolve
from fmtharness.harness.engine.models import load_tokenizer
from fmtharness.harness.engine.quiet import quiet_transformers
from fmtharness.harness.errors import ModelError
from fmtharness.harness.text import first_line


def weightless(options: ModelOptions, adapter: Path | None) -> tuple[str, Loaded]:
    """The folder or hub id, and what `load_model` gives, but with the configs alone as the model.

    Raises ModelError for a model whose files cannot be read.
    """
    from transformers import AutoConfig, GenerationConfig

    source, revision = resolve(options.name, options), options.revision
    try:
        with quiet_transformers():
            tokenizer = load_tokenizer(source, options, adapter)
            config = AutoConfig.from_pretrained(
                source, revision=revision, trust_remote_code=options.trust_remote_code
            )
            try:
                load: Any = GenerationConfig.from_pretrained
                generation = load(source, revision=revision)
            except OSError:  # a model without the file
                generation = GenerationConfig.from_model_config(config)
    except ModelError:
        raise
    except Exception as error:  # a third-party model's files can lead the libraries anywhere
        raise ModelError(f"model {options.name!r}: {first_line(error)}") from error
    return source, Loaded(SimpleNamespace(config=config, generation_config=generation), tokenizer)
