"""Backend that generates Completions with a local transformers model.

Transformers(max_new_tokens=128).complete(examples, ModelOptions(), None)
    yields Completion(example_id="eval-0", text='{"a": 1}', finish_reason="stop", ...)
Transformers().likelihood(["The ferry ..."], answers, ModelOptions(), Path("adapter"))
    Likelihood(perplexity=31.9, tokens=4154, divergence=0.42, positions=2410)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from fmtharness.harness.contracts import Loaded, ModelOptions, Options
from fmtharness.harness.records import Completion, Example
from fmtharness.harness.requirements import needs


class Likelihood(NamedTuple):
    """How likely a model finds plain text, and how far it is from its base on the base's answers.

    Of the base itself: `Likelihood(perplexity=30.7, tokens=4154, divergence=None, positions=0)`.
    """

    perplexity: float | None
    """exp of the mean nats per token of the plain text; None without any token."""
    tokens: int
    """How many tokens of the plain text were predicted."""
    divergence: float | None
    """Mean KL(base || tuned) per token of the base's answers, in nats; None without an adapter."""
    positions: int
    """How many tokens of answers the divergence is the mean over."""


class Transformers(Options):
    """Decoding with a local transformers model, in slots or batched by prompt length.

    `{"id": "eval-0", "prompt": [...]}` becomes `{"example_id": "eval-0", "text": "{\\"a\\": 1}",
    "finish_reason": "stop", "prompt_tokens": 31, "completion_tokens": 6}`.
    """

    name: ClassVar[str] = "transformers"

    max_new_tokens: int = Field(default=128, ge=1)
    """Maximum new tokens; a longer completion is cut off with finish_reason `length`."""
    per_device_eval_batch_size: int = Field(default=64, ge=1)
    """The batch size of decoding."""
    constrained: bool = False
    """Whether each step is masked by the grammar of the Example's format, where it has one."""
    temperature: float = Field(default=0.0, ge=0)
    """The temperature of sampling; with 0 the likeliest token is taken."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Sample from the likeliest tokens of this total probability."""
    seed: int = 0
    """The seed of sampling; the random numbers depend on it and the Example's id, not on the batch.
    In bf16 a batch of another size may round a token away; with `precision = "fp32"` none."""

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        """Load the model and yield one Completion per Example, as they are finished."""
        with _loaded(model, adapter) as loaded:
            yield from complete_with(
                loaded,
                examples,
                max_new_tokens=self.max_new_tokens,
                batch_size=self.per_device_eval_batch_size,
                constrained=self.constrained,
                temperature=self.temperature,
                top_p=self.top_p,
                seed=self.seed,
            )

    def likelihood(
        self,
        pieces: Sequence[str],
        answers: Sequence[tuple[Example, Completion]],
        model: ModelOptions,
        adapter: Path | None,
    ) -> Likelihood:
        """Load the model and measure it: `pieces` of plain text, `answers` by its own base."""
        with _loaded(model, adapter) as loaded:
            return measure_with(loaded, pieces, answers)


@contextmanager
def loading_once() -> Iterator[None]:
    """Inside, `complete` and `likelihood` share a model that both ask for, one after the other."""
    with ExitStack() as open_models:
        token = _shared.set(_Shared(open_models))
        try:
            yield
        finally:
            _shared.reset(token)


