"""Which layers are trained: target_modules and exclude_modules, and a rate from the first step."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.errors import UserError
from fmtharness.trainers.loop import _schedule
from fmtharness.trainers.lora import Lora
from fmtharness.trainers.step.adapter import adapted
from tests.test_training import ADAPTER, losses, rows, trained
from tests.tiny import tiny_config

ALL = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_config(tmp_path_factory.mktemp("tiny"))


def llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": 16,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 2,
    }
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=1, num_key_value_heads=1))


def chosen(options: Lora) -> set[str]:
    """The layers of a tiny Llama that get an adapter."""
    model = adapted(llama(), options, Patches())
    names = (name for name, _ in model.named_parameters() if "lora_A" in name)
    return {name.removeprefix("base_model.model.model.").partition(".lora_A")[0] for name in names}


def both(*names: str) -> set[str]:
    return {f"layers.{layer}.{name}" for layer in (0, 1) for name in names}


def test_layers_are_chosen_as_peft_does() -> None:
    assert {name.rpartition(".")[2] for name in chosen(Lora())} == ALL
    assert len(chosen(Lora())) == 14
    named = Lora(target_modules=["q_proj", "mlp.up_proj"])
    assert chosen(named) == both("self_attn.q_proj", "mlp.up_proj")
    expression = Lora(target_modules=r".*layers\.1\.self_attn\.(q|v)_proj")
    assert chosen(expression) == {"layers.1.self_attn.q_proj", "layers.1.self_attn.v_proj"}
    without = chosen(Lora(exclude_modules=["up_proj", "model.layers.0.mlp.down_proj"]))
    assert chosen(Lora()) - without == both("mlp.up_proj") | {"layers.0.mlp.down_proj"}
    assert chosen(Lora(exclude_modules=r".*layers\.0.*")) == {
        name for name in chosen(Lora()) if "layers.1" in name
    }


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"target_modules": ["q_proj", "vproj"]}, "'vproj' is no linear layer of this model, did"),
        ({"target_modules": ["vproj"]}, "did you mean 'v_proj'?; it has down_proj, gate_proj, k_"),
        ({"target_modules": ["lm_head"]}, "'lm_head' is no linear layer of this model; it has"),
        ({"target_modules": ["embed_tokens"]}, "'embed_tokens' is no linear layer of this model"),
        ({"target_modules": "v_proj"}, "target_modules: 'v_proj' is no linear layer"),
        ({"target_modules": ".*(q_proj|norm)"}, "also matches 'model.layers.0.input_layernorm'"),
        ({"exclude_modules": ["up_pro"]}, "exclude_modules: 'up_pro' is no linear layer of this"),
        (
            {"target_modules": ["q_proj"], "exclude_modules": ".*self_attn.*"},
            "exclude_modules: they leave no layer",
        ),
    ],
)
def test_a_choice_of_no_layer_is_one_sentence(options: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError) as caught:
        adapted(llama(), Lora(**options), Patches())
    assert why in str(caught.value)


def test_a_training_of_some_layers(config: Path, tmp_path: Path) -> None:
    chosen = ('train.target_modules=["q_proj", "up_proj"]', "train.num_train_epochs=1")
    out = trained(config, tmp_path / "out", *chosen)
    assert losses(out)[-1] < losses(out)[0]
    assert {name.split(".")[-3] for name in load_file(out / ADAPTER)} == {"q_proj", "up_proj"}
    told = json.loads((out / "adapter/adapter_config.json").read_text())
    assert set(told["target_modules"]) == {"q_proj", "up_proj"}
    fails = trained(config, tmp_path / "no", 'train.target_modules=["qproj"]', code=2)
    assert "'qproj' is no linear layer of this model, did you" in (fails / "said.txt").read_text()
    for setting in ("train.target_modules=[]", "train.target_modules=(", "train.exclude_modules=("):
        text = (trained(config, tmp_path / "no", setting, code=2) / "said.txt").read_text()
        assert setting.partition("=")[0].partition(".")[2] in text


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant_with_warmup"])
@pytest.mark.parametrize("warmup", [0, 0.03, 0.25, 1])
def test_the_rate_is_above_0_in_every_step(kind: Any, warmup: float) -> None:
    options = Lora(lr_scheduler_type=kind, warmup_ratio=warmup, learning_rate=2.0)
    for steps in (1, 2, 12, 100):
        rate = _schedule(options, steps)
        rates = [rate(step) for step in range(1, steps + 1)]
        assert all(0 < each <= 2 for each in rates)
        k = min(math.ceil(warmup * steps), steps - 1)
        assert rates[:k] == pytest.approx([2 * step / k for step in range(1, k + 1)])
        assert rates[k] == 2, "the first step after the warm-up has the highest rate"
        assert rates[k:] == sorted(rates[k:], reverse=True)


def test_the_schedule_after_the_warm_up_is_transformers_own() -> None:
    import torch
    from transformers import get_scheduler

    for kind in ("linear", "cosine"):
        held = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        theirs: Any = get_scheduler(kind, held, 3, 12)
        ours = _schedule(
            Lora(lr_scheduler_type=kind, warmup_ratio=0.25, learning_rate=0.5),
            12,
        )
        assert [ours(step) for step in range(4, 13)] == [
            0.5 * theirs.lr_lambdas[0](step - 1) for step in range(4, 13)
        ]


def test_the_first_step_of_a_training_trains(config: Path, tmp_path: Path) -> None:
    settings = ("train.num_train_epochs=1", "train.warmup_ratio=0.5", "train.save_steps=1")
    out = trained(config, tmp_path / "out", *settings)
    first = load_file(out / "checkpoints/step-1/adapter_model.safetensors")
    assert all(weight.any() for name, weight in first.items() if "lora_B" in name)
    found = [row["train/learning_rate"] for row in rows(out) if "train/learning_rate" in row]
    assert found[:3] == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2])
