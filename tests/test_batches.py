"""From encoded Examples to a loss: the order, the cuts, and the naive sum they must equal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.encoding import Encoded
from trainers.batches import effective_batches, micro_batches, summed_loss

STOP = 0  # also stands inside prompts and completions, as where the pad token is the stop token
ROWS = [
    Encoded([5, 6, 7, 8, 9, STOP], 3),
    Encoded([5, STOP], 1),
    Encoded([9, STOP, 7, STOP, STOP, 4, 5, 6, STOP], 2),
    Encoded([3, 3, 3, 3, 8, STOP], 4),
]


def numbered(n: int) -> list[Encoded]:
    return [Encoded([i, 1, 2], 1) for i in range(n)]


def firsts(batches: Sequence[Sequence[Encoded]]) -> list[list[int]]:
    return [[row.ids[0] for row in batch] for batch in batches]


def taken(n: int, size: int, seed: int, count: int) -> list[list[int]]:
    return firsts(list(itertools.islice(effective_batches(numbered(n), size, seed), count)))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    epochs = taken(10, 4, 7, 9)
    assert epochs == taken(10, 4, 7, 9)
    assert epochs != taken(10, 4, 8, 9)
    one, two, three = (list(itertools.chain(*epochs[i : i + 3])) for i in (0, 3, 6))
    assert sorted(one) == sorted(two) == sorted(three) == list(range(10))
    assert one != two != three != one
    assert [len(batch) for batch in epochs] == [4, 4, 2] * 3


def test_the_order_is_the_same_on_every_machine() -> None:
    assert taken(6, 3, 0, 2) == [[0, 5, 1], [4, 3, 2]]


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=40),
    st.integers(50, 300),
)
def test_micro_batches_cut_and_keep_all(lengths: list[int], budget: int) -> None:
    rows = [Encoded([i] * length, 0) for i, length in enumerate(lengths)]
    parts = list(micro_batches(rows, budget))
    assert list(itertools.chain(*parts)) == rows
    sizes = [sum(len(row.ids) for row in part) for part in parts]
    assert max(sizes) <= budget
    for size, after in zip(sizes, parts[1:], strict=False):
        assert size + len(after[0].ids) > budget, "no part is smaller than it must be"


def test_a_row_over_the_budget_goes_alone() -> None:
    rows = [Encoded([1] * 9, 1), Encoded([1] * 9, 1), Encoded([1], 0)]
    assert [len(part) for part in micro_batches(rows, 4)] == [1, 1, 1]


@pytest.fixture(scope="module", params=["sdpa", "rows"])
def model(request: pytest.FixtureRequest) -> Any:
    """A tiny random model, with transformers' own attention and with ours for CPUs."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from trainers import row_attention

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
    )
    made: Any = LlamaForCausalLM(config)
    made.eval()
    if request.param == "rows":
        row_attention.use(made)
    return made


def naive(model: Any, row: Encoded) -> Any:
    """The sum of -log p over completion and stop token, one row alone, token by token."""
    import torch

    log_p = model(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
    return -sum(log_p[i - 1, row.ids[i]] for i in range(row.prompt_length, len(row.ids)))


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], ROWS[1:2], ROWS[::-1]], ids=len)
def test_summed_loss(model: Any, rows: list[Encoded]) -> None:
    import torch

    expected = sum(naive(model, row) for row in rows)
    found = summed_loss(model, rows, torch.device("cpu"))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_the_gradient_does_not_depend_on_the_cuts(model: Any) -> None:
    import torch

    def gradient(budget: int) -> torch.Tensor:
        model.zero_grad()
        for part in micro_batches(ROWS, budget):
            loss: Any = summed_loss(model, part, torch.device("cpu"))
            loss.backward()
        weight: torch.Tensor = model.model.layers[0].mlp.up_proj.weight.grad
        return weight.clone()

    whole = gradient(1000)
    assert whole.abs().max() > 0
    for budget in (1, 10, 18):
        torch.testing.assert_close(gradient(budget), whole)


def test_a_stop_token_alone_is_one_label(model: Any) -> None:
    import torch

    device = torch.device("cpu")
    nothing = Encoded(ROWS[0].ids, len(ROWS[0].ids) - 1)
    last = -model(input_ids=torch.tensor([nothing.ids])).logits[0, -2].log_softmax(-1)[STOP]
    torch.testing.assert_close(summed_loss(model, [nothing], device), last)
