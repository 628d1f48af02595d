"""Adapters that others made: logits and texts are peft's own, or one sentence says why not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from fmtharness.harness.cli import main
from fmtharness.harness.contracts import Loaded, ModelOptions
from fmtharness.harness.engine.adapters import LIKE_PEFT
from fmtharness.harness.engine.generation import generate
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.errors import ModelError
from tests.tiny import tiny_model

WEIGHTS = "adapter_model.safetensors"
PROMPTS = [[9, 40, 200, 77, 3, 150], [30, 31, 32], [101, 7, 61, 62, 63, 12, 15, 90, 2]]
LINEAR = ["q_proj", "up_proj"]


def lora(**changed: Any) -> dict[str, Any]:
    return {"type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": "all-linear", **changed}


LIKE: dict[str, dict[str, Any]] = {
    "lora": lora(),
    "dora": lora(use_dora=True),
    "rslora": lora(use_rslora=True),
    "head": lora(target_modules=["q_proj", "lm_head"]),
    "embedding": lora(target_modules=["q_proj", "embed_tokens"]),
    "modules to save": lora(
        target_modules=["q_proj"], modules_to_save=["embed_tokens", "norm", "gate_proj", "lm_head"]
    ),
    "bias all": lora(bias="all"),
    "bias lora_only": lora(bias="lora_only"),
    "bias of B": lora(lora_bias=True),
    "patterns": lora(
        rank_pattern={"q_proj": 2, "up_proj": 7}, alpha_pattern={"k_proj": 32, "q_proj": 3}
    ),
    "one layer": lora(target_modules=LINEAR, layers_to_transform=[1]),
    "excluded": lora(exclude_modules=["up_proj", "k_proj"]),
    "tokens": lora(trainable_token_indices=[40, 61]),
    "parameters": lora(target_modules=["q_proj"], target_parameters=["mlp.up_proj.weight"]),
    "pissa": lora(init_lora_weights="pissa"),
    "adalora": {
        "type": "ADALORA",
        "init_r": 6,
        "target_r": 4,
        "total_step": 10,
        "target_modules": LINEAR,
    },
    "ia3": {
        "type": "IA3",
        "target_modules": ["k_proj", "down_proj"],
        "feedforward_modules": ["down_proj"],
    },
    "loha": {"type": "LOHA", "r": 4, "target_modules": LINEAR},
    "lokr": {"type": "LOKR", "r": 4, "target_modules": LINEAR},
    "oft": {"type": "OFT", "oft_block_size": 16, "target_modules": LINEAR},
    "boft": {"type": "BOFT", "boft_block_size": 8, "target_modules": LINEAR},
    "vera": {"type": "VERA", "r": 4, "target_modules": ["q_proj", "o_proj"]},
    "vblora": {
        "type": "VBLORA",
        "r": 4,
        "num_vectors": 10,
        "vector_length": 8,
        "target_modules": ["q_proj"],
    },
    "randlora": {"type": "RANDLORA", "r": 4, "target_modules": ["q_proj"]},
    "fourierft": {"type": "FOURIERFT", "n_frequency": 10, "target_modules": LINEAR},
    "c3a": {"type": "C3A", "block_size": 16, "target_modules": ["q_proj"]},
    "hra": {"type": "HRA", "r": 4, "target_modules": LINEAR},
    "miss": {"type": "MISS", "r": 4, "target_modules": LINEAR},
    "road": {"type": "ROAD", "target_modules": LINEAR},
    "shira": {"type": "SHIRA", "r": 4, "target_modules": ["q_proj"]},
    "ln": {"type": "LN_TUNING", "target_modules": ["input_layernorm", "norm"]},
    "trainable tokens": {"type": "TRAINABLE_TOKENS", "token_indices": [40, 61]},
}
UNLIKE: dict[str, dict[str, Any]] = {
    "prefix": {"type": "PREFIX_TUNING", "num_virtual_tokens": 4},
    "prompt": {"type": "PROMPT_TUNING", "num_virtual_tokens": 4},
    "p-tuning": {"type": "P_TUNING", "num_virtual_tokens": 4, "encoder_hidden_size": 16},
    "cpt": {
        "type": "CPT",
        "cpt_token_ids": [1, 2],
        "cpt_mask": [1, 1],
        "cpt_tokens_type_mask": [1, 1],
    },
    "activated": lora(alora_invocation_tokens=[31, 32]),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with biases, whose greedy texts depend on every weight."""
    return sharp(tmp_path_factory.mktemp("base"))


