"""From encoded Examples to the tensors of one forward pass, and their loss.

    [Encoded([5, 6, 7, 2], prompt_length=2)]  ->  ids [[5, 6, 7, 2]], loss on 7 and 2 only

Rows are padded on the right and attention is causal, so no token sees padding and no mask is
needed. Labels are found by position, never by token id: the pad token may be the stop token.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.encoding import Encoded

if TYPE_CHECKING:
    import torch


def effective_batches(rows: Sequence[Encoded], size: int, seed: int) -> Iterator[list[Encoded]]:
    """Yield the rows of each optimizer step, epoch after epoch, each in an order of its own."""
    epoch = 0
    while True:
        order = list(range(len(rows)))
        random.Random(f"{seed}/{epoch}").shuffle(order)
        for start in range(0, len(order), size):
            yield [rows[index] for index in order[start : start + size]]
        epoch += 1


def micro_batches(batch: Sequence[Encoded], max_tokens: int) -> Iterator[list[Encoded]]:
    """Cut a batch, sorted by length, into parts of at most `max_tokens` padded tokens."""
    part: list[Encoded] = []
    for row in sorted(batch, key=lambda row: len(row.ids), reverse=True):
        if part and len(part[0].ids) * (len(part) + 1) > max_tokens:
            yield part
            part = []
        part.append(row)
    if part:
        yield part


def summed_loss(model: Any, rows: Sequence[Encoded], device: torch.device) -> torch.Tensor:
    """The cross entropy summed over the rows' label tokens, in nats, as fp32."""
    import torch
    from torch.nn.functional import cross_entropy

    width = max(len(row.ids) for row in rows)
    first = min(row.prompt_length for row in rows)
    ids = torch.tensor([[*row.ids, *[0] * (width - len(row.ids))] for row in rows], device=device)
    places = torch.arange(width, device=device)[None]
    starts = torch.tensor([[row.prompt_length] for row in rows], device=device)
    ends = torch.tensor([[len(row.ids)] for row in rows], device=device)
    labelled = ((places >= starts) & (places < ends))[:, first:]
    # The head runs only on the positions that predict a label in some row.
    before = torch.arange(first - 1, width - 1, device=device)
    logits = model(input_ids=ids, logits_to_keep=before, use_cache=False).logits
    return cross_entropy(logits[labelled].float(), ids[:, first:][labelled], reduction="sum")
