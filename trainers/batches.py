"""From encoded Examples to the tensors of one forward pass, and their loss.

    [Encoded([5, 6, 7, 2], prompt_length=2)]  ->  ids [[5, 6, 7, 2]], loss on 7 and 2 only

Labels are found by position, never by token id: the pad token may be the stop token.
"""

from __future__ import annotations

import itertools
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
    """Cut a batch into parts of at most `max_tokens` tokens; a longer row is a part of its own."""
    part: list[Encoded] = []
    for row in batch:
        if part and sum(len(other.ids) for other in part) + len(row.ids) > max_tokens:
            yield part
            part = []
        part.append(row)
    if part:
        yield part


def summed_loss(model: Any, rows: Sequence[Encoded], device: torch.device) -> torch.Tensor:
    """The cross entropy summed over the rows' label tokens, in nats, as fp32.

    The rows stand one behind the other in one sequence, so nothing is spent on padding; positions
    that start anew at each row keep attention inside it.
    """
    import torch
    from torch.nn.functional import cross_entropy

    ends = list(itertools.accumulate(len(row.ids) for row in rows))
    starts = [0, *ends[:-1]]
    ids = torch.tensor([[token for row in rows for token in row.ids]], device=device)
    positions = [place for row in rows for place in range(len(row.ids))]
    # The head runs only where the next token is a label.
    before = torch.tensor(
        [
            start + place - 1
            for start, row in zip(starts, rows, strict=True)
            for place in range(row.prompt_length, len(row.ids))
        ],
        device=device,
    )
    logits = model(
        input_ids=ids,
        position_ids=torch.tensor([positions], device=device),
        cu_seq_lens_q=torch.tensor([0, *ends], dtype=torch.int32, device=device),
        logits_to_keep=before,
        use_cache=False,
    ).logits
    return cross_entropy(logits[0].float(), ids[0, before + 1], reduction="sum")