def sharp(folder: Path, hidden: int = 64) -> Path:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tiny_model(folder)
    torch.manual_seed(1)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=260,
            hidden_size=hidden,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=False,
            eos_token_id=0,
        )
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.randn_like(weight) * (0.2 if "layers" in name else 1.0))
    model.save_pretrained(folder)
    return folder


def made(base: Path, folder: Path, config: dict[str, Any]) -> Path:
    """An adapter with random weights, as peft saves it."""
    from peft import get_peft_config, get_peft_model
    from transformers import AutoModelForCausalLM

    options = {"task_type": "CAUSAL_LM", "peft_type": config["type"]}
    options |= {key: value for key, value in config.items() if key != "type"}
    torch.manual_seed(2)
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    model = get_peft_model(model, get_peft_config(options))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.2)
    model.save_pretrained(folder)
    return folder


def logits(model: Any) -> torch.Tensor:
    ids = torch.tensor([PROMPTS[0]])
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return found


def texts_of_peft(model: Any) -> list[list[int]]:
    found = []
    for prompt in PROMPTS:
        ids = torch.tensor([prompt])
        mask = torch.ones_like(ids)
        made = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=10,
            eos_token_id=None,
        )
        found.append(made[0, len(prompt) :].tolist())
    return found


def loaded(base: Path, adapter: Path, patches: Patches) -> Loaded:
    return load_model(
        ModelOptions(name=str(base), precision="fp32", device="cpu"), patches, adapter
    )


@pytest.mark.parametrize("kind", LIKE)
def test_logits_and_texts_are_pefts(base: Path, tmp_path: Path, kind: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = made(base, tmp_path / "adapter", LIKE[kind])
    bare: Any = AutoModelForCausalLM.from_pretrained(base)
    untuned = logits(bare)
    theirs = PeftModel.from_pretrained(bare, str(adapter)).eval()
    with Patches() as patches:
        ours = loaded(base, adapter, patches).model
        assert torch.allclose(logits(ours), logits(theirs), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(logits(ours), untuned, rtol=1e-4, atol=1e-4)
        options: dict[str, Any] = {"max_new_tokens": 10, "batch_size": 3, "pad_id": 0}
        rows = {one.place: one.ids for one in generate(ours, PROMPTS, stop_ids={-1}, **options)}
    assert [rows[place] for place in range(3)] == texts_of_peft(theirs)


def test_every_supported_type_is_tried() -> None:
    assert {config["type"] for config in LIKE.values()} == set(LIKE_PEFT)


@pytest.mark.parametrize("kind", UNLIKE)
def test_a_type_whose_texts_would_not_be_pefts_is_refused(
    base: Path, tmp_path: Path, kind: str
) -> None:
    adapter = made(base, tmp_path / "adapter", UNLIKE[kind])
    named = "alora_invocation_tokens" if kind == "activated" else UNLIKE[kind]["type"]
    with Patches() as patches, pytest.raises(ModelError, match="not supported") as caught:
        loaded(base, adapter, patches)
    assert f"{adapter / 'adapter_config.json'}: " in str(caught.value)
    assert named in str(caught.value)
    assert "LORA" in str(caught.value).upper()


def evaluated(base: Path, adapter: Path, code: int = 2) -> str:
    data = adapter.parent / "data.jsonl"
    shutil.copy("data/examples/eval.jsonl", data)
    command = ["eval", "--adapter", str(adapter), "--model", str(base), "--data", str(data)]
    done = CliRunner().invoke(main, [*command, "--num-prompts", "1", "--max-new-tokens", "2"])
    assert done.exit_code == code, done.output
    return done.stderr


def rewrite(adapter: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, Any]]) -> None:
    save_file(change(load_file(adapter / WEIGHTS)), adapter / WEIGHTS)


