"""The loss and the gradient of packed passes, beside the naive sum, one row and token at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fmtharness.harness.engine.encoding import Encoded
from fmtharness.harness.engine.fused_layers import fuse_mlps
from fmtharness.harness.engine.patching import Patches
from fmtharness.trainers.attention import dispatch
from fmtharness.trainers.attention.heads import Heads
from fmtharness.trainers.attention.rows import attend_rows
from fmtharness.trainers.batch.order import micro_batches
from fmtharness.trainers.batch.packed import Packed, Shape, pack, shape_of
from fmtharness.trainers.batch.tree import pack_tree
from tests.models import summed_loss

STOP = 0  # also stands inside prompts and completions, as where the pad token is the stop token
ROWS = [
    Encoded([5, 6, 7, 8, 9, STOP], 3),
    Encoded([5, STOP], 1),
    Encoded([9, STOP, 7, STOP, STOP, 4, 5, 6, STOP], 2),
    Encoded([3, 3, 3, 3, 8, STOP], 4),
    Encoded([5, 6, 7, 8, STOP], 4),
    Encoded([5, 6, 7, 8, 9, STOP], 4),
]
SHAPES = [None, shape_of(ROWS), Shape(50, 8, 15, 41)]
"""Rows one by one, as on a CPU; as squares that just fit; and with room for more."""


def packed(rows: list[Encoded], shape: Shape | None = None) -> Packed:
    return pack(rows, shape) if shape else pack_tree(rows)


@pytest.fixture(scope="module", params=["llama", "qwen2", "qwen3"])
def model(request: pytest.FixtureRequest) -> Any:
    """Tiny random models in fp32; with biases and a head of its own; with norms of queries."""
    made = small(request.param, hidden_size=16, tie_word_embeddings=request.param == "llama")
    for name, weight in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    assert fuse_mlps(made, made.dtype, Patches()) == 2
    dispatch.use(made, Patches())
    return made


def small(kind: str, **more: Any) -> Any:
    """A random model in fp32."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind,
        vocab_size=64,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        **more,
    )
    return AutoModelForCausalLM.from_config(config).eval()


def naive(model: Any, row: Encoded) -> Any:
    """The sum of -log p over completion and stop token, one row alone, token by token."""
    log_p = model(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
    return -sum(log_p[i - 1, row.ids[i]] for i in range(row.prompt_length, len(row.ids)))


def gradient(model: Any, loss: Any) -> torch.Tensor:
    found: torch.Tensor
    (found,) = torch.autograd.grad(loss, model.model.layers[0].self_attn.v_proj.weight)
    assert found.abs().max() > 0
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=["rows", "exact", "roomy"])
def test_loss_and_gradient_are_those_of_single_rows(model: Any, shape: Shape | None) -> None:
    expected: Any = sum(naive(model, row) for row in ROWS)
    found = summed_loss(model, packed(ROWS, shape))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(model, found), gradient(model, expected))


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[1:2], ROWS[::-1]], ids=len)
def test_fewer_rows_than_there_is_room_for(model: Any, rows: list[Encoded]) -> None:
    expected: Any = sum(naive(model, row) for row in rows)
    for shape in SHAPES:
        torch.testing.assert_close(summed_loss(model, packed(rows, shape)), expected)


def test_the_gradient_does_not_depend_on_the_cuts(model: Any) -> None:
    whole = gradient(model, summed_loss(model, packed(ROWS)))
    for budget in (1, 10, 18):
        parts = micro_batches(ROWS, budget)
        assert len(parts) > 1
        found = sum(gradient(model, summed_loss(model, packed(part))) for part in parts)
        torch.testing.assert_close(found, whole)


def test_logits_in_parts_give_the_same(model: Any) -> None:
    many = ROWS * 12
    whole = summed_loss(model, packed(many))
    parts = summed_loss(model, packed(many), logits_bytes=1)  # 16 labels at a time
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(gradient(model, parts), gradient(model, whole))


def test_a_stop_token_alone_is_one_label(model: Any) -> None:
    nothing = Encoded(ROWS[0].ids, len(ROWS[0].ids) - 1)
    last = -model(input_ids=torch.tensor([nothing.ids])).logits[0, -2].log_softmax(-1)[STOP]
    for shape in SHAPES:
        torch.testing.assert_close(summed_loss(model, packed([nothing], shape)), last)


