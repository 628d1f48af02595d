"""Attention by kernels is attention by torch's operations, where rows begin alike."""

from __future__ import annotations

from random import Random

import pytest
import torch

from harness.engine.encoding import Encoded
from harness.engine.kernels import cpu as cpu_kernels
from harness.engine.rounding import agree
from trainers.attention import rows as row_attention
from trainers.attention.heads import Heads
from trainers.batch.packed import Packed
from trainers.batch.tree import pack_tree

pytestmark = pytest.mark.skipif(cpu_kernels.compiler() is None, reason="no C compiler here")


def tree(rows: int) -> Packed:
    drawn = Random(rows)
    common = [drawn.randrange(500) for _ in range(9)]
    made = []
    for _ in range(rows):
        own = [drawn.randrange(500) for _ in range(drawn.randrange(4, 90))]
        ids = common[: drawn.randrange(0, 9)] + own
        made.append(Encoded(ids, drawn.randrange(1, len(ids))))
    made.append(Encoded([*made[0].ids[: made[0].prompt_length], 1, 2, 3], made[0].prompt_length))
    return pack_tree(made)


@pytest.mark.parametrize("rows", [1, 4, 12])
@pytest.mark.parametrize(
    "heads", [Heads(9, 3, 64, 0.125), Heads(4, 4, 20, 0.3), Heads(4, 1, 64, 0.1)]
)
def test_they_attend_alike(rows: int, heads: Heads, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tree(rows)
    tokens = packed.ids.shape[1]
    generator = torch.manual_seed(rows)
    projected = torch.randn(tokens, heads.all * heads.size, generator=generator).bfloat16()
    come = torch.randn(tokens, heads.queries * heads.size, generator=generator).bfloat16()
    cos, sin = torch.rand(2, tokens, heads.size, generator=generator).bfloat16()
    found = []
    for own in (cpu_kernels, None):
        monkeypatch.setattr(row_attention, "kernels", lambda _, own=own: own)
        leaf = projected.clone().requires_grad_()
        attended = row_attention.attend_rows(leaf * 1, cos, sin, packed, heads)
        found.append((attended, *torch.autograd.grad(attended, leaf, come)))
    for own_part, by_torch in zip(*found, strict=True):
        assert agree(own_part, by_torch)
    assert len(packed.blocks) > 1 or rows == 1


def test_it_is_what_bf16_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(row_attention, "attend_rows_in_c", lambda *given: taken.append(given))
    packed, heads = tree(2), Heads(2, 1, 16, 0.25)
    tokens = packed.ids.shape[1]
    turn = torch.zeros(tokens, 16)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    row_attention.attend_rows(torch.zeros(tokens, 64).bfloat16(), turn, turn, packed, heads)
    row_attention.attend_rows(torch.zeros(tokens, 64), turn, turn, packed, heads)
    torch.set_num_threads(before)
    assert [given[-1] for given in taken] == [cpu_kernels]
