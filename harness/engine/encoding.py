"""Encodes prompts and Examples as token ids, with the same code for training and generation.

encode_prompt(tokenizer, example.prompt, example.tools)    -> [1, 4093, 198, ...]
encode_example(tokenizer, example, stop_id=2)  -> Encoded(ids=[1, ..., 2], prompt_length=31)

A prompt's ids end with the chat template's generation prompt. If that opens think tags, the labels
begin with what closes them, so that the target is an answer and not a thought.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET, structs

from fmtharness.harness.contracts import Loaded
from fmtharness.harness.engine.reasoning import LONGEST, closing, opened, think_tags
from fmtharness.harness.engine.templates import chat_text
from fmtharness.harness.errors import ModelError
from fmtharness.harness.records import KEEPS, NO_FORMAT, Example, FinishReason, Message

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
    rejected: list[int] | None = None
    """The ids of the same prompt with a worse answer, where both are trained on."""
    reference: tuple[float, float] = (0.0, 0.0)
    """The log-probabilities of the two answers by the reference model, in nats."""
    keeps: bool = False
    """Whether the base's predictions are to be kept at its labels, instead of learning them."""
    drawn: list[int] | None = None
    """The labels, where they are not the ids themselves but drawn from the base's predictions."""

    @property
    def labels(self) -> list[int]:
        """What the positions from `prompt_length` - 1 on are to predict."""
        return self.ids[self.prompt_length :] if self.drawn is None else self.drawn

    @property
    def shared(self) -> int:
        """How many ids the two answers begin with alike, the prompt's among them.

        The margin of a pair is made of what follows. Without a rejected answer it is the prompt.
        """
        if self.rejected is None:
            return self.prompt_length
        pairs = zip(self.ids, self.rejected, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    @property
    def answers(self) -> list[Encoded]:
        """The row without its pair, and the rejected answer as a row of its own.

        The labels of the rejected answer begin where the two differ.
        """
        own = Encoded(self.ids, self.prompt_length, drawn=self.drawn)
        return [own] if self.rejected is None else [own, Encoded(self.rejected, self.shared)]

    @property
    def tokens(self) -> int:
        """How many tokens a pass computes for it."""
        return len(self.ids) + len(self.rejected or ())


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[Message],
    tools: Sequence[dict[str, Any]] = (),
) -> list[int]:
    """The token ids of the messages and the generation prompt, by the chat template.

    Raises ModelError if the tokenizer has no chat template, or if it refuses these messages.
    """
    return token_ids(tokenizer, chat_text(tokenizer, prompt, tools))


def encode_example(tokenizer: PreTrainedTokenizerBase, example: Example, stop_id: int) -> Encoded:
    """The ids of the prompt and the completion, each tokenized separately, and the stop token.

    For an Example without a prompt, which is plain text, they are those of the text alone, after
    what the tokenizer begins a text with. In a completion of a format no token closes two brackets.
    Raises DataError for an Example without a completion.
    """
    keeps = bool(example.tags.get(KEEPS))
    if not example.prompt:
        start = list(tokenizer("")["input_ids"])
        ids = [*start, *token_ids(tokenizer, example.target)]
        return Encoded(ids, max(1, len(start)), keeps=keeps)
    prompt = encode_prompt(tokenizer, example.prompt, example.tools)
    closed, target = labelled(tokenizer, example, prompt)
    answer = token_ids(tokenizer, target)
    if example.format != NO_FORMAT:
        answer = one_bracket_a_token(tokenizer, answer)
    labels = [*token_ids(tokenizer, closed), *answer]
    return Encoded([*prompt, *labels, stop_id], len(prompt), keeps=keeps)


def encode_rejected(
    tokenizer: PreTrainedTokenizerBase, example: Example, stop_id: int, most: int
) -> list[int]:
    """The ids of the prompt and the rejected answer, cut to `most`: a loop is long.

    No stop token follows an answer that the model did not end, with `length` as the tag
    `rejected_finish_reason`.
    """
    worse = structs.replace(example, completion=example.rejected, value=UNSET)
    ids = encode_example(tokenizer, worse, stop_id).ids
    ended = example.tags.get("rejected_finish_reason") != "length"
    return (ids if ended else ids[:-1])[:most]