def test_what_is_filled_up_has_no_gradient(model: Any) -> None:
    """The empty token's embedding is that of id 0; it must learn nothing from standing there."""
    rows = [Encoded([5, 6, 7, 8], 1)]
    weight = model.get_input_embeddings().weight
    head = model.get_output_embeddings().weight
    if head is weight:
        pytest.skip("a tied embedding is moved by the head, too")
    (found,) = torch.autograd.grad(summed_loss(model, pack(rows, Shape(30, 3, 9, 9))), weight)
    assert found[0].abs().max() == 0
    assert found[5].abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_turns_a_part_of_each_head(dtype: torch.dtype) -> None:
    partly = small("glm", hidden_size=32, head_dim=16, pad_token_id=0).to(dtype)
    expected: Any = sum(naive(partly, row).float() for row in ROWS)
    dispatch.use(partly, Patches())
    for shape in SHAPES:
        found = summed_loss(partly, packed(ROWS, shape))
        near = 1e-5 if dtype == torch.float32 else 0.02
        torch.testing.assert_close(found, expected, rtol=near, atol=0)


def test_which_layers_are_plain(model: Any) -> None:
    layer = model.base_model.layers[0].self_attn
    assert hasattr(layer.forward, "func") == (model.config.model_type != "qwen3")


def test_a_tree_as_it_is_written_down() -> None:
    rows = [Encoded([5, 6, 7, 2], 2), Encoded([5, 6, 7, 3, 2], 3), Encoded([5, 2], 1)]
    tree = pack_tree(rows)
    assert tree.ids.tolist() == [[5, 6, 7, 2, 7, 3, 2, 2]]
    assert tree.positions.tolist() == [[0, 1, 2, 3, 2, 3, 4, 1]]
    assert tree.before.tolist() == [1, 2, 4, 5, 0]
    assert tree.labels.tolist() == [7, 2, 3, 2, 2]
    assert [(len(block.bias), block.bias.shape[1], block.n) for block in tree.blocks] == [
        (1, 3, 5),
        (1, 4, 4),
        (1, 1, 2),
    ]
    assert tree.tokens.tolist() == [0, 1, 4, 5, 6, 0, 1, 2, 3, 0, 7]
    assert tree.slots.tolist() == [5, 6, 7, 8, 2, 3, 4, 10]
    assert tree.shared is not None
    assert [part.tolist() for part in tree.shared] == [[0, 1], [0, 5, 9, 1, 6], [0, 0, 0, 1, 1]]
    alone = pack_tree(rows, share=False)
    assert alone.ids.tolist() == [[5, 6, 7, 2, 5, 6, 7, 3, 2, 5, 2]]


def test_rows_of_like_length_attend_together(model: Any) -> None:
    rows = [Encoded([9 + i, *range(3, 20 - i), STOP], 9 - i) for i in range(3)]
    rows += [Encoded([*rows[0].ids[:4], *range(30, 43), STOP], 6)]
    tree = packed(rows)
    assert [(len(block.bias), block.n) for block in tree.blocks] == [(2, 19), (2, 18)]
    expected: Any = sum(naive(model, row) for row in rows)
    found = summed_loss(model, tree)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(model, found), gradient(model, expected))


def test_packing_as_it_is_written_down() -> None:
    packed = pack([Encoded([5, 6, 7, 2], 2), Encoded([8, 2], 1)], Shape(8, 2, 5, 4))
    assert packed.ids.tolist() == [[5, 6, 7, 2, 8, 2, 0, 0]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 0, 1, 0, 0]]
    assert packed.slots.tolist() == [0, 1, 2, 3, 5, 6, 9, 9]
    assert packed.tokens.tolist() == [0, 1, 2, 3, 7, 4, 5, 7, 7, 7]
    assert packed.before.tolist() == [1, 2, 4, 7]
    assert packed.labels.tolist() == [7, 2, 2, -100]
    assert packed.starts is not None and packed.starts.tolist() == [0, 4, 6, 8]
    assert isinstance(packed.to(torch.device("cpu")), Packed)
    roomy = pack([Encoded([8, 2], 1)], Shape(8, 3, 5, 4)).starts
    assert roomy is not None and roomy.tolist() == [0, 2, 2, 2, 8]


@pytest.mark.parametrize(("queries", "keys"), [(4, 4), (1, 1), (4, 2), (4, 1)])
@pytest.mark.parametrize("rows", [1, 2])
def test_rows_attend_like_torch_for_any_number_of_heads(queries: int, keys: int, rows: int) -> None:
    packed = pack_tree([Encoded([row, *range(5, 13)], 3) for row in range(rows)])
    generator = torch.Generator().manual_seed(0)
    projected = torch.randn(9 * rows, (queries + 2 * keys) * 8, generator=generator)
    cos, sin = torch.ones(9 * rows, 8), torch.zeros(9 * rows, 8)
    split = projected.view(rows, 9, -1, 8).transpose(1, 2)
    query, key, value = split.split([queries, keys, keys], 1)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, enable_gqa=True
    )
    heads = Heads(queries, keys, 8, 8**-0.5)
    for _ in range(2):
        found = attend_rows(projected.clone(), cos, sin, packed, heads)
        torch.testing.assert_close(found, expected.transpose(1, 2).reshape(9 * rows, -1))
