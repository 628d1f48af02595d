"""Prompts as token ids, and what is generated for them as Completions, for each local engine.

prompts = Prompts(loaded, examples)
prompts.ids                                   [[1, 4093, 198, ...], [], ...]
prompts.errors                                {1: "its prompt has no tokens"}
prompts.completion(0, [504, 1799], "stop")    Completion(example_id="eval-0", text="...", ...)
"""

from __future__ import annotations

from collections.abc import Sequence

from fmtharness.harness.contracts import Loaded
from fmtharness.harness.engine.context import context_length
from fmtharness.harness.engine.encoding import encode_prompt, text_of, think_tag_of
from fmtharness.harness.engine.reasoning import Split, split, think_tags
from fmtharness.harness.engine.templates import note
from fmtharness.harness.errors import ModelError
from fmtharness.harness.progress import say
from fmtharness.harness.records import Completion, Example, FinishReason, ids_digest


class Prompts:
    """The prompts of Examples. Those that cannot be answered are reported in one line."""

    def __init__(
        self, loaded: Loaded, examples: Sequence[Example], limit: int | None = None
    ) -> None:
        self.tokenizer = loaded.tokenizer
        self.context = limit or context_length(loaded.model.config)
        self.examples = examples
        self.ids: list[list[int]] = []
        self.errors: dict[int, str] = {}
        """Why a prompt has no answer, by its place."""
        self._tags = think_tags(self.tokenizer.chat_template)
        self._cut_off = False
        for place, example in enumerate(examples):
            try:
                self.ids.append(encode_prompt(self.tokenizer, example.prompt, example.tools))
            except ModelError as error:
                self.errors[place] = str(error)
                self.ids.append([])
                continue
            length = len(self.ids[-1])
            if self.context is not None and length >= self.context:
                self.errors[place] = (
                    f"its prompt has {length} tokens, and the model's context {self.context}"
                )
            elif not length:
                self.errors[place] = "its prompt has no tokens"
        if self.errors:
            first = min(self.errors)
            say(
                f"generate: {len(self.errors)} of {len(examples)} prompts have no answer and are "
                f"unscored; the first is Example {examples[first].id}: {self.errors[first]}"
            )

    def completion(
        self,
        place: int,
        ids: Sequence[int],
        reason: FinishReason,
        *,
        interventions: int | None = None,
        error: str | None = None,
    ) -> Completion:
        """New ids, without the stop token, as a Completion; thoughts are apart from its text."""
        prompt, example = self.ids[place], self.examples[place]
        raw = text_of(self.tokenizer, ids)  # with special tokens: the judge sees the raw text
        found = Split(None, raw, unclosed=False)
        if self._tags is not None and reason != "error":
            found = split(raw, self._tags, begun=bool(think_tag_of(self.tokenizer, prompt)))
        self._cut_off |= found.unclosed and reason == "length"
        return Completion(
            example_id=example.id,
            sample=example.sample,
            text=found.text,
            reasoning=found.reasoning,
            unclosed=found.unclosed,
            finish_reason=reason,
            prompt_tokens=len(prompt),
            prompt_sha256=ids_digest(prompt) if prompt else None,
            completion_tokens=len(ids),
            interventions=interventions,
            error=error or self.errors.get(place),
        )

    def end(self) -> None:
        """Say so once if thoughts were cut off."""
        if self._cut_off:
            what = (
                "completions are cut off inside think tags; raise max_new_tokens, or switch "
                "thinking off where the template can (model.chat_template_kwargs)"
            )
            name = f"model {self.tokenizer.name_or_path!r}"
            note(name, self.tokenizer.chat_template, what)
