"""A model is as it was once the patches are undone, after training, generation and errors."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine.generation import generate
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patched, Patches
from fmtharness.trainers.lora import Lora
from fmtharness.trainers.step.adapter import adapted
from fmtharness.trainers.step.forward import replace_layers
from tests.tiny import tiny_model

IDS = torch.tensor([[1, 2, 3, 4, 5]])


def behavior(model: torch.nn.Module) -> list[dict[str, Any]]:
    """Every attribute of every module that is not a parameter, a buffer or a child."""
    inner = {"_parameters", "_buffers", "_modules", "training"}
    return [
        {name: value for name, value in vars(module).items() if name not in inner}
        for module in model.modules()
    ]


@pytest.fixture
def model(tmp_path: Path) -> Any:
    options = ModelOptions(
        name=str(tiny_model(tmp_path / "tiny")), device="cpu", quantization="none", precision="fp32"
    )
    return load_model(options, Patches()).model


def test_an_adapted_model_is_peft_s_again(model: Any) -> None:
    with pytest.raises(KeyError), Patches() as patches:
        peft_model = replace_layers(adapted(model, Lora(), patches), patches)
        for name, weight in peft_model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight)
        fused = peft_model(input_ids=IDS).logits
        rows = patches.table()
        raise KeyError  # an error in the body undoes the patches, too
    assert not patches.table()
    layers = len(model.model.layers)
    counts = {(row.of, row.attribute): row.modules for row in rows}
    assert counts["LlamaRMSNorm", "forward"] == 2 * layers + 1
    assert counts["Linear", "forward"] == 7 * layers
    assert counts["LlamaMLP", "forward"] == counts["LlamaAttention", "forward"] == layers
    assert all(row.why for row in rows)
    assert not [module for module in peft_model.modules() if "forward" in vars(module)]
    assert model.config._attn_implementation == "sdpa"
    torch.testing.assert_close(peft_model(input_ids=IDS).logits, fused, rtol=1e-4, atol=1e-4)


def test_generation_leaves_a_model_alone(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmtharness.harness.engine.slots.on_gpu", lambda model: True)
    before = behavior(model), copy.deepcopy(model.config.to_dict())
    options: Any = {"stop_ids": {-1}, "pad_id": 0, "max_new_tokens": 3, "batch_size": 2}
    writing: Any = generate(model, [[1, 2, 3], [4, 5]], **options)
    next(writing)
    assert "forward" in vars(model.model.norm)
    writing.close()  # by a caller who needs no more
    assert (behavior(model), model.config.to_dict()) == before
    assert len(list(generate(model, [[1, 2, 3], [4, 5]], **options))) == 2
    assert (behavior(model), model.config.to_dict()) == before


def test_patches_on_patches_are_undone_in_reverse() -> None:
    layer: Any = torch.nn.Linear(2, 2)
    layer.note = "own"
    own = layer.forward
    with Patches() as outer:
        outer.replace(layer, "forward", "first", "a reason")
        with Patches() as patches:
            patches.replace(layer, "forward", "second", "a reason")
            patches.replace(layer, "forward", "third", "a reason")
            patches.replace(layer, "note", "other", "another")
            assert patches.table() == [
                Patched("Linear", "forward", "a reason", 2),
                Patched("Linear", "note", "another", 1),
            ]
        assert (layer.forward, layer.note) == ("first", "own")
    assert layer.forward == own
    assert "forward" not in vars(layer)


def test_nothing_else_patches_models() -> None:
    root = Path(__file__).parent.parent
    for path in [*root.glob("harness/engine/**/*.py"), *root.glob("trainers/**/*.py")]:
        if path.name != "patching.py":
            assert ".forward = " not in path.read_text(), path
            assert "set_attn_implementation" not in path.read_text(), path
        if path.name != "torch_private.py":
            assert "torch._C" not in path.read_text(), path
            assert "aten._" not in path.read_text(), path
