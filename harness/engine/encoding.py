"""Encodes prompts and Examples as token ids, with the same code for training and generation.

encode_prompt(tokenizer, example.prompt)          -> [1, 4093, 198, ...]
encode_example(tokenizer, example, stop_id=2)     -> Encoded(ids=[1, ..., 2], prompt_length=31)

A prompt's ids end with the chat template's generation prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.contracts import Loaded
from harness.errors import ModelError
from harness.records import Example, FinishReason, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Generated(NamedTuple):
    """The generated token ids of the prompt at index `place`, without the stop token."""

    place: int
    ids: list[int]
    finish_reason: FinishReason


class Encoded(NamedTuple):
    """An Example as token ids. The positions from `prompt_length` on are labels."""

    ids: list[int]
    prompt_length: int


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Message]) -> list[int]:
    """The token ids of the messages and the generation prompt, by the chat template.

    Raises ModelError if the tokenizer has no chat template.
    """
    return _ids(tokenizer, _chat_text(tokenizer, prompt))


def encode_example(tokenizer: PreTrainedTokenizerBase, example: Example, stop_id: int) -> Encoded:
    """The ids of the prompt and the completion, each tokenized separately, and the stop token."""
    prompt = encode_prompt(tokenizer, example.prompt)
    return Encoded([*prompt, *_ids(tokenizer, example.completion), stop_id], len(prompt))


def stop_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The special token that the chat template puts after an assistant message, else eos.

    Raises ModelError if the tokenizer has neither.
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
    """All token ids that end a completion: `stop_token`, and eos of tokenizer and model."""
    model, tokenizer = loaded
    ends = model.generation_config.eos_token_id if model.generation_config else None
    own = ends if isinstance(ends, list) else [ends]
    return {end for end in (stop_token(tokenizer), tokenizer.eos_token_id, *own) if end is not None}


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
