"""Turns prompts and Examples into token ids: one function each, for training and generation alike.

encode_prompt(tokenizer, example.prompt)  -> [1, 4093, 198, ...]     ends where the answer starts
encode_example(tokenizer, example)        -> Encoded(ids=[1, ..., 2], prompt_length=31)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.contracts import Loaded
from harness.errors import ModelError, ParityError
from harness.records import Example, FinishReason, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Generated(NamedTuple):
    """The new token ids of one prompt, without the stop token."""

    place: int
    ids: list[int]
    finish_reason: FinishReason


class Encoded(NamedTuple):
    """An Example as token ids; labels are the positions from `prompt_length` on."""

    ids: list[int]
    prompt_length: int


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Message]) -> list[int]:
    """The token ids after which the model writes its answer.

    Raises ModelError where the tokenizer has no chat template.
    """
    return _ids(tokenizer, _chat_text(tokenizer, prompt))


def encode_example(tokenizer: PreTrainedTokenizerBase, example: Example, stop_id: int) -> Encoded:
    """The prompt's ids, the completion's, and the stop token."""
    prompt = encode_prompt(tokenizer, example.prompt)
    return Encoded([*prompt, *_ids(tokenizer, example.completion), stop_id], len(prompt))


def stop_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends an assistant's turn, as the chat template writes it, else eos.

    Raises ModelError where the tokenizer has neither.
    """
    user, answer = Message("user", "?"), Message("assistant", "!")
    opened = _chat_text(tokenizer, [user])
    closed = _chat_text(tokenizer, [user, answer], generation_prompt=False)
    after = closed[len(opened) :].partition(answer.content)[2] if closed.startswith(opened) else ""
    for token in _ids(tokenizer, after)[:1]:
        if token in tokenizer.all_special_ids or token in tokenizer.added_tokens_decoder:
            return token
    if isinstance(tokenizer.eos_token_id, int):
        return tokenizer.eos_token_id
    raise ModelError(f"model {tokenizer.name_or_path!r}: its tokenizer has no stop token")


def stop_tokens(loaded: Loaded) -> set[int]:
    """All tokens that end a completion: the template's, the tokenizer's and the model's own."""
    model, tokenizer = loaded
    ends = model.generation_config.eos_token_id if model.generation_config else None
    own = ends if isinstance(ends, list) else [ends]
    return {end for end in (stop_token(tokenizer), tokenizer.eos_token_id, *own) if end is not None}


def certify_parity(
    tokenizer: PreTrainedTokenizerBase, examples: Iterable[Example], encoded: Iterable[Encoded]
) -> dict[str, Any]:
    """Proof that training sees the prompts that generation sees, for the run's manifest.

    Compares, for every Example, the ids before its first label with the ids a backend would feed,
    and the last label with the stop token. Raises ParityError naming the first that differs.
    """
    stop_id = stop_token(tokenizer)
    digest, count = hashlib.sha256(), 0
    for example, row in zip(examples, encoded, strict=True):
        prompt = encode_prompt(tokenizer, example.prompt)
        if row.ids[: row.prompt_length] != prompt or row.ids[-1] != stop_id:
            raise ParityError(
                f"Example {example.id}: training would see other token ids than generation; "
                f"the tokenizer {tokenizer.name_or_path!r} is not stable, refusing to train"
            )
        digest.update(repr(prompt).encode())
        count += 1
    stop = tokenizer.convert_ids_to_tokens(stop_id)
    return {
        "examples": count,
        "mismatches": 0,
        "prompts_sha256": digest.hexdigest(),
        "stop_token": stop,
        "stop_token_id": stop_id,
    }


def _chat_text(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    generation_prompt: bool = True,
) -> str:
    if not tokenizer.chat_template:
        raise ModelError(
            f"model {tokenizer.name_or_path!r} has no chat template; use an instruct model, or add "
            f"a chat_template.jinja to its folder"
        )
    turns = [{"role": message.role, "content": message.content} for message in messages]
    return str(
        tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=generation_prompt
        )
    )


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
