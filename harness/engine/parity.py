"""Proves that training sees the prompts that generation feeds, and the completions it judges.

certify(tokenizer, examples, rows, fed, backend="transformers")
    {"examples": 640, "compared": 4, "backend": "transformers", "prompts_sha256": ...}

The two sides are independent: the backend hashes the ids that it feeds to the model, and a
training row begins with ids of its own. Both have seen the first train prompts.
"""

from __future__ import annotations

import functools
import hashlib
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from msgspec import structs

from fmtharness.harness.engine.encoding import (
    Encoded,
    encode_prompt,
    labelled,
    stop_token,
    text_of,
    token_ids,
)
from fmtharness.harness.engine.templates import chat_text
from fmtharness.harness.errors import ParityError
from fmtharness.harness.records import Completion, Example, ids_digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN = frozenset(string.ascii_letters + string.digits + string.punctuation + " \t\n")
AROUND = 20
"""Characters shown before the first difference of two texts."""


def certify(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    rows: Sequence[Encoded],
    fed: Mapping[str, Completion],
    *,
    backend: str,
) -> dict[str, Any]:
    """Compare training rows with what the backend fed, and their labels with the completions.

    `fed` holds Completions of train Examples by id. Returns the certificate for the run's manifest;
    `compared` counts the rows whose prompt the backend has fed, too, and `lossy_prompts` the
    prompts with characters that the tokenizer lacks. Raises ParityError with the first Example that
    differs, and how, or whose completion loses text, or whose prompt loses ASCII.
    """
    stop_id, compared = stop_token(tokenizer), 0
    every = hashlib.sha256()
    for example, row in zip(examples, rows, strict=True):
        _check_labels(tokenizer, example, row, stop_id)
        prompt = row.ids[: row.prompt_length]
        every.update(ids_digest(prompt).encode())
        other = fed.get(example.id)
        if other is None or other.prompt_sha256 is None:
            continue
        if other.prompt_sha256 != ids_digest(prompt):
            how = _difference(tokenizer, example, prompt, other)
            raise ParityError(
                f"Example {example.id}: training would begin with other token ids than backend "
                f"{backend!r} feeds, refusing to train: {how}"
            )
        compared += 1
    lossy = _check_prompts(tokenizer, examples)
    certificate: dict[str, Any] = {
        "examples": len(examples),
        "compared": compared,
        "backend": backend,
        "prompts_sha256": every.hexdigest(),
        "stop_token": tokenizer.convert_ids_to_tokens(stop_id),
        "stop_token_id": stop_id,
    }
    if lossy:
        certificate["lossy_prompts"] = lossy
    if not compared:
        certificate["not_compared"] = f"backend {backend!r} reports no token ids of these Examples"
    return certificate


def _check_labels(
    tokenizer: PreTrainedTokenizerBase, example: Example, row: Encoded, stop_id: int
) -> None:
    labels = row.ids[row.prompt_length :]
    if not labels or labels[-1] != stop_id:
        raise ParityError(
            f"Example {example.id}: its training row does not end with the stop token, refusing to "
            f"train; tokenizer {tokenizer.name_or_path!r}"
        )
    text = text_of(tokenizer, labels[:-1])
    target = "".join(labelled(tokenizer, example, row.ids[: row.prompt_length]))
    if text == target:
        return
    pairs = zip(text, target, strict=False)
    at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    start = max(0, at - AROUND)
    lost = f" at {target[at]!r}" if at < len(target) else ""
    raise ParityError(
        f"Example {example.id}: the tokenizer loses text, refusing to train: its completion comes "
        f"back from token ids as {text[start : at + AROUND]!r} where "
        f"{target[start : at + AROUND]!r} should be, which differs{lost}; tokenizer "
        f"{tokenizer.name_or_path!r}"
    )


def _check_prompts(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> int:
    """How many prompts hold characters that the tokenizer lacks.

    Raises ParityError if one of them is ASCII, on which formats are built, or if the template's own
    text is lost.
    """
    added = "|".join(map(re.escape, sorted(tokenizer.get_added_vocab(), key=len, reverse=True)))

    @functools.cache
    def kept(char: str) -> bool:
        ids = token_ids(tokenizer, f"x{char}x")
        known = tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids
        return known and char in text_of(tokenizer, ids)

    lossy = 0
    for place, example in enumerate(examples):
        texts = [turn.content for turn in example.prompt]
        if added and (not place or example.tools):  # the template's own text is the same in all
            texts += re.split(added, chat_text(tokenizer, example.prompt, example.tools))
        lost = [char for char in dict.fromkeys("".join(texts)) if not kept(char)]
        if char := next((char for char in lost if char in PLAIN), ""):
            raise ParityError(
                f"Example {example.id}: the tokenizer loses text, refusing to train: it has no "
                f"token for {char!r}, which the prompt holds; tokenizer {tokenizer.name_or_path!r}"
            )
        lossy += bool(lost)
    return lossy


def _difference(
    tokenizer: PreTrainedTokenizerBase, example: Example, prompt: Sequence[int], fed: Completion
) -> str:
    for fault, ids in _faults(tokenizer, example, prompt):
        if ids_digest(ids) == fed.prompt_sha256:
            return fault
    return f"it feeds {fed.prompt_tokens} tokens, and the training row begins with {len(prompt)}"


def _faults(
    tokenizer: PreTrainedTokenizerBase, example: Example, prompt: Sequence[int]
) -> Iterator[tuple[str, Sequence[int]]]:
    """What often goes wrong, and the ids that the backend would then feed."""
    for kind, token in (("BOS", tokenizer.bos_token_id), ("EOS", tokenizer.eos_token_id)):
        if isinstance(token, int):
            name = tokenizer.convert_ids_to_tokens(token)
            yield f"it puts the {kind} token {name!r} in front of the prompt", [token, *prompt]
            yield f"it appends the {kind} token {name!r} to the prompt", [*prompt, token]
            if prompt[:1] == [token]:
                yield f"it lacks the {kind} token {name!r} in front of the prompt", prompt[1:]
    yield (
        "the template of training differs: it changes the prompt",
        encode_prompt(tokenizer, example.prompt, example.tools),
    )
    if example.tools:
        yield "it leaves the tools out", encode_prompt(tokenizer, example.prompt)
    trimmed = [structs.replace(turn, content=turn.content.strip()) for turn in example.prompt]
    yield "it trims the messages of the prompt", encode_prompt(tokenizer, trimmed, example.tools)
