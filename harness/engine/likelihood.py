"""How likely a model finds given tokens, and how far an adapter has moved it from its base.

perplexity(loaded, ["The ferry ...", ...])   Perplexity(nats=3.424, tokens=4190); .value is 30.7
divergence(loaded, rows)                   Divergence(nats=0.31, positions=2410), None if no adapter
answer_log_probabilities(loaded, rows, adapter=False)    [-41.7, -18.2], in nats

Rows are `encoding.Encoded`; their labels are what is predicted, the stop token among them. Numbers
are exact: log-softmax in fp32 over the whole vocabulary, each token given all tokens before it. The
model may be one as loaded, fused, or in training; it is left as it was. The processes of a sharded
model call these together, with the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from msgspec import UNSET, structs

from fmtharness.harness import processes
from fmtharness.harness.contracts import Loaded
from fmtharness.harness.engine import collectives
from fmtharness.harness.engine.adapters import switched_off
from fmtharness.harness.engine.context import check_ids, context_length, embedded
from fmtharness.harness.engine.cuda_graphs import borrowed
from fmtharness.harness.engine.decode_attention import ready_kernels
from fmtharness.harness.engine.decode_check import not_finite
from fmtharness.harness.engine.encoding import (
    Encoded,
    encode_example,
    encode_prompt,
    stop_token,
    token_ids,
)
from fmtharness.harness.engine.reasoning import think_tags
from fmtharness.harness.errors import ModelError
from fmtharness.harness.progress import say
from fmtharness.harness.records import Completion, Example
from fmtharness.harness.text import first_line

TOKENS = {"cpu": 1024, "cuda": 8192}
"""Most tokens of a pass, with padding."""
LOGITS = {"cpu": 2**25, "cuda": 2**28}
"""Most bytes of fp32 logits at a time, but for FEWEST rows of them."""
FEWEST = 16
"""Rows of logits that are made at a time where memory is short."""
LIKE_BASE = ("gaussian", "eva", "orthogonal")
"""Ways to initialize a LoRA that leave the base's weights alone; PiSSA and others change them."""
TRIED = 8
"""Tokens on which a model's head is tried by itself."""


class Perplexity(NamedTuple):
    """Mean nats per predicted token of plain text, NaN without any."""

    nats: float
    tokens: int

    @property
    def value(self) -> float:
        """The perplexity, exp(nats)."""
        return math.exp(self.nats)


class Divergence(NamedTuple):
    """Mean KL(base || tuned) per label, in nats, NaN without any."""

    nats: float
    positions: int


def base_perplexity(loaded: Loaded, pieces: Sequence[str]) -> Perplexity | None:
    """That of a model with its adapter switched off; None where the adapter changed its base."""
    if not _keeps_base(loaded.model):
        return None
    with switched_off(loaded.model):
        return perplexity(loaded, pieces)


def perplexity(loaded: Loaded, pieces: Sequence[str]) -> Perplexity:
    """The mean nats of each piece by itself, after what the tokenizer puts before any text.

    A tokenizer that puts nothing there leaves a piece's first token unpredicted. A piece that is
    longer than the context is read in windows that overlap by half: each token is predicted once,
    and from half a context at least. Raises ModelError for logits that are not finite.
    """
    rows = [row for piece in pieces for row in _windows(loaded, piece)]
    check_ids(loaded, [("a plain text", row.ids) for row in rows])
    nats, count = _mean([-sum(each) for each in _log_probabilities(loaded, rows)], rows)
    return Perplexity(nats, count)


def answer_log_probabilities(
    loaded: Loaded, rows: Sequence[Encoded], *, adapter: bool
) -> list[float]:
    """The summed log probability of each row's labels, in nats.

    Without `adapter` it is switched off: these are the frozen base's. Raises ModelError if the base
    is lost, since the adapter changed its weights, and for logits that are not finite.
    """
    if adapter:
        return [math.fsum(each) for each in _log_probabilities(loaded, rows)]
    if not _keeps_base(loaded.model):
        raise ModelError(
            "the adapter changes weights of its base (bias or init_lora_weights in its "
            "adapter_config.json), so the base's own probabilities are lost; use a plain LoRA"
        )
    with switched_off(loaded.model):
        return [math.fsum(each) for each in _log_probabilities(loaded, rows)]


