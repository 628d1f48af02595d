"""Other people's models: loaded with all of their weights, or refused in one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from fmtharness.harness.contracts import Loaded, ModelOptions
from fmtharness.harness.engine import models
from fmtharness.harness.engine.models import load_model, state_for
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.quiet import quiet_transformers
from fmtharness.harness.errors import ModelError
from tests.tiny import tiny_model

Weights = dict[str, torch.Tensor]
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 538090408\n"
SIZES: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "eos_token_id": 0,
    "bos_token_id": None,
    "pad_token_id": 0,
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "model")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(model: Path, **options: Any) -> Loaded:
    return load_model(
        ModelOptions(name=str(model), **{"quantization": "none"} | options), Patches()
    )


def refused(model: Path, **options: Any) -> str:
    with pytest.raises(ModelError) as error:
        load(model, **options)
    assert "\n" not in str(error.value)
    assert str(model) in str(error.value)
    return str(error.value)


def change(model: Path, changed: Callable[[Weights], Weights]) -> None:
    path = model / "model.safetensors"
    save_file(changed(load_file(path)), path, metadata={"format": "pt"})


def configure(model: Path, **keys: Any) -> None:
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def of(folder: Path, model: Any) -> Path:
    """Another model's weights and config beside the tiny tokenizer."""
    tiny_model(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder)
    return folder


def untied(folder: Path) -> Path:
    config = transformers.LlamaConfig(**SIZES, intermediate_size=128, tie_word_embeddings=False)
    return of(folder, transformers.LlamaForCausalLM(config))


def test_a_checkpoint_without_its_head_is_refused(tmp_path: Path) -> None:
    folder = untied(tmp_path / "untied")
    assert load(folder).model.lm_head.weight.shape == (260, 64)
    change(folder, lambda held: {key: each for key, each in held.items() if "lm_head" not in key})
    assert "1 weight is missing from its files and would be random: lm_head.weight" in refused(
        folder
    )


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_layer_that_is_missing_is_refused(model: Path, quantization: str) -> None:
    change(model, lambda held: {key: each for key, each in held.items() if "1.mlp" not in key})
    message = refused(model, quantization=quantization)
    assert "3 weights are missing from its files" in message
    assert "model.layers.1.mlp.down_proj.weight" in message


@pytest.mark.parametrize(
    ("given", "renamed"),
    [
        ("module.model.embed_tokens.weight", lambda key: f"module.{key}"),
        ("_orig_mod.model.embed_tokens.weight", lambda key: f"_orig_mod.{key}"),
        (
            "transformer.layers.0.input_layernorm.weight",
            lambda key: key.replace("model.", "transformer.", 1),
        ),
    ],
)
def test_weights_under_another_prefix_are_refused(
    model: Path, given: str, renamed: Callable[[str], str]
) -> None:
    change(model, lambda held: {renamed(key): each for key, each in held.items()})
    message = refused(model)
    found = re.search(r"such as '(\S+)' where '(\S+)' is expected", message)
    assert found and found[1] == given
    assert found[2] == "model." + given.split(".", 1)[1].removeprefix("model.")
    assert "20 weights are under a name that LlamaForCausalLM does not know" in message


