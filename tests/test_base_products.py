"""Products with weights that are kept in blocks are those with the weights themselves."""

from __future__ import annotations

import pytest
import torch

from harness.engine import base_products
from harness.engine.base_products import Floats, multiply, multiply_back
from harness.engine.rounding import agree


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.manual_seed(len(shape)))


@pytest.fixture(autouse=True)
def fresh() -> None:
    base_products._can_sort.cache_clear()


needs_blocks = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU has no bf16 products"
)


@needs_blocks
@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize("biased", [True, False])
def test_blocks_give_the_same_products(rows: int, biased: bool) -> None:
    plain, x, gradient = drawn(48, 64).bfloat16(), drawn(rows, 64).bfloat16(), drawn(rows, 48)
    bias = drawn(48).bfloat16() if biased else None
    weight = Floats(lambda: plain)
    assert weight.sorted(x, back=False) is not None
    assert weight.sorted(x, back=True) is not None
    expected = torch.nn.functional.linear(x, plain, bias)
    assert agree(multiply(x, weight, bias), expected)
    assert agree(multiply_back(gradient.bfloat16(), weight), gradient.bfloat16() @ plain)


@needs_blocks
def test_blocks_made_in_generation_serve_training() -> None:
    plain, x = drawn(48, 64).bfloat16(), drawn(3, 64).bfloat16()
    weight = Floats(lambda: plain)
    with torch.inference_mode():
        expected = multiply(x, weight, None).clone()
    assert not weight.sorted(x, back=False).is_inference()  # type: ignore[union-attr]
    assert torch.equal(multiply(x, weight, None), expected)


def test_large_weights_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, x = drawn(48, 64).bfloat16(), drawn(3, 64).bfloat16()
    monkeypatch.setattr(base_products, "_main_memory", lambda: 400 * plain.nbytes - 400)
    weight = Floats(lambda: plain)
    assert weight.sorted(x, back=False) is None
    assert torch.equal(multiply(x, weight, None), x @ plain.t())


def test_a_torch_without_these_operations_multiplies_as_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: object) -> None:
        raise AttributeError

    monkeypatch.setattr(base_products, "_product", gone)
    plain, x = drawn(48, 64).bfloat16(), drawn(3, 64).bfloat16()
    assert torch.equal(multiply(x, Floats(lambda: plain), None), x @ plain.t())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_other_types_have_no_blocks(dtype: torch.dtype) -> None:
    plain, x = drawn(48, 64).to(dtype), drawn(3, 64).to(dtype)
    weight = Floats(lambda: plain)
    assert weight.sorted(x, back=False) is None
    assert torch.equal(multiply_back(x, lambda: plain.t()), x @ plain.t())