def divergence(loaded: Loaded, rows: Sequence[Encoded]) -> Divergence | None:
    """Mean KL(base || tuned) per label of the rows, which should be the base's own answers.

    Two passes of the same model, the first with the adapter switched off. None for a model without
    an adapter, or whose adapter changed weights of the base: it trained biases, or is a PiSSA.
    Raises ModelError for logits that are not finite.
    """
    model = loaded.model
    if not hasattr(model, "peft_config") or not _keeps_base(model):
        return None
    rows = [row for row in rows if len(row.ids) > row.prompt_length]

    def compute(parts: _Parts, some: Sequence[Encoded]) -> list[float]:
        with switched_off(model):
            base = parts.states(some)
        tuned = parts.states(some)
        found: list[float] = []
        for at_base, at_tuned in zip(
            torch.split(base, parts.chunk), torch.split(tuned, parts.chunk), strict=True
        ):
            with switched_off(parts.head):
                expected = parts.head(at_base).float().log_softmax(-1)
            ratio = expected - parts.head(at_tuned).float().log_softmax(-1)
            ratio.masked_fill_(expected == -math.inf, 0)  # what the base rules out does not count
            found += (expected.exp() * ratio).sum(-1).tolist()
        return found

    nats, count = _mean([math.fsum(each) for each in _by_row(loaded, rows, compute)], rows)
    return Divergence(max(nats, 0.0) if count else nats, count)  # rounding may leave -1e-9


def encode_answer(loaded: Loaded, example: Example, answer: Completion) -> Encoded | None:
    """An answer of a model as token ids, with the stop token if the model wrote it.

    None for one with the finish_reason `error`, or that is longer than the model's context.
    """
    tokenizer = loaded.tokenizer
    if answer.finish_reason == "error":
        return None
    asked = encode_prompt(tokenizer, example.prompt, example.tools)
    text, tags = answer.text, think_tags(tokenizer.chat_template)
    if tags is not None and answer.reasoning is not None:
        text = f"{tags.open}\n{answer.reasoning}\n{tags.close}\n\n{text}"
    if answer.unclosed:
        row = Encoded([*asked, *token_ids(tokenizer, text)], len(asked))
    else:
        told = structs.replace(example, completion=text, value=UNSET)
        row = encode_example(tokenizer, told, stop_token(tokenizer))
        if answer.finish_reason == "length":
            row = Encoded(row.ids[:-1], row.prompt_length)
    limit = context_length(loaded.model.config)
    return row if limit is None or len(row.ids) <= limit + 1 else None


def _windows(loaded: Loaded, piece: str) -> Iterator[Encoded]:
    """The rows that predict each token of a piece once."""
    own = token_ids(loaded.tokenizer, piece)
    begin = _beginning(loaded.tokenizer, piece, own)
    limit = context_length(loaded.model.config)
    most = len(own) if limit is None else max(2, limit + 1 - len(begin))
    kept = most // 2
    known = 0 if begin else 1  # the tokens that need no prediction, or have had theirs
    while known < len(own):
        start = 0 if len(own) <= most or known <= 1 else known - kept
        end = min(len(own), start + most)
        yield Encoded([*begin, *own[start:end]], len(begin) + known - start)
        known = end


def _beginning(tokenizer: Any, piece: str, own: Sequence[int]) -> list[int]:
    """What the tokenizer puts before the tokens of a text, such as beginning-of-sequence."""
    whole = list(tokenizer(piece)["input_ids"])
    for at in range(len(whole) - len(own) + 1):
        if whole[at : at + len(own)] == list(own):
            return whole[:at]
    return []


def _keeps_base(model: Any) -> bool:
    """Whether a model without its adapter is its base again."""
    configs = getattr(model, "peft_config", {}).values()
    biases = {getattr(each, "bias", "none") for each in configs}
    begun = {getattr(each, "init_lora_weights", True) for each in configs}
    return biases <= {"none", None, False} and all(
        not isinstance(each, str) or each in LIKE_BASE for each in begun
    )


def _log_probabilities(loaded: Loaded, rows: Sequence[Encoded]) -> list[list[float]]:
    """The log probability of every label, in nats, by row."""

    def compute(parts: _Parts, some: Sequence[Encoded]) -> list[float]:
        labels = [token for row in some for token in row.ids[row.prompt_length :]]
        states = parts.states(some)
        targets = torch.tensor(labels, device=states.device)[:, None]
        found: list[float] = []
        chunks = (torch.split(each, parts.chunk) for each in (states, targets))
        for at, target in zip(*chunks, strict=True):
            logits = parts.head(at).float()
            found += (logits.gather(1, target)[:, 0] - logits.logsumexp(-1)).tolist()
        return found

    return _by_row(loaded, rows, compute)