def test_weights_of_no_part_of_the_model_are_told(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(model, lambda held: held | {"vision.patch.weight": torch.ones(2, 2)})
    load(model)
    assert capsys.readouterr().err == (
        f"model '{model}': 1 weight is not part of LlamaForCausalLM and not used: "
        "vision.patch.weight\n"
    )


def test_a_bias_that_the_config_does_not_know_is_refused(model: Path) -> None:
    name = "model.layers.0.self_attn.q_proj.bias"
    change(model, lambda held: held | {name: torch.ones(64)})
    assert f"has no place for, though it has the layer: {name}; its config.json" in refused(model)


def test_another_shape_than_the_config_s_is_refused(model: Path) -> None:
    configure(model, intermediate_size=96)
    message = refused(model)
    assert "model.layers.0.mlp.down_proj.weight is 64 x 128, and LlamaForCausalLM has 64 x 96" in (
        message
    )


def test_an_expert_that_is_missing_is_named(tmp_path: Path) -> None:
    config = transformers.MixtralConfig(**SIZES, intermediate_size=32, num_local_experts=4)
    folder = of(tmp_path / "moe", transformers.MixtralForCausalLM(config))
    load(folder)
    change(folder, lambda held: {key: w for key, w in held.items() if "experts.1.w1" not in key})
    message = refused(folder)
    assert "some of its weights are missing or have another shape, such as model.layers" in message
    assert "above report" not in message


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_checkpoint_that_is_quantized_already_loads(
    tmp_path: Path, model: Path, quantization: str, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = load(model, quantization="nf4", dequantize="never").model
    weight = packed.model.layers[0].mlp.up_proj.weight
    folder = of(tmp_path / "packed", packed)
    capsys.readouterr()
    again = load(folder, quantization=quantization, dequantize="never").model
    assert torch.equal(again.model.layers[0].mlp.up_proj.weight, weight)
    assert capsys.readouterr().err == ""


def test_nf4_that_would_quantize_nothing_is_refused(tmp_path: Path) -> None:
    folder = of(tmp_path / "f", transformers.FalconForCausalLM(transformers.FalconConfig(**SIZES)))
    load(folder)
    for dequantize in ("auto", "never"):
        message = refused(folder, quantization="nf4", dequantize=dequantize)
        assert "NF4 quantizes none of its layers" in message
        assert 'model.quantization = "none"' in message


def test_a_multimodal_model_is_used_for_text_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = transformers.Gemma3TextConfig(**SIZES, num_key_value_heads=2, head_dim=16)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    vision = {**sizes, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    config = transformers.Gemma3Config(
        text_config=text.to_dict(), vision_config=vision, mm_tokens_per_image=4
    )
    whole: Any = transformers.Gemma3ForConditionalGeneration(config)
    whole.eval()
    ids = torch.tensor([[5, 6, 7]])
    expected = whole(input_ids=ids).logits
    loaded = load(of(tmp_path / "mm", whole), precision="fp32")
    found = loaded.model(input_ids=ids.to(loaded.model.device)).logits.cpu()
    assert torch.allclose(found, expected, atol=1e-6 if loaded.model.device.type == "cpu" else 1e-4)
    assert not [name for name, _ in loaded.model.named_parameters() if "vision" in name]
    assert "used for text alone, without vision_tower, multi_modal_projector" in (
        capsys.readouterr().err
    )


def cut(path: Path) -> None:
    held = path.read_bytes()
    path.write_bytes(held[: len(held) // 2])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda at: cut(at / "model.safetensors"), "model.safetensors is cut off or damaged ("),
        (lambda at: (at / "model.safetensors").write_bytes(b""), "is cut off or damaged ("),
        (
            lambda at: (at / "model.safetensors").rename(at / "pytorch_model.bin"),
            "pytorch_model.bin is cut off or damaged (these are no weights that torch can read)",
        ),
        (lambda at: (at / "model.safetensors").unlink(), "no file named model.safetensors"),
        (lambda at: (at / "config.json").write_text("{"), "config.json' is not a valid JSON file"),
        (lambda at: configure(at, num_attention_heads=0), "ZeroDivisionError"),
        (lambda at: configure(at, hidden_size="big"), "'hidden_size' expected int, got str"),
        (lambda at: cut(at / "tokenizer.json"), "cannot be loaded: "),
    ],
)
def test_a_damaged_file_is_one_sentence(
    model: Path, damage: Callable[[Path], object], told: str
) -> None:
    damage(model)
    message = refused(model)
    assert told in message
    assert "network" not in message


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_pointer_of_git_lfs_is_told(model: Path, file: str) -> None:
    (model / file).write_text(POINTER)
    assert f"{model / file} is only Git LFS's pointer to the file; run git lfs" in refused(model)


@pytest.mark.parametrize("of_tokenizer", [False, True])
def test_the_hint_at_code_of_the_model_is_whole(model: Path, of_tokenizer: bool) -> None:
    if of_tokenizer:
        path = model / "tokenizer_config.json"
        auto = {"tokenizer_class": "X", "auto_map": {"AutoTokenizer": ["code.X", None]}}
        path.write_text(json.dumps(json.loads(path.read_text()) | auto))
    else:
        auto = {"AutoConfig": "code.X", "AutoModelForCausalLM": "code.Y"}
        configure(model, model_type="own", auto_map=auto)
    message = refused(model)
    assert "contains custom code which must be executed to correctly load the model" in message
    assert "Set model.trust_remote_code = true to allow custom code to be run" in message
    assert "hf.co" not in message


def test_a_warning_of_a_library_is_said_and_advice_is_not(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(model, rope_parameters={"rope_type": "default", "rope_theta": 1e4, "fast": 2})
    load(model)
    said = capsys.readouterr().err
    assert said.startswith("model: the libraries warn: ") and "fast" in said
    assert said.count("\n") == 1
    logger = transformers.utils.logging.get_logger("transformers.of_a_test")
    with quiet_transformers():
        logger.warning("`torch_dtype` is deprecated! Use `dtype` instead!")
    assert capsys.readouterr().err == ""


def large(model: Path) -> Path:
    """A model whose activations exceed 65504."""

    def scaled(held: Weights) -> Weights:
        return {key: each * 300 if ".mlp." in key else each for key, each in held.items()}

    change(model, scaled)
    return model


def test_activations_too_large_for_fp16_are_computed_in_fp32(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "_fastest_dtype", lambda device: torch.float16)
    assert load(model).model.dtype == torch.float16
    assert capsys.readouterr().err == ""
    loaded = load(large(model))
    assert loaded.model.dtype == torch.float32
    assert torch.isfinite(
        loaded.model(torch.tensor([[5, 6, 7]], device=loaded.model.device)).logits
    ).all()
    said = capsys.readouterr().err
    assert "its activations exceed what fp16 can hold; it is loaded in fp32" in said
    assert state_for(ModelOptions(name=str(model)))[0].precision == "float32"
    load(model)
    assert capsys.readouterr().err == ""  # it is said once


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_fp16_that_was_asked_for_is_refused(model: Path, quantization: str) -> None:
    message = refused(large(model), precision="fp16", quantization=quantization)
    assert 'set model.precision = "fp32"' in message
    assert load(model, precision="fp32").model.dtype == torch.float32


def test_logits_that_are_no_numbers_in_fp32_either_are_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_fastest_dtype", lambda device: torch.float16)
    change(model, lambda held: {k: w * 1e30 if ".mlp." in k else w for k, w in held.items()})
    assert "its logits are no numbers in fp32, either" in refused(model)