def labelled(
    tokenizer: PreTrainedTokenizerBase, example: Example, prompt: Sequence[int]
) -> tuple[str, str]:
    """What closes the think tags that the prompt opens, `"\\n</think>\\n\\n"`, and the target.

    A target that holds a thought of its own closes it itself, and its opening tag is the prompt's.
    """
    tags, target = think_tags(tokenizer.chat_template), example.target
    if tags is None or not (begun := think_tag_of(tokenizer, prompt)):
        return "", target
    if example.value is not UNSET or tags.close not in target:
        return closing(tags, begun), target
    thought = target.lstrip().removeprefix(tags.open)
    return "", thought if len(thought) == len(target.lstrip()) else thought.lstrip()


def think_tag_of(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int]) -> str:
    """The opening think tag that a prompt's ids end with, as in `"<think>\\n"`; else empty."""
    tags = think_tags(tokenizer.chat_template)
    return opened(tags, text_of(tokenizer, prompt[-LONGEST:])) if tags else ""


def stop_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends an assistant message in the chat template, else end-of-sequence.

    It is the first special or added token after the message, or, if nothing closes a message, the
    one that opens the next. It is never a line break, an ordinary word, BOS or the unknown token.
    Raises ModelError if the tokenizer has no such token, or if the template does not work.
    """
    user, answer = Message("user", "zqquestion"), Message("assistant", "zqanswer")
    chat_text(tokenizer, [user])
    for turns in ([user, answer], [user, answer, user]):
        try:
            text = chat_text(tokenizer, turns, generation_prompt=False)
        except ModelError:  # a template for prompts alone
            continue
        after = text.rpartition(answer.content)[2].partition(user.content)[0]
        for token in token_ids(tokenizer, after):
            if _ends_messages(tokenizer, token):
                return token
    eos = tokenizer.eos_token_id
    if isinstance(eos, int) and not _is_blank(tokenizer, eos):
        return eos
    raise ModelError(
        f"model {tokenizer.name_or_path!r}: its tokenizer has no stop token: the chat template "
        f"ends messages without a special token, and no end-of-sequence token is set that is not "
        f"a line break"
    )


def stop_tokens(loaded: Loaded) -> set[int]:
    """All token ids that end a completion: `stop_token`, and eos of tokenizer and model."""
    model, tokenizer, *_ = loaded
    ends = model.generation_config.eos_token_id if model.generation_config else None
    own = ends if isinstance(ends, list) else [ends]
    found = {end for end in (tokenizer.eos_token_id, *own) if end is not None}
    return {stop_token(tokenizer)} | {end for end in found if not _is_blank(tokenizer, end)}


def token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The text as token ids, with no token added. Raises ModelError for half of a character."""
    try:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    except (TypeError, UnicodeEncodeError):
        if re.search("[\ud800-\udfff]", text) is None:
            raise
        raise ModelError("its text has half of a surrogate pair") from None


def one_bracket_a_token(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[int]:
    """Tokens of the same text, none of which closes two brackets: `"}},` becomes `"}` and `},`.

    Where one token closes two objects, the depth is decided at the end of a string, before the
    model has written the first bracket, and it learns that less well.
    """
    parts = _bracket_parts(tokenizer)
    return [part for token in ids for part in parts.get(token, (token,))]


@cache
def _bracket_parts(tokenizer: PreTrainedTokenizerBase) -> dict[int, list[int]]:
    """The tokens that close two brackets or more, each with the tokens that close one each."""
    vocabulary, special = tokenizer.get_vocab(), tokenizer.added_tokens_decoder
    found = dict[int, list[int]]()
    for text, token in vocabulary.items():
        parts = re.findall(r"[^}\]]*[}\]](?:[^}\]]+$)?", text)
        if len(parts) > 1 and token not in special and all(part in vocabulary for part in parts):
            found[token] = [vocabulary[part] for part in parts]
    return found


def _ends_messages(tokenizer: PreTrainedTokenizerBase, token: int) -> bool:
    if token == tokenizer.eos_token_id:
        return not _is_blank(tokenizer, token)
    if token in (tokenizer.bos_token_id, tokenizer.unk_token_id) or _is_blank(tokenizer, token):
        return False
    if token in tokenizer.all_special_ids:
        return True
    added = tokenizer.added_tokens_decoder.get(token)
    return added is not None and not str(added).strip().isalnum()


def _is_blank(tokenizer: PreTrainedTokenizerBase, token: int) -> bool:
    return not text_of(tokenizer, [token]).strip()


def text_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The token ids as text: special tokens are kept and spaces are not cleaned up."""
    return str(
        tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    )
