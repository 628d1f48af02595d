"""What a model sees of an Example: its tokens, and which of them carry loss.

tokens = Tokens(ModelOptions())
tokens.count(example)   -> 61
tokens.shown(example)   -> "<|im_start|>user\\nName a city.<|im_end|>\\n...⟦Oslo<|im_end|>⟧"

The tokenizer is loaded, the weights are not; only a model on this machine is used.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from fmtharness.harness.contracts import BUILTIN_MODEL, ModelOptions
from fmtharness.harness.files import on_disk
from fmtharness.harness.records import Example

_GREEN, _PLAIN = "\x1b[32m", "\x1b[0m"


def why_not(options: ModelOptions) -> str:
    """Why the model's tokenizer is not used; empty if it can be."""
    for module in ("torch", "transformers"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed: pip install 'fmtharness[train]'"
    if options.name != BUILTIN_MODEL and on_disk(options.name) is None:
        return f"model {options.name!r} is not on this machine; name a folder with --model"
    return ""


class Tokens:
    """A model's tokenizer and chat template. Raises ModelError if they cannot be loaded."""

    def __init__(self, options: ModelOptions) -> None:
        from fmtharness.harness.engine.encoding import encode_prompt, stop_token, text_of
        from fmtharness.harness.engine.models import state_for
        from fmtharness.harness.records import Message

        self.tokenizer: Any = state_for(options)[1]
        self.stop_id = stop_token(self.tokenizer)
        self.stop = text_of(self.tokenizer, [self.stop_id])
        self.frame = len(encode_prompt(self.tokenizer, [Message("user", "a")])) + 1
        """Tokens around a prompt of one message."""

    @property
    def markers(self) -> tuple[str, ...]:
        """The stop token and the other special tokens, as text."""
        return tuple({self.stop, *map(str, self.tokenizer.all_special_tokens)})

    def count(self, example: Example) -> int:
        """The tokens of prompt, target and stop token."""
        return len(self._encoded(example).ids)

    def shown(self, example: Example, *, color: bool = False, encoding: str = "utf-8") -> str:
        """The text that the model is trained on; what carries loss is marked.

        That is by color, or by the brackets ⟦ and ⟧. A prompt without a target has no loss.
        """
        from fmtharness.harness.engine.encoding import encode_prompt, text_of

        tokenizer = self.tokenizer
        if example.completion is None:
            ids = encode_prompt(tokenizer, example.prompt)
            return f"{text_of(tokenizer, ids)}\n{len(ids)} tokens, no target, so no loss"
        encoded = self._encoded(example)
        ids, begins = encoded.ids, encoded.prompt_length
        opens, closes = (_GREEN, _PLAIN) if color else _brackets(encoding)
        before, after = text_of(tokenizer, ids[:begins]), text_of(tokenizer, ids[begins:])
        return (
            f"{before}{opens}{after}{closes}\n"
            f"loss on the last {len(ids) - begins} of {len(ids)} tokens, in "
            f"{'color' if color else opens + closes}; the last is the stop token {self.stop!r} "
            f"(id {self.stop_id})"
        )

    def _encoded(self, example: Example) -> Any:
        from fmtharness.harness.engine.encoding import encode_example

        return encode_example(self.tokenizer, example, self.stop_id)


def _brackets(encoding: str) -> tuple[str, str]:
    try:
        "⟦⟧".encode(encoding)
    except UnicodeEncodeError:
        return "[[", "]]"
    return "⟦", "⟧"
