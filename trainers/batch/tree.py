"""Rows of token ids as a prefix tree: a prefix that prompts share is computed once.

    pack_tree([Encoded([5, 6, 7, 2], 2), Encoded([5, 6, 8, 2], 2)])
        ids [[5, 6, 7, 2, 8, 2]], positions [[0, 1, 2, 3, 2, 3]], labels [7, 2, 8, 2]

For CPUs only: on a GPU irregular rows would cost more than computing a token twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmtharness.harness.engine.encoding import Encoded
from fmtharness.trainers.batch.packed import Block, Packed, Shared, sides_of

if TYPE_CHECKING:
    import torch

LOOSE = 1.15
"""Padding may make a block's attention products at most 15% larger than those of single rows."""


def pack_tree(rows: Sequence[Encoded], *, share: bool = True) -> Packed:
    """The rows as a prefix tree; with `share=False` every row keeps tokens of its own.

    Under a causal mask a hidden state depends on earlier tokens only, so loss and gradient, which
    are sums over rows, stay the same. Prompts are shared, and what both answers of a pair
    begin with; other completions are not.
    """
    import torch

    children: dict[tuple[int, int], int] = {}
    ids: list[int] = []
    positions: list[int] = []
    paths: list[tuple[list[int], int]] = []
    before: list[int] = []
    targets: list[int] = []
    for row, common in ((answer, each.shared) for each in rows for answer in each.answers):
        path: list[int] = []
        start = len(ids)
        for place, token in enumerate(row.ids):
            key = (path[-1] if path else -1, token)
            known = children.get(key) if share and place < common else None
            if known is None:
                known = len(ids)
                ids.append(token)
                positions.append(place)
                if place < common:
                    children[key] = known
            path.append(known)
        paths.append((path, len(ids) - start))
        before += path[row.prompt_length - 1 : -1]
        targets += row.labels
    tokens: list[int] = []
    blocks: list[Block] = []
    slots = [0] * len(ids)
    places_of: dict[int, list[int]] = {}
    for group in _groups(paths):
        n = max(len(path) for path, _ in group)
        m = max(own for _, own in group)
        for path, own in group:
            tokens += [path[0]] * (n - len(path))
            for place, token in enumerate(path, len(tokens)):
                places_of.setdefault(token, []).append(place)
            tokens += path
            for place in range(len(tokens) - own, len(tokens)):
                slots[tokens[place]] = place
        blocks.append(Block(_bias([n - len(path) for path, _ in group], m, n), n))
    pairs = [row.reference for row in rows if row.rejected is not None]
    shared = [places for places in places_of.values() if len(places) > 1]
    return Packed(
        torch.tensor([ids]),
        torch.tensor([positions]),
        torch.tensor(slots),
        torch.tensor(tokens),
        torch.tensor(before, dtype=torch.int64),
        torch.tensor(targets, dtype=torch.int64),
        blocks=tuple(blocks),
        sides=torch.tensor(sides_of(rows), dtype=torch.int64) if pairs else None,
        references=torch.tensor(pairs, dtype=torch.float32) if pairs else None,
        shared=Shared(
            torch.tensor([tokens[places[0]] for places in shared], dtype=torch.int64),
            torch.tensor([place for places in shared for place in places], dtype=torch.int64),
            torch.tensor([i for i, p in enumerate(shared) for _ in p], dtype=torch.int64),
        ),
    )


def _groups(paths: Sequence[tuple[list[int], int]]) -> list[list[tuple[list[int], int]]]:
    """Group rows of similar size, so that padding adds little to their attention products.

    A row is its path of tokens from the root and how many of them are its own.
    """

    def size(row: tuple[list[int], int]) -> tuple[int, int]:
        return len(row[0]), row[1]

    groups: list[list[tuple[list[int], int]]] = []
    n = m = work = 0
    for row in sorted(paths, key=size, reverse=True):
        own_n, own_m = size(row)
        m = max(m, own_m)
        work += own_n * own_m
        if not groups or n * m * (len(groups[-1]) + 1) > LOOSE * work:
            groups.append([])
            (n, m), work = (own_n, own_m), own_n * own_m
        groups[-1].append(row)
    return groups


def _bias(missing: Sequence[int], m: int, n: int) -> torch.Tensor:
    """The causal mask (R, m, n) of rows, each with `missing` places of padding on its left."""
    import torch

    query, key = torch.arange(n - m, n)[:, None], torch.arange(n)
    real = key >= torch.tensor(missing)[:, None, None]
    visible = (query >= key) & real | (query == key)  # padding sees itself, else softmax is NaN
    return torch.zeros(len(missing), m, n).masked_fill_(~visible, -torch.inf)
