"""Backend that generates Completions with a local transformers model.

Transformers(max_new_tokens=128).complete(examples, ModelOptions(), None)
    yields Completion(example_id="eval-0", text='{"a": 1}', finish_reason="stop", ...)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from harness.contracts import Loaded, ModelOptions, Options
from harness.records import Completion, Example, ids_digest


class Transformers(Options):
    """Greedy decoding with a local transformers model, batched by prompt length.

    `{"id": "eval-0", "prompt": [...]}` becomes `{"example_id": "eval-0", "text": "{\\"a\\": 1}",
    "finish_reason": "stop", "prompt_tokens": 31, "completion_tokens": 6}`.
    """

    name: ClassVar[str] = "transformers"

    max_new_tokens: int = Field(default=128, ge=1)
    """Maximum new tokens; a longer completion is cut off with finish_reason `length`."""
    per_device_eval_batch_size: int = Field(default=32, ge=1)
    """The batch size of decoding."""

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        """Load the model and yield one Completion per Example, in the order of `examples`."""
        from harness.engine.models import load_model
        from harness.engine.patching import Patches

        with Patches() as patches:
            yield from complete_with(
                load_model(model, patches, adapter),
                examples,
                max_new_tokens=self.max_new_tokens,
                batch_size=self.per_device_eval_batch_size,
            )


def complete_with(
    loaded: Loaded,
    examples: Sequence[Example],
    *,
    max_new_tokens: int,
    batch_size: int,
    in_step: bool = False,
) -> Iterator[Completion]:
    """Yield the Completions of a loaded model, in the order of `examples`.

    `in_step`: the model is sharded and all ranks generate the same completions together.
    """
    from harness.engine.encoding import encode_prompt, stop_tokens
    from harness.engine.generation import generate
    from harness.progress import progress

    model, tokenizer = loaded
    prompts = [encode_prompt(tokenizer, example.prompt) for example in examples]
    stop_ids = stop_tokens(loaded)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(stop_ids)
    done: dict[int, Completion] = {}
    with progress(len(prompts), "generate", unit="completion") as bar:
        for index, ids, reason in generate(
            model,
            prompts,
            stop_ids=stop_ids,
            pad_id=pad_id,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            in_step=in_step,
        ):
            # The judge must see the raw text: keep special tokens and do not clean up spaces.
            text = tokenizer.decode(
                ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
            done[index] = Completion(
                example_id=examples[index].id,
                text=str(text),
                finish_reason=reason,
                prompt_tokens=len(prompts[index]),
                prompt_sha256=ids_digest(prompts[index]),
                completion_tokens=len(ids),
            )
            bar.advance()
    yield from (done[index] for index in range(len(prompts)))