class _Parts(NamedTuple):
    """A model cut before its head: `head(states)` are the logits of a few tokens."""

    body: Callable[[torch.Tensor], torch.Tensor]
    """(B, T) ids to states (B, T, size)."""
    head: torch.nn.Module
    device: torch.device
    chunk: int
    """Rows of logits that are made at a time."""
    tokens: int
    """Most tokens of a pass."""

    def states(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """The states from which the head makes the logits for the labels, (N, size)."""
        width = max(len(row.ids) for row in rows) - 1
        # Padding comes after all that counts, and attention is causal: it needs no mask.
        padded = [[*row.ids[:-1], *[0] * (width + 1 - len(row.ids))] for row in rows]
        before = [
            place * width + at
            for place, row in enumerate(rows)
            for at in range(row.prompt_length - 1, len(row.ids) - 1)
        ]
        states = self.body(torch.tensor(padded, device=self.device)).flatten(0, 1)
        return states.index_select(0, torch.tensor(before, device=self.device))


def _parts(model: Any, ids: Sequence[int]) -> _Parts:
    """The model cut before its head, or behind it if its logits are more than the head's output."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    device = next(causal.parameters()).device
    kind = "cpu" if device.type == "cpu" else "cuda"
    chunk = max(FEWEST, LOGITS[kind] // (4 * embedded(causal)))

    def hidden(ids: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = causal.base_model(**_given(ids)).last_hidden_state
        return states

    def logits(ids: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = causal(**_given(ids)).logits
        return made

    def alone() -> bool:
        """Whether the head gives the model's logits by itself: not if they are scaled or capped."""
        if head is None or causal.base_model is causal:
            return False
        few = torch.tensor([list(ids[:TRIED])], device=device)
        try:
            return torch.allclose(head(hidden(few)), logits(few), rtol=1e-5)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a third-party model's code may raise anything
            say(f"likelihood: more slowly, with whole logits, since {first_line(error)}")
            return False

    head = causal.get_output_embeddings()
    if collectives.broadcast_object(alone()) if processes.sharded() else alone():
        return _Parts(hidden, head, device, chunk, TOKENS[kind])
    return _Parts(logits, torch.nn.Identity(), device, chunk, min(TOKENS[kind], chunk))


def _given(ids: torch.Tensor) -> dict[str, Any]:
    # With a mask of ones, layers that attend within a window do so in training, too.
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}


def _by_row(
    loaded: Loaded,
    rows: Sequence[Encoded],
    compute: Callable[[_Parts, Sequence[Encoded]], list[float]],
) -> list[list[float]]:
    """A finite value for each label, which `compute` gives for some rows, in the rows' order.

    When GPU memory runs out, fewer logits are made at a time, then fewer rows.
    """
    found: list[list[float]] = [[] for _ in rows]
    labelled = [place for place, row in enumerate(rows) if len(row.ids) > row.prompt_length]
    if not labelled:
        return found
    with _still(loaded.model):
        with borrowed(), ready_kernels():
            parts = _parts(loaded.model, rows[labelled[0]].ids)
        waiting = list(_passes(rows, labelled, parts.tokens))
        while waiting:
            places = waiting.pop()
            full = False
            try:
                with borrowed(), ready_kernels():
                    values = compute(parts, [rows[place] for place in places])
            except torch.OutOfMemoryError:
                if processes.sharded():  # the others are in the same pass
                    raise
                if len(places) == 1 and parts.chunk == FEWEST:
                    raise
                full = True
            if full:
                torch.cuda.empty_cache()
                if parts.chunk > FEWEST:
                    parts = parts._replace(chunk=max(FEWEST, parts.chunk // 8))
                    waiting.append(places)
                else:
                    half = len(places) // 2
                    waiting += [places[half:], places[:half]]
                continue
            if not all(map(math.isfinite, values)):
                raise not_finite(loaded.model)
            counts = [len(rows[place].ids) - rows[place].prompt_length for place in places]
            spans = pairwise(accumulate(counts, initial=0))
            for place, (start, end) in zip(places, spans, strict=True):
                found[place] = values[start:end]
    return found


def _passes(rows: Sequence[Encoded], places: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Places of rows of similar length: at most `tokens` tokens together, or a single row."""
    some: list[int] = []
    for place in sorted(places, key=lambda place: len(rows[place].ids)):
        if some and (len(some) + 1) * (len(rows[place].ids) - 1) > tokens:
            yield some
            some = []
        some.append(place)
    yield some


@contextmanager
def _still(model: Any) -> Iterator[None]:
    """Inside, the model is in eval mode and nothing is kept for gradients."""
    trained = model.training
    if trained:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if trained:
            model.train()


def _mean(sums: Sequence[float], rows: Sequence[Encoded]) -> tuple[float, int]:
    """The mean per label, NaN without any, and the number of labels."""
    count = sum(len(row.ids) - row.prompt_length for row in rows)
    return (math.fsum(sums) / count if count else math.nan), count