class _Shared:
    """The model loaded last inside `loading_once`."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.asked: tuple[ModelOptions, Path | None] | None = None
        self.loaded: Loaded | None = None

    def get(self, model: ModelOptions, adapter: Path | None) -> Loaded:
        if self.loaded is None or self.asked != (model, adapter):
            self.loaded = None
            self.stack.close()  # else two of them stand in memory
            self.loaded = self.stack.enter_context(_load(model, adapter))
            self.asked = model, adapter
        return self.loaded


_shared: ContextVar[_Shared | None] = ContextVar("shared", default=None)


def _loaded(model: ModelOptions, adapter: Path | None) -> AbstractContextManager[Loaded]:
    shared = _shared.get()
    return _load(model, adapter) if shared is None else nullcontext(shared.get(model, adapter))


@contextmanager
def _load(model: ModelOptions, adapter: Path | None) -> Iterator[Loaded]:
    from fmtharness.harness.engine.models import load_model
    from fmtharness.harness.engine.patching import Patches

    with Patches() as patches:
        yield load_model(model, patches, adapter)


def measure_with(
    loaded: Loaded,
    pieces: Sequence[str],
    answers: Sequence[tuple[Example, Completion]],
) -> Likelihood:
    """Measure a loaded model, also one in training, on plain text and on its base's answers.

    The model is left as it was: its mode, its adapter and its gradients. Answers with an error, or
    longer than the context, are left out. All processes of a sharded model call it together. Raises
    ModelError for logits that are not finite.
    """
    from fmtharness.harness.engine.likelihood import divergence, encode_answer, perplexity

    plain = perplexity(loaded, pieces)
    encoded = (encode_answer(loaded, example, answer) for example, answer in answers)
    far = divergence(loaded, [row for row in encoded if row is not None])
    return Likelihood(
        plain.value if plain.tokens else None,
        plain.tokens,
        far.nats if far and far.positions else None,
        far.positions if far else 0,
    )


def complete_with(
    loaded: Loaded,
    examples: Sequence[Example],
    *,
    max_new_tokens: int,
    batch_size: int,
    in_step: bool = False,
    constrained: bool = False,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
) -> Iterator[Completion]:
    """Yield the Completions of a loaded model, as they are finished.

    A prompt that the chat template refuses, or that fills the model's context, has the
    finish_reason `error`. What stands in think tags is apart from the text. `in_step`: the model is
    sharded and all ranks generate the same completions together. `constrained`: by the grammar of
    each Example's format; a row that leaves it is written freely from there. Tokens
    are sampled if `temperature` is not 0.
    """
    from fmtharness.harness.engine.context import check_ids, embedded
    from fmtharness.harness.engine.encoding import stop_token, stop_tokens
    from fmtharness.harness.engine.generation import generate
    from fmtharness.harness.engine.prompts import Prompts
    from fmtharness.harness.engine.sampling import Sampler, Sampling
    from fmtharness.harness.engine.token_count import TokenCount
    from fmtharness.harness.progress import progress

    model, tokenizer, *_ = loaded
    stop_id, stop_ids = stop_token(tokenizer), stop_tokens(loaded)
    prompts = Prompts(loaded, examples)
    names = [f"the prompt of Example {example.id}" for example in examples]
    check_ids(loaded, [*zip(names, prompts.ids, strict=True), ("the chat template", [stop_id])])
    pad_id = tokenizer.pad_token_id
    if pad_id is None or pad_id >= embedded(model):  # padding is masked, so any known id will do
        pad_id = stop_id
    rows: list[Any] | None = None
    if constrained:
        needs("eval.constrained", "llguidance")
        from fmtharness.harness.engine.grammar import matchers, say_faults

        rows = matchers(loaded, examples, prompts.ids, stop_ids)
    sampler = None
    if temperature:
        asked = [(example.id, example.sample) for example in examples]
        sampler = Sampler(Sampling(temperature, top_p, seed), asked)
    with progress(len(examples), "generate", unit="completion") as bar:
        tokens = TokenCount(bar)
        for index, ids, reason in generate(
            model,
            prompts.ids,
            stop_ids=stop_ids,
            pad_id=pad_id,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            in_step=in_step,
            matchers=rows,
            sampler=sampler,
            count=tokens.add,
        ):
            row = rows[index] if rows and reason != "error" else None
            interventions = row.interventions if row else None
            bar.advance()
            yield prompts.completion(index, ids, reason, interventions=interventions)
        tokens.end()
    if constrained:
        say_faults(rows or ())
    prompts.end()
