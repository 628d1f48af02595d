"""Whether a model decodes with a KV cache as it computes without one, and how it decodes if not.

    decodes_right(model, prompts, pad_id)      once per model, on two prompts of different lengths
    decode_alone(model, prompt, budget, ...)   a prompt's continuation by the model's own generate()

A cache that a model does not read, as of one with a state instead, or left padding that it cannot
mask, gives fluent and wrong texts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList

from fmtharness.harness.engine import collectives
from fmtharness.harness.engine.cuda_graphs import borrowed
from fmtharness.harness.engine.decode_attention import ready_kernels
from fmtharness.harness.engine.grammar import Matcher, masked
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.rounding import Own, apart, measured
from fmtharness.harness.engine.sampling import Sampler, choose
from fmtharness.harness.errors import ModelError
from fmtharness.harness.progress import say
from fmtharness.harness.text import first_line

TOKENS = 32
"""Most tokens of a prompt that the check decodes."""
LAST = 3
"""Tokens whose logits are compared: the last of the prefill, and two steps."""
_known: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Models that were checked, and the results."""
_moves: WeakKeyDictionary[Any, dict[int, list[tuple[float, float]]]] = WeakKeyDictionary()
"""How far rounding moves a model's logits, by the number of prompts."""


class Batch:
    """Left-padded rows with a DynamicCache; `logits` and `feed` take turns."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], pad_id: int) -> None:
        device = next(model.parameters()).device
        width = max(map(len, prompts))
        padded = [[pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        masked = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        self._model = model
        self._ids = torch.tensor(padded, device=device)
        self._mask = torch.tensor(masked, device=device)
        self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        self._cache = DynamicCache(config=model.config)

    def logits(self) -> torch.Tensor:
        """The logits of each row's next token, (rows, V)."""
        with _compact_head(self._model):
            logits: torch.Tensor = self._model(
                input_ids=self._ids,
                attention_mask=self._mask,
                position_ids=self._positions,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits
        return logits[:, -1]

    def keep(self, rows: torch.Tensor) -> None:
        """Keep the rows at these indices only."""
        self._cache.batch_select_indices(rows)
        self._mask, self._positions = self._mask[rows], self._positions[rows]

    def feed(self, tokens: torch.Tensor) -> None:
        """Append a token to each row: (rows,)."""
        self._ids = tokens[:, None]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        self._positions = self._positions[:, -1:] + 1


@contextmanager
def _compact_head(model: Any) -> Iterator[None]:
    """Inside: make the LM head's input contiguous.

    For a non-contiguous slice, torch on a CPU copies the head's weight once per row: gigabytes.
    """
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, args: tuple(x.contiguous() for x in args))
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def without_head(model: Any) -> Iterator[None]:
    """Inside, the LM head returns one zero a token: the prefill's logits are not used."""
    with Patches() as patches:
        head = model.get_output_embeddings()
        why = "a prefill needs no logits"
        patches.replace(head, "forward", lambda x: x.new_zeros(*x.shape[:-1], 1), why)
        yield


def check_finite(chosen: torch.Tensor, model: Any) -> None:
    """Raise ModelError if the largest logits (rows,) are not all finite: argmax is then arbitrary.

    NaN counts as the largest of all.
    """
    if not bool(chosen.isfinite().all()):
        raise not_finite(model)


def not_finite(model: Any, what: str = "logits") -> ModelError:
    """The error for logits, or other results, that are NaN or infinite."""
    dtype = str(model.dtype).removeprefix("torch.")
    return ModelError(
        f"model {model.name_or_path!r}: its {what} are not finite in {dtype}; set model.precision "
        f"to 'bf16' or 'fp32'"
    )


def decodes_right(
    model: Any, prompts: Sequence[Sequence[int]], pad_id: int, *, in_step: bool = False
) -> bool:
    """Whether left-padded rows with a cache give the logits of single rows without one.

    Says why not. `in_step`: all ranks call this together, and rank 0 decides.
    """
    if model not in _known:
        if not (trial := _trial(prompts)):
            return True  # too short to tell, so the next prompts are tried
        reason = _difference(model, trial, pad_id)
        if in_step:
            reason = collectives.broadcast_object(reason)
        if reason:
            say(f"generate: one prompt at a time by the model's own generate(), since {reason}")
        _known[model] = not reason
    return _known[model]


def _difference(model: Any, trial: Sequence[Sequence[int]], pad_id: int) -> str:
    """Why the trial prompts do not decode as they should; empty if they do."""
    with borrowed(), ready_kernels():
        own = uncached(model, trial)
    try:
        with borrowed(), ready_kernels():
            far = apart(own, _cached(model, trial, pad_id))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a third-party model's code may raise anything
        return f"it does not decode in padded batches: {first_line(error)}"
    if far <= 1:
        return ""
    return f"in padded batches it gives other logits ({far:.0f} times its rounding)"


