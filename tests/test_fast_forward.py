"""The fast ways to run a model beside the model as loaded: the same, or the slow way and a word."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fmtharness.harness.engine.encoding import Encoded
from fmtharness.harness.engine.fused_layers import fuse, fuse_norms
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.rounding import apart, measured
from fmtharness.harness.errors import ModelError
from fmtharness.trainers.batch.tree import pack_tree
from fmtharness.trainers.lora import Lora
from fmtharness.trainers.step import forward
from fmtharness.trainers.step.adapter import adapted
from fmtharness.trainers.step.forward import FUSED, OWN_HEAD, SINGLE_ROWS, fast_forward
from tests.zoo import build

ROWS = [Encoded(list(range(first, first + 12)), 4) for first in (5, 40, 20)]
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)


def way_of(model: Any, patches: Patches) -> forward.Forward:
    return fast_forward(adapted(model, Lora(lora_r=4), patches), ROWS, patches)


def large_norms(model: Any) -> Any:
    """Norm weights of 40 and one of -0.5: (1 + w) x and w x are within 3% of each other."""
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.data.fill_(40)
            weight.data[0] = -0.5
    return model


@DTYPES
def test_rounding_is_told_from_a_part_left_out(dtype: torch.dtype) -> None:
    """Attention sinks, as an attention function that ignores them would leave them out."""
    model = build("gpt-oss").to(dtype)
    ids = torch.tensor([list(range(20, 40))])

    def logits() -> list[torch.Tensor]:
        return [model(input_ids=ids).logits]

    own = measured(model, logits)
    assert apart(own, logits()) == 0
    together = model(input_ids=ids.repeat(3, 1)).logits[:1]
    assert apart(own, [together]) <= 1
    for layer in model.model.layers:
        layer.self_attn.sinks.data.fill_(-100)
    assert apart(own, logits()) > 2
    assert apart(own, [own.values[0] * torch.nan]) == torch.inf
    assert apart(own, [own.values[0][:, :1]]) == torch.inf


@DTYPES
def test_one_wrong_element_is_seen(dtype: torch.dtype) -> None:
    """Where the root mean square of all does not show it."""
    model = build("llama").to(dtype)
    ids = torch.tensor([list(range(20, 40))])
    own = measured(model, lambda: [model(input_ids=ids).logits])
    found = own.values[0].clone()
    found[0, 3, 7] += 3 * own.moves[0][0]
    assert apart(own, [found]) > 1
    rms = float((found - own.values[0]).square().mean().sqrt())
    assert rms < own.moves[0][1]


@DTYPES
def test_norms_that_add_one_stay_as_they_are(dtype: torch.dtype) -> None:
    with Patches() as patches:
        assert fuse_norms(large_norms(build("gemma")).to(dtype), patches) == 0
        assert fuse_norms(large_norms(build("llama")).to(dtype), patches) == 5


@DTYPES
def test_large_norm_weights_train_as_loaded(dtype: torch.dtype) -> None:
    model = large_norms(build("gemma3")).to(dtype)
    ids = torch.tensor([ROWS[0].ids])
    before = model(input_ids=ids).logits
    with Patches() as patches:
        way = way_of(model, patches)
        part = pack_tree(ROWS[:1]) if way.packs else ROWS[0]
        own = before[0, ROWS[0].prompt_length - 1 : -1]
        torch.testing.assert_close(way.logits(model, part), own, rtol=0.05, atol=0.5)
        torch.testing.assert_close(model(input_ids=ids).logits, before, rtol=0.05, atol=0.5)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("llama", FUSED),
        ("granite", OWN_HEAD),
        ("cohere", OWN_HEAD),
        ("gemma2", SINGLE_ROWS),
        ("gpt-oss", SINGLE_ROWS),
        ("bloom", SINGLE_ROWS),
        ("stablelm", SINGLE_ROWS),
        ("jamba", SINGLE_ROWS),
    ],
)
@DTYPES
def test_the_way_of_an_architecture(
    name: str, way: forward.Forward, dtype: torch.dtype, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build(name).to(dtype)
    if name == "gemma2":
        model.set_attn_implementation("eager")  # as load_model does
    with Patches() as patches:
        assert way_of(model, patches) == way
        said = capsys.readouterr().err
        assert ("row by row in the model's own forward pass, since packed rows" in said) == (
            way == SINGLE_ROWS
        )
        fused = any("Norm" in each.of for each in patches.table())
        assert fused == (way != SINGLE_ROWS and name != "cohere")


def test_a_fused_layer_that_is_wrong_is_undone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = fuse

    def wrong(model: Any, patches: Patches) -> None:
        right(model, patches)
        inner = model.get_base_model().model.layers[1].mlp
        own = inner.forward
        patches.replace(inner, "forward", lambda x: own(x) + x.cumsum(1), "a mistake")

    monkeypatch.setattr(forward, "fuse", wrong)
    with Patches() as patches:
        assert way_of(build("llama"), patches) == SINGLE_ROWS
        assert [each.attribute for each in patches.table()] == ["config.use_cache"]
    assert "packed rows give other numbers" in capsys.readouterr().err


def test_a_gradient_that_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the right logits: only the gradient of one weight is doubled."""

    def doubled(model: Any, packed: Any, logits_bytes: int = 2**29) -> Any:
        weight = next(w for w in model.parameters() if w.requires_grad)
        extra = (weight * torch.ones_like(weight)).sum()
        return FUSED.losses(model, packed, logits_bytes) + extra - extra.detach()

    monkeypatch.setattr(forward, "FUSED", FUSED._replace(losses=doubled))
    monkeypatch.setattr(forward, "OWN_HEAD", OWN_HEAD._replace(losses=doubled))
    with Patches() as patches:
        assert way_of(build("llama"), patches) == SINGLE_ROWS


def test_rows_longer_than_a_window_are_run_singly(capsys: pytest.CaptureFixture[str]) -> None:
    long = [Encoded(list(range(5, 35)), 4), *ROWS]
    with Patches() as patches:
        model = adapted(build("mistral"), Lora(lora_r=4), patches)
        assert fast_forward(model, ROWS, patches) == FUSED
    with Patches() as patches:
        model = adapted(build("mistral"), Lora(lora_r=4), patches)
        assert fast_forward(model, long, patches) == SINGLE_ROWS
    assert "rows have up to 30 tokens, and its attention a window of 24" in capsys.readouterr().err


def test_what_is_no_number_is_refused() -> None:
    model = build("llama")
    model.model.layers[1].mlp.down_proj.weight.data.fill_(torch.nan)
    with Patches() as patches, pytest.raises(ModelError, match=r"not finite in float32; set model"):
        way_of(model, patches)
