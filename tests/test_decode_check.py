"""Decoding beside a forward pass without a cache: the same, or the model's own generate()."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine import decode_check, fused_layers, slots
from fmtharness.harness.engine.fused_decode import unfused
from fmtharness.harness.engine.generation import generate
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.errors import ModelError
from fmtharness.trainers.lora import Lora
from fmtharness.trainers.step.adapter import adapted
from fmtharness.trainers.step.coverage import coverage
from tests.zoo import build, write

PROMPTS = [list(range(20, 20 + size)) for size in (7, 30, 12, 19)]


def texts(model: Any, prompts: Any = PROMPTS) -> list[list[int]]:
    made = generate(model, prompts, stop_ids={0}, pad_id=0, max_new_tokens=8, batch_size=4)
    return [each.ids for each in sorted(made)]


def alone(model: Any) -> list[list[int]]:
    found = [decode_check.decode_alone(model, prompt, 8, {0}, 0) for prompt in PROMPTS]
    return [[token for token in ids if token] for ids in found]


@pytest.mark.parametrize("name", ["mamba", "rwkv"])
def test_a_model_with_a_state_keeps_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = build(name)
    assert texts(model) == alone(model)
    said = capsys.readouterr().err
    assert "one prompt at a time by the model's own generate(), since in padded batches" in said
    texts(model)
    assert "one prompt at a time" not in capsys.readouterr().err


def test_prompts_too_short_to_tell_say_nothing_of_the_next() -> None:
    model = build("mamba")
    texts(model, [[20, 21], [22]])
    assert texts(model) == alone(model)


def test_a_model_that_ignores_padding_decodes_singly(capsys: pytest.CaptureFixture[str]) -> None:
    model = build("llama")
    expected, own = alone(model), model.forward

    def unmasked(attention_mask: Any = None, **given: Any) -> Any:
        return own(**given)

    model.forward = unmasked
    unfused.add(model)  # in slots with fused steps nothing is padded
    assert texts(model) == expected
    assert "it gives other logits" in capsys.readouterr().err


def test_a_model_that_takes_no_positions_decodes_singly(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = build("llama")
    expected, own = alone(model), model.forward

    def plain(input_ids: Any, **given: Any) -> Any:
        if "position_ids" in given and "logits_to_keep" in given and len(input_ids) > 1:
            raise TypeError("forward() got an unexpected keyword argument 'position_ids'")
        return own(input_ids=input_ids, **given)

    model.forward = plain
    assert texts(model) == expected
    assert "does not decode in padded batches: forward() got" in capsys.readouterr().err


def test_sampling_defaults_of_a_hub_model_have_no_effect() -> None:
    model = build("rwkv")
    expected = texts(model)
    model.generation_config.update(do_sample=True, temperature=9.0, repetition_penalty=5.0)
    assert texts(model) == expected
    assert model.generation_config.repetition_penalty == 5.0


def test_logits_that_are_no_numbers_are_refused() -> None:
    model = build("llama").to(torch.float16)
    model.model.layers[0].mlp.up_proj.weight.data.fill_(60000)
    with pytest.raises(ModelError, match=r"not finite in float16.*set model\.precision to 'bf16'"):
        texts(model)


@pytest.mark.parametrize("in_slots", [False, True])
def test_logits_that_stop_being_numbers_are_refused(
    in_slots: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the check of the first call; as fp16 may overflow at any later token."""
    model = build("llama")
    if in_slots:
        monkeypatch.setattr(slots, "on_gpu", lambda model: True)
        monkeypatch.delattr("fmtharness.harness.engine.generation._decode")
    made = generate(model, PROMPTS, stop_ids={-1}, pad_id=0, max_new_tokens=40, batch_size=2)
    next(made)
    model.model.norm.weight.data.fill_(torch.inf)
    with pytest.raises(ModelError, match="not finite in float32"):
        list(made)


def test_a_fused_adapter_that_differs_from_pefts_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write("llama", tmp_path / "model")
    options = ModelOptions(name=str(folder), precision="fp32")
    with Patches() as patches:
        model = adapted(load_model(options, patches).model, Lora(lora_r=4), patches)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.data.normal_()
        model.save_pretrained(tmp_path / "adapter")
        expected = alone(model.eval())
    with Patches() as patches:
        assert texts(load_model(options, patches, tmp_path / "adapter").model) == expected
        assert any(each.of == "LlamaRMSNorm" for each in patches.table())
    norm = fused_layers._norm
    monkeypatch.setattr(fused_layers, "_is_plain_norm", lambda module: True)
    monkeypatch.setattr(fused_layers, "_norm", lambda module, x: 1.03 * norm(module, x))
    with Patches() as patches:
        assert texts(load_model(options, patches, tmp_path / "adapter").model) == expected
        assert not patches.table()
    assert "more slowly, by peft's own layers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama", "the adapter is on 65% of the model's 95.0k weights; without an adapter: "),
        ("mixtral", "the adapter is on 84% of"),
        ("qwen2-moe", "without an adapter: mlp.experts.gate_up_proj (33%), mlp.experts.down_proj"),
        ("gpt-oss", "without an adapter: mlp.experts.gate_up_proj (47%), mlp.experts.down_proj"),
        ("mamba", "mixer.out_proj (20%)"),
    ],
)
def test_how_much_of_a_model_is_trained(name: str, expected: str) -> None:
    with Patches() as patches:
        assert expected in coverage(adapted(build(name), Lora(lora_r=4), patches), 0)


@pytest.mark.parametrize("dequantize", ["auto", "never"])
@pytest.mark.parametrize(("name", "share"), [("llama", 65), ("mixtral", 12)])
def test_how_much_of_a_model_is_quantized(
    name: str, share: int, dequantize: Any, tmp_path: Path
) -> None:
    """Routed experts stay as they are."""
    options = ModelOptions(
        name=str(write(name, tmp_path / "model")), quantization="nf4", dequantize=dequantize
    )
    with Patches() as patches:
        loaded = load_model(options, patches)
        model = adapted(loaded.model, Lora(lora_r=4), patches)
        assert f"and {share}% are in 4 bits" in coverage(model, loaded.quantized)
