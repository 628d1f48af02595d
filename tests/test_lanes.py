"""Passes in parallel lanes on a CPU: the gradient of sequential passes, the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine import fused_layers
from fmtharness.harness.engine.encoding import Encoded
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.trainers.attention import dispatch
from fmtharness.trainers.lora import Lora
from fmtharness.trainers.step import lanes
from fmtharness.trainers.step.adapter import AdapterWeights, adapted
from fmtharness.trainers.step.forward import replace_layers
from fmtharness.trainers.step.lanes import lanes_for, run_in_lanes
from fmtharness.trainers.step.passes import Passes
from tests.tiny import tiny_model

ROWS = [Encoded([7, 8, *range(20, 40 + 3 * i), 0], 12) for i in range(8)]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("plain", [True, False], ids=["fused", "layer by layer"])
def test_lanes_sum_up_to_the_same(
    plain: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not plain:  # the layers of a Group are called one by one, from two threads at a time
        monkeypatch.setattr(dispatch, "_is_plain", lambda *_: False)
        monkeypatch.setattr(fused_layers, "fuse_mlps", lambda *_: 0)
    name = str(tiny_model(tmp_path / "tiny"))
    loaded = load_model(
        ModelOptions(name=name, device="cpu", quantization="none", precision="fp32"),
        Patches(),
    )
    options = Lora()
    model = replace_layers(adapted(loaded.model, options, Patches()), Patches())
    weights = AdapterWeights(model)
    weights.vector += 0.02 * torch.randn(len(weights.vector), generator=torch.manual_seed(0))
    weights.refresh()
    passes = Passes(model, weights, options, None)

    def gradient(worth: int) -> tuple[float, torch.Tensor]:
        monkeypatch.setattr(lanes, "WORTH_A_LANE", worth)
        passes.gradient(ROWS, labels=100)
        return passes.loss.item(), weights.gradient.clone()

    loss, whole = gradient(10_000)
    for _ in range(5):
        in_lanes = gradient(10)
        assert in_lanes[0] == pytest.approx(loss)
        torch.testing.assert_close(in_lanes[1], whole)
    assert torch.equal(gradient(10)[1], in_lanes[1])
    assert whole.abs().max() > 0
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_threads_are_shared_out_and_given_back() -> None:
    found = run_in_lanes(lambda part: (part, torch.get_num_threads()), [3, 1, 2], lanes=2)
    assert list(found) == [(3, 1), (1, 1), (2, 1)]
    assert torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError):
        list(run_in_lanes(lambda part: 1 // part, [1, 0], lanes=2))
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ([], 4096, 1),
        ([1999], 4096, 1),
        ([100] * 20, 4096, 2),
        ([100] * 7, 4096, 1),  # two passes of few hundred tokens are not worth it
        ([100] * 20, 799, 1),
        ([2048] * 3, 4096, 2),
        ([2049] * 3, 4096, 1),  # two of the longest rows at once are more than one pass may hold
    ],
)
def test_how_many_lanes_are_worth_it(sizes: list[int], most: int, expected: int) -> None:
    assert lanes_for(sizes, most) == expected
