"""Decoding of many prompts: the likeliest tokens, or tokens that are sampled.

    generate(model, [[1, 4093, 198]], stop_ids={2}, pad_id=2, max_new_tokens=64, batch_size=32)
        yields Generated(place=0, ids=[504, 1799, ...], finish_reason="stop")

It uses slots (`engine.slots`), on a GPU with CUDA graphs. Models that do not fit slots decode
left-padded batches of prompts of similar length, whose finished rows are dropped, or one prompt at
a time where the model does not decode like that (`engine.decode_check`). It ignores the model's
generation config, so sampling defaults and penalties of a hub model have no effect. Only a stop
token or the token limit ends a row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch

from fmtharness.harness.engine import collectives
from fmtharness.harness.engine.context import context_length
from fmtharness.harness.engine.cpu_slots import kind_for
from fmtharness.harness.engine.cuda_graphs import borrowed
from fmtharness.harness.engine.decode_attention import ready_kernels
from fmtharness.harness.engine.decode_check import (
    Batch,
    Drawn,
    check_finite,
    decode_alone,
    decodes_right,
)
from fmtharness.harness.engine.encoding import Generated
from fmtharness.harness.engine.grammar import Matcher, masked
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.sampling import Sampler, choose
from fmtharness.harness.engine.slots import decode_in_slots, fits_slots, slots_for
from fmtharness.harness.progress import say


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    stop_ids: Collection[int],
    pad_id: int,
    max_new_tokens: int,
    batch_size: int,
    in_step: bool = False,
    matchers: Sequence[Matcher | None] | None = None,
    sampler: Sampler | None = None,
    count: Callable[[int], object] = int,
) -> Iterator[Generated]:
    """Yield each prompt's continuation as it finishes; longer prompts start first.

    `max_new_tokens` must be at least 1. An empty prompt, or one that fills the model's context, is
    yielded with finish_reason `error`. When GPU memory runs out, `batch_size` is halved; raises
    torch.OutOfMemoryError at batch size 1.

    `in_step`: all ranks decode the same prompts and take each token from rank 0. `matchers`: the
    grammar of each prompt's answer. `sampler`: draws the tokens. `count` is called with the
    number of new tokens, as they are chosen and before a row is complete.
    """
    limit = context_length(model.config) or float("inf")
    fits = [i for i, prompt in enumerate(prompts) if 0 < len(prompt) < limit]
    for index in sorted(set(range(len(prompts))) - set(fits)):
        yield Generated(index, [], "error")
    waiting = sorted(fits, key=lambda index: (-len(prompts[index]), index))
    budgets = {i: int(min(max_new_tokens, limit - len(prompts[i]))) for i in fits}
    in_slots = not in_step and fits_slots(model)
    grammars = matchers if matchers is not None else [None] * len(prompts)
    while waiting:
        finished: set[int] = set()
        slots, found = None, None
        try:
            with torch.inference_mode(), Patches() as patches:
                if in_slots:
                    rows = min(batch_size, len(waiting))
                    length = max(len(prompts[index]) + budgets[index] for index in waiting)
                    slots = slots_for(
                        model,
                        patches,
                        prompts,
                        waiting,
                        count=rows,
                        length=length,
                        kind=kind_for(model),
                    )
                    in_slots = slots is not None
                if slots is not None:
                    found = decode_in_slots(
                        slots, prompts, waiting, budgets, stop_ids, count, matchers, sampler
                    )
                elif decodes_right(
                    model, [prompts[index] for index in waiting], pad_id, in_step=in_step
                ):
                    batch = {index: budgets[index] for index in waiting[:batch_size]}
                    found = _decode(
                        model, prompts, batch, stop_ids, pad_id, in_step, grammars, sampler, count
                    )
                else:
                    found = _decode_singly(
                        model, prompts, waiting, budgets, stop_ids, pad_id, grammars, sampler, count
                    )
                for one in found:
                    finished.add(one.place)
                    yield one
        except torch.OutOfMemoryError:
            if batch_size == 1 or in_step:  # the other ranks are in the same forward pass
                raise
            full = True
        else:
            full = False
        if full:
            batch_size = max(1, batch_size // 2)
            say(f"generate: out of GPU memory, continuing with batches of {batch_size}")
            slots = found = None
            torch.cuda.empty_cache()
        waiting = [index for index in waiting if index not in finished]


def _decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    budgets: Mapping[int, int],
    stop_ids: Collection[int],
    pad_id: int,
    in_step: bool,
    matchers: Sequence[Matcher | None],
    sampler: Sampler | None,
    count: Callable[[int], object],
) -> Iterator[Generated]:
    """Decode one batch: `budgets` maps a prompt's index to its maximum number of new tokens."""
    rows = list(budgets)
    written: dict[int, list[int]] = {index: [] for index in rows}
    draws = {index: sampler.draws(index, budgets[index]) for index in rows} if sampler else {}
    for index in rows:
        if begun := matchers[index]:
            begun.begin()
    batch = Batch(model, [prompts[index] for index in rows], pad_id)
    while True:
        with borrowed(), ready_kernels():
            logits = masked(batch.logits(), [matchers[index] for index in rows])
            largest, chosen = logits.max(-1)
            if sampler:
                numbers = torch.stack([draws[index][len(written[index])] for index in rows])
                numbers = numbers[:, None].to(logits.device)
                chosen = choose(logits, numbers, sampler.sampling)[:, 0]
        check_finite(largest, model)
        if in_step:
            collectives.broadcast(chosen)
        count(len(rows))
        active = []
        for place, (index, token) in enumerate(zip(rows, chosen.tolist(), strict=True)):
            if token in stop_ids:
                yield Generated(index, written[index], "stop")
                continue
            written[index].append(token)
            if held := matchers[index]:
                held.accept(token)
            if len(written[index]) == budgets[index]:
                yield Generated(index, written[index], "length")
            else:
                active.append(place)
        if not active:
            return
        if len(active) < len(rows):
            kept = torch.tensor(active, device=chosen.device)
            with borrowed():
                batch.keep(kept)
            chosen = chosen[kept]
            rows = [rows[place] for place in active]
        batch.feed(chosen)


def _decode_singly(
    model: Any,
    prompts: Sequence[Sequence[int]],
    waiting: Sequence[int],
    budgets: Mapping[int, int],
    stop_ids: Collection[int],
    pad_id: int,
    matchers: Sequence[Matcher | None],
    sampler: Sampler | None,
    count: Callable[[int], object],
) -> Iterator[Generated]:
    for index in waiting:
        drawn = Drawn(sampler, index, budgets[index]) if sampler else None
        ids = decode_alone(
            model, prompts[index], budgets[index], stop_ids, pad_id, matchers[index], drawn
        )
        count(len(ids))
        if ids and ids[-1] in stop_ids:
            yield Generated(index, ids[:-1], "stop")
        else:
            yield Generated(index, ids, "length")
