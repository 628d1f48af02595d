"""Think tags: what a model wrote in them, apart from its answer.

    tags = think_tags(tokenizer.chat_template)        ThinkTags("<think>", "</think>"), or None
    split('<think>\\nOslo.\\n</think>\\n\\n{"a": 1}', tags)  -> Split("Oslo.", '{"a": 1}', False)
    split('<think>\\nOslo', tags)                       -> Split(None, '<think>\\nOslo', True)

A pair counts only at the beginning of the completion, blanks aside, or where the generation prompt
has opened it; so a tag inside an answer stays part of it. The answer begins after the closing tag
and at most two line breaks, which templates write there; any more blanks are the model's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable
from typing import NamedTuple

AFTER = 2
"""How many line breaks right after a closing tag are the template's."""


class ThinkTags(NamedTuple):
    open: str
    close: str


class Split(NamedTuple):
    """A completion's reasoning and answer; `unclosed` if the tags are open to its end."""

    reasoning: str | None
    text: str
    unclosed: bool


PAIRS = (
    ThinkTags("<think>", "</think>"),
    ThinkTags("[THINK]", "[/THINK]"),
    ThinkTags("<seed:think>", "</seed:think>"),
    ThinkTags("<|START_THINKING|>", "<|END_THINKING|>"),
    ThinkTags("<thought>", "</thought>"),
    ThinkTags("◁think▷", "◁/think▷"),
)
"""What templates call them; the first pair that a template mentions is its own."""
LONGEST = 4 * max(len(tags.open) for tags in PAIRS)
"""The most tokens that a prompt's last opening tag takes, with the blanks after it."""
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)


@functools.lru_cache(maxsize=16)
def think_tags(template: Hashable) -> ThinkTags | None:
    """The tags that a chat template writes, or cuts from earlier answers; None if it has none."""
    code = _COMMENT.sub("", template) if isinstance(template, str) else ""
    return next((tags for tags in PAIRS if tags.open in code or tags.close in code), None)


def opened(tags: ThinkTags, prompt: str) -> str:
    """The opening tag that ends a prompt, with the blanks after it: "<think>\\n", or nothing."""
    found = re.search(rf"{re.escape(tags.open)}\s*\Z", prompt)
    return found[0] if found else ""


def closing(tags: ThinkTags, begun: str) -> str:
    """What closes think tags with nothing in them: "\\n</think>\\n\\n", or on one line."""
    return f"\n{tags.close}\n\n" if begun.endswith("\n") else tags.close


def split(text: str, tags: ThinkTags, *, begun: bool = False) -> Split:
    """The reasoning apart from the answer; `begun` if the prompt has opened the tags.

    Without a pair the text stays whole, and with an unclosed one, too.
    """
    start = len(text) - len(text.lstrip())
    if text.startswith(tags.open, start):
        start += len(tags.open)
    elif not begun:
        return Split(None, text, unclosed=False)
    end = text.find(tags.close, start)
    if end < 0:
        return Split(None, text, unclosed=True)
    answer = text[end + len(tags.close) :]
    breaks = re.match(rf"(?:\r?\n){{0,{AFTER}}}", answer)
    return Split(text[start:end].strip(), answer[breaks.end() if breaks else 0 :], unclosed=False)