def test_keys_that_do_not_match_are_named(base: Path, tmp_path: Path) -> None:
    """None of them, or some: without the sentence the base would answer."""
    adapter = made(base, tmp_path / "adapter", lora())
    rewrite(adapter, lambda held: {f"base_model.model.wrapped.{k}": w for k, w in held.items()})
    said = evaluated(base, adapter)
    assert (
        f"adapter '{adapter}', trained on {base}, does not fit the model in use, {base}: 28" in said
    )
    assert "have no place there (base_model.model.wrapped.base_model" in said
    assert "its file lacks 28 weights (base_model.model.model.layers.0.self_attn." in said

    shutil.rmtree(adapter)
    made(base, adapter, lora())
    rewrite(adapter, lambda held: {k: w for k, w in held.items() if "layers.1.mlp.up" not in k})
    assert "its file lacks 2 weights (base_model.model.model.layers.1.mlp.up_" in evaluated(
        base, adapter
    )

    shutil.rmtree(adapter)
    made(base, adapter, lora())
    rewrite(adapter, lambda held: held | {"base_model.model.more.lora_A.weight": torch.ones(2, 2)})
    said = evaluated(base, adapter)
    assert "1 of its weights have no place there (base_model.model.more.lora_A.weight)" in said


def test_a_module_that_was_to_be_saved_and_is_not_is_named(base: Path, tmp_path: Path) -> None:
    adapter = made(base, tmp_path / "adapter", lora(modules_to_save=["lm_head"]))
    rewrite(adapter, lambda held: {k: w for k, w in held.items() if "lm_head" not in k})
    assert "its file has no 'base_model.model.lm_head" in evaluated(base, adapter)


def test_a_base_of_another_shape_is_named_beside_its_own(base: Path, tmp_path: Path) -> None:
    adapter = made(base, tmp_path / "adapter", lora())
    other = sharp(tmp_path / "other", hidden=32)
    said = evaluated(other, adapter)
    assert f"trained on {base}, does not fit the model in use, {other}: size mismatch for" in said
    assert "torch.Size([4, 64]) from checkpoint" in said
    assert said.count("error:") == 1


def test_another_base_of_the_same_shape_is_told(base: Path, tmp_path: Path) -> None:
    adapter = made(base, tmp_path / "adapter", lora())
    other = shutil.copytree(base, tmp_path / "other")
    named = f"trained on the base {base} by its adapter_config.json, and used on {other};"
    assert named in evaluated(other, adapter, code=0)
    assert "trained on the base" not in evaluated(base, adapter, code=0)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", "{}", '{"peft_type": "LROA"}', '{"peft_type": 5}', '{"peft_type": "LORA"'],
)
def test_broken_settings_are_one_sentence(base: Path, tmp_path: Path, text: str) -> None:
    adapter = made(base, tmp_path / "adapter", lora())
    (adapter / "adapter_config.json").write_text(text)
    said = evaluated(base, adapter)
    assert f"error: {adapter / 'adapter_config.json'}: " in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"target_modules": ["qkv_proj"]}, "Target modules {'qkv_proj'} not found"),
        ({"r": "many"}, "does not fit the model in use"),
        ({"task_type": "SEQ_CLS"}, "for the task SEQ_CLS"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(
    base: Path, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    adapter = made(base, tmp_path / "adapter", lora())
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert why in evaluated(base, adapter)


@pytest.mark.parametrize("held", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"PK\3\4"])
@pytest.mark.parametrize("name", [WEIGHTS, "adapter_model.bin"])
def test_broken_weights_are_one_sentence(
    base: Path, tmp_path: Path, name: str, held: bytes
) -> None:
    adapter = made(base, tmp_path / "adapter", lora())
    (adapter / WEIGHTS).unlink()
    (adapter / name).write_bytes(held)
    said = evaluated(base, adapter)
    assert f"error: adapter '{adapter}', trained on {base}, does not fit" in said
    assert said.count("\n") == 1


def test_an_adapter_without_weights_asks_no_hub(base: Path, tmp_path: Path) -> None:
    adapter = made(base, tmp_path / "adapter", lora())
    (adapter / WEIGHTS).unlink()
    assert f"'{adapter}': the folder has no {WEIGHTS}" in evaluated(base, adapter)
