"""A run's model as a callable, for generators whose Examples hold what the model answers.

    with answering(config) as complete:
        [*complete([Example(id="0", prompt=(Message("user", "Hi!"),), format="none")], 64)]
            ->  [Completion(example_id="0", text="Hello! How can I help?", finish_reason="stop")]

The model has no adapter and is loaded for the first answer that is not in the cache,
`answers/<digest of all that shapes them>.jsonl`. Each answer is appended as it comes, so that a
killed command goes on where it was, and runs share what they asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from fmtharness.harness.config import Config
from fmtharness.harness.contracts import Generator
from fmtharness.harness.files import cache_folder, digest
from fmtharness.harness.progress import say
from fmtharness.harness.records import Completion, Example
from fmtharness.harness.requirements import needs_for_backend, needs_for_run
from fmtharness.harness.run.completions import incidental, limited
from fmtharness.harness.run.provenance import made_by, model_inputs

Ask = Callable[[Sequence[Example]], Iterator[Completion]]
Complete = Callable[[Sequence[Example], int], Iterator[Completion]]
"""Examples and the most new tokens of each, to Completions in the Examples' order."""
AT_ONCE = 32
"""Prompts that are answered before their answers are written, unless batches are larger."""
LIMIT = "max_new_tokens"
BATCH = "per_device_eval_batch_size"


def answer_inputs(config: Config) -> dict[str, str]:
    """What shapes the answers of a config's model, besides their length."""
    backend: Any = config.backend
    options = backend.model_dump(mode="json", exclude={LIMIT, BATCH, *incidental(backend)})
    return {
        "[eval] backend": digest([backend.name, options]),
        **model_inputs(config),
        **made_by([("backends", backend)], packages=["fmtharness.harness.engine"]),
    }


@contextmanager
def answering(config: Config) -> Iterator[Complete]:
    """The callable, and the model in memory until the context ends.

    It raises UserError where a library of the backend, or the model, is missing.
    """
    from fmtharness.harness.backends.transformers import loading_once

    with loading_once():
        kept: dict[int, _Kept] = {}
        asks: dict[int, Ask] = {}

        def ask(limit: int) -> Ask:
            if limit not in asks:
                asks[limit] = _asked(config, limit)
            return asks[limit]

        def complete(examples: Sequence[Example], limit: int) -> Iterator[Completion]:
            if limit not in kept:
                kept[limit] = _Kept(config, limit)
            answers = kept[limit]
            new = {_key(each): each for each in examples if _key(each) not in answers.known}
            size = max(AT_ONCE, getattr(config.backend, BATCH, 0))
            for begin in range(0, len(new), size):
                some = [*new][begin : begin + size]
                keys = {new[key].id: key for key in some}
                for answer in ask(limit)([new[key] for key in some]):
                    answers.add(keys[answer.example_id], answer)
            for each in examples:
                yield msgspec.structs.replace(answers.known[_key(each)], example_id=each.id)

        yield complete


def _asked(config: Config, limit: int) -> Ask:
    """The config's backend with this limit of new tokens."""
    backend: Any = config.backend
    needs_for_run("the generator's model", config)
    needs_for_backend(backend, config.model.name, None)
    asked = limited(backend, limit)
    return lambda examples: iter(asked.complete(examples, config.model, None))


@contextmanager
def bound_generator(config: Config) -> Iterator[Generator]:
    """The config's generator, with its model's completions if it wants them."""
    with answering(config) as complete:
        bind = getattr(config.generator, "with_completions", None)
        yield bind(complete) if bind else config.generator


class _Row(msgspec.Struct, frozen=True):
    """One line of the cache: the digest of a prompt, and what was answered."""

    prompt: str
    answer: Completion


class _Kept:
    """The answers of one model at one limit: those of the cache's file, and new ones into it."""

    def __init__(self, config: Config, limit: int) -> None:
        shaped = {**answer_inputs(config), LIMIT: str(limit)}
        self.path: Path | None = cache_folder() / "answers" / f"{digest(shaped)}.jsonl"
        self.known: dict[str, Completion] = {}
        with suppress(OSError):
            for line in self.path.read_bytes().splitlines():
                with suppress(msgspec.DecodeError):  # a killed process may leave half a line
                    row = msgspec.json.decode(line, type=_Row)
                    self.known[row.prompt] = row.answer
        if self.known:
            say(f"answers: {len(self.known):,} of the model's are known ({self.path})")

    def add(self, key: str, answer: Completion) -> None:
        """Remember an answer; a cache that cannot be written costs a note and nothing else.

        What got no answer is not kept, so that the next command asks again.
        """
        self.known[key] = answer
        if self.path is None or answer.error is not None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:  # a line break first ends a killed process's line
                file.write(b"\n" + msgspec.json.encode(_Row(key, answer)) + b"\n")
        except OSError as error:
            say(f"{self.path}: cannot be written ({error.strerror}), so answers are not kept")
            self.path = None


def _key(example: Example) -> str:
    """The digest of what the model is asked."""
    return digest([msgspec.to_builtins(example.prompt), list(example.tools)])