def uncached(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    last: int = LAST,
    moves: list[tuple[float, float]] | None = None,
) -> Own:
    """The centered logits of each prompt's last tokens, (last, V), by one forward pass each.

    `moves` is how far rounding moves them, if that is known. Raises ModelError for logits that are
    not finite.
    """
    device = next(model.parameters()).device

    def compute() -> list[torch.Tensor]:
        ids = [torch.tensor([prompt], device=device) for prompt in prompts]
        every = [model(input_ids=row, use_cache=False).logits[0, -last:] for row in ids]
        check_finite(torch.stack([logits.amax() for logits in every]), model)
        return [centered(logits) for logits in every]

    return measured(model, compute) if moves is None else Own(compute(), moves)


def next_logits(model: Any, prompts: Sequence[Sequence[int]]) -> Own:
    """The centered logits of the prompts' next tokens by the model as it is, without a cache."""
    known = _moves.setdefault(model, {})
    own = uncached(model, prompts, last=1, moves=known.get(len(prompts)))
    known[len(prompts)] = own.moves
    return own


def centered(logits: torch.Tensor) -> torch.Tensor:
    """Logits (..., V) in fp32 without what all of V share, which no choice depends on."""
    wide = logits.float()
    return wide - wide.mean(-1, keepdim=True)


def _cached(model: Any, prompts: Sequence[Sequence[int]], pad_id: int) -> list[torch.Tensor]:
    batch = Batch(model, [prompt[: len(prompt) - LAST + 1] for prompt in prompts], pad_id)
    logits = [batch.logits()]
    for place in range(LAST - 1, 0, -1):
        batch.feed(torch.tensor([prompt[-place] for prompt in prompts], device=logits[0].device))
        logits.append(batch.logits())
    return list(centered(torch.stack(logits, dim=1)))


def _trial(prompts: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """The ends of the shortest and the longest prompt, which are padded if they are in a batch."""
    fitting = sorted((prompt for prompt in prompts if len(prompt) >= LAST), key=len)
    if not fitting:
        return []
    longest, shortest = fitting[-1][-TOKENS:], fitting[0][-TOKENS:]
    if len(longest) == len(shortest) > LAST:
        shortest = shortest[(len(shortest) - LAST + 1) // 2 :]
    return [longest, shortest]


class _Finite(LogitsProcessor):
    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        check_finite(scores.amax(-1), self._model)
        return scores


class _Masked(LogitsProcessor):
    """Masks what the row's grammar forbids; `length` is the prompt's."""

    def __init__(self, matcher: Matcher, length: int) -> None:
        self._matcher, self._length = matcher, length
        matcher.begin()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[1] > self._length:
            self._matcher.accept(int(input_ids[0, -1]))
        return masked(scores, [self._matcher])


class Drawn(LogitsProcessor):
    """Keeps only one logit of each step: that of the token that is drawn for a prompt."""

    def __init__(self, sampler: Sampler, place: int, budget: int) -> None:
        self._sampling = sampler.sampling
        self._numbers = iter(sampler.draws(place, budget))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        number = next(self._numbers).to(scores.device)
        drawn = choose(scores, number.view(1, 1), self._sampling)
        return torch.full_like(scores, float("-inf")).scatter(1, drawn, 0.0)


def decode_alone(
    model: Any,
    prompt: Sequence[int],
    budget: int,
    stop_ids: Collection[int],
    pad_id: int,
    matcher: Matcher | None = None,
    drawn: Drawn | None = None,
) -> list[int]:
    """The continuation by the model's own generate(), with the stop token if it ends so.

    It is greedy unless its tokens are `drawn`.
    """
    ids = torch.tensor([list(prompt)], device=next(model.parameters()).device)
    greedy = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, max_new_tokens=budget, eos_token_id=sorted(stop_ids), pad_token_id=pad_id
    )
    processors: list[LogitsProcessor] = [_Finite(model)]
    if matcher is not None:
        processors.append(_Masked(matcher, len(prompt)))
    if drawn is not None:
        processors.append(drawn)
    with Patches() as patches:
        bases = [model.get_base_model()] if hasattr(model, "get_base_model") else []
        for each in (model, *bases):
            why = "a hub model's sampling defaults and penalties have no effect"
            patches.replace(each, "generation_config", greedy, why)
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=greedy,
            logits_processor=LogitsProcessorList(processors),
        )
    written: list[int] = made[0, len(prompt) :].tolist()
    return written
