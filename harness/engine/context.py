"""What a model can take in: its context length, and the token ids that its embedding has.

context_length(model.config)                        2048, or None if nothing bounds it
check_ids(loaded, [("Example eval-0", [1, 4093])])  ModelError for an id beyond the embedding
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fmtharness.harness.contracts import Loaded
from fmtharness.harness.errors import ModelError

LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "seq_length",
    "n_ctx",
    "context_length",
    "model_max_length",
)
"""What configs call the context length; the first that is there counts."""


def context_length(config: Any) -> int | None:
    """The most tokens of a row; None for a model without a bound, such as Mamba."""
    for part in (config, getattr(config, "text_config", None)):
        for name in LENGTHS:
            length = getattr(part, name, None)
            if isinstance(length, int) and length > 0:
                return length
    return None


def embedded(model: Any) -> int:
    """How many token ids the model's embedding has."""
    return int(model.get_input_embeddings().weight.shape[0])


def check_ids(loaded: Loaded, rows: Iterable[tuple[str, Sequence[int]]]) -> None:
    """Raise ModelError for the first id that the embedding lacks; each row comes with its name."""
    model, tokenizer, *_ = loaded
    known = embedded(model)
    if len(tokenizer) <= known:
        return
    for name, ids in rows:
        for token in ids:
            if token >= known:
                raise ModelError(
                    f"model {tokenizer.name_or_path!r}: its tokenizer has {len(tokenizer)} tokens "
                    f"and its embedding {known}, and {name} needs the token "
                    f"{tokenizer.convert_ids_to_tokens(token)!r} (id {token}); use the tokenizer "
                    f"that the model was trained with"
                )
