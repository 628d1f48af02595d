"""The fused parts of a layer give what transformers' own give, forward and backward."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fmtharness.harness.engine.fused_layers import fuse, fuse_mlps, fuse_norms, gated_linear
from fmtharness.harness.engine.lora_linear import group_layers, group_of, groups
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.rounding import agree
from fmtharness.trainers.attention.rotary import turn, turn_back

DTYPES = [torch.float32, torch.bfloat16]


class Gemma(torch.nn.Module):
    """A norm that adds 1 to its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(-0.5, 0.5, 16))
        self.eps = 1e-6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.rms_norm(x, (16,), 1 + self.weight, self.eps)


class GemmaRMSNorm(Gemma):
    """The same by a name that promises a plain norm."""


def llama(dtype: torch.dtype, **options: Any) -> Any:
    """A layer of a tiny model, its weights frozen."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        **options,
    )
    model: Any = LlamaForCausalLM(config)
    return model.to(dtype).requires_grad_(False).model.layers[0]


def compare(before: Any, after: Any, x: torch.Tensor) -> None:
    """Outputs and gradients of two forwards, the first run before the layer was fused."""
    x = x.requires_grad_()
    found = after(x)
    weights = torch.randn_like(found)
    gradients = [torch.autograd.grad((made * weights).sum(), x)[0] for made in (before(x), found)]
    assert agree(found, before(x))
    assert agree(gradients[1], gradients[0])
    assert gradients[0].abs().max() > 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_plain_norms_are_fused(dtype: torch.dtype) -> None:
    norm = llama(dtype, rms_norm_eps=1e-5).input_layernorm
    norm.weight.uniform_(0.5, 2)
    own = norm.forward
    assert fuse_norms(norm, Patches()) == 1
    compare(own, norm, torch.randn(1, 3, 16, dtype=dtype))
    norm.weight.requires_grad_()
    norm(torch.randn(2, 16, dtype=dtype)).sum().backward()
    assert norm.weight.grad is not None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
def test_plain_gated_layers_are_fused(dtype: torch.dtype, bias: bool) -> None:
    mlp = llama(dtype, mlp_bias=bias).mlp
    own = mlp.forward
    assert fuse_mlps(mlp, dtype, Patches()) == 1
    compare(own, mlp, torch.randn(1, 3, 16, dtype=dtype))


def test_fused_layers_round_where_transformers_rounds() -> None:
    """Else the rounding of two trainings has nothing in common, and their losses come apart."""
    layer = llama(torch.bfloat16, rms_norm_eps=1e-5)
    layer.input_layernorm.weight.uniform_(0.5, 2)
    x = torch.randn(1, 64, 16, dtype=torch.bfloat16)
    parts = layer.input_layernorm, layer.mlp
    expected = [part(x) for part in parts]
    assert fuse_norms(parts[0], Patches()) == fuse_mlps(parts[1], x.dtype, Patches()) == 1
    for part, other in zip(parts, expected, strict=True):
        assert identical(part(x), other) > 0.99


def test_turning_rounds_where_transformers_rounds() -> None:
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    x = torch.randn(64, 3, 8, dtype=torch.bfloat16, requires_grad=True)
    angles = torch.rand(1, 64, 4)
    cos, sin = (torch.cat([part, part], -1).bfloat16() for part in (angles.cos(), angles.sin()))
    apply: Any = apply_rotary_pos_emb
    expected = apply(x.transpose(0, 1)[None], x.transpose(0, 1)[None], cos, sin)[0][0]
    weights = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad(expected, x, weights)
    found, back = x.detach().clone(), weights.transpose(0, 1).clone()
    turn(found, cos[0], sin[0])
    turn_back(back, cos[0], sin[0])
    assert identical(found.transpose(0, 1), expected) == 1
    assert identical(back, gradient) == 1


def identical(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The share of numbers that are the same to the last bit."""
    return float((found == expected).float().mean())


def test_other_layers_are_left_alone() -> None:
    norm = GemmaRMSNorm()
    assert fuse_norms(norm, Patches()) == 0
    assert fuse_norms(torch.nn.Sequential(torch.nn.LayerNorm(4)), Patches()) == 0
    for activation in ("gelu", "relu"):
        assert (
            fuse_mlps(llama(torch.float32, hidden_act=activation).mlp, torch.float32, Patches())
            == 0
        )


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_adapters_compute_what_peft_computes(kind: str, dropout: float) -> None:
    """Layers with one input in one product; the second model has biases on three of its layers."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind,
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    lora = LoraConfig(r=4, lora_alpha=12, lora_dropout=dropout, target_modules="all-linear")
    causal: Any = AutoModelForCausalLM
    model: Any = get_peft_model(causal.from_config(config), lora)
    for name, weight in model.named_parameters():
        if name.endswith("bias") or "lora_B" in name:
            torch.nn.init.normal_(weight)
    model.eval()  # so that dropout draws nothing
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    trained = [weight for weight in model.parameters() if weight.requires_grad]

    def outcome() -> tuple[torch.Tensor, ...]:
        logits = model(input_ids=ids).logits
        return logits, *torch.autograd.grad(logits.square().sum(), trained)

    expected = outcome()
    fuse(model, Patches())
    made = groups(model)
    assert sorted(len(group.layers) for group in made) == (
        [1] * 14 if dropout else [1, 1, 1, 1, 2, 2, 3, 3]
    )
    torch.testing.assert_close(outcome(), expected, rtol=1e-4, atol=1e-4)
    for group in made:
        group.settle(torch.float32)
    torch.testing.assert_close(model(input_ids=ids).logits, expected[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_that_keeps_less_computes_the_same(bias: bool) -> None:
    """As on a GPU, where the gate's output is made anew for the gradient."""
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=4, lora_alpha=12, target_modules=["gate_proj", "up_proj", "down_proj"])
    model: Any = get_peft_model(llama(torch.float32, mlp_bias=bias).mlp, lora)
    for name, weight in model.named_parameters():
        if name.endswith("bias") or "lora_B" in name:
            torch.nn.init.normal_(weight)
    layer = model.base_model.model.down_proj
    both = torch.randn(1, 3, 48, requires_grad=True)
    wanted = [both, *(weight for weight in layer.parameters() if weight.requires_grad)]

    def outcome(made: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return made, *torch.autograd.grad(made.square().sum(), wanted)

    gate, up = both.chunk(2, -1)
    expected = outcome(layer(torch.nn.functional.silu(gate) * up))
    group_layers(model, Patches())
    group = group_of([layer])
    assert group is not None
    torch.testing.assert_close(outcome(gated_linear(both, group)), expected, rtol=1e-4, atol=1e-4)
    assert len(wanted) == 3
    assert all(gradient.abs().max() > 0 for gradient in expected)


def test_turning_is_what_transformers_does() -> None:
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    x = torch.randn(5, 3, 8, requires_grad=True)
    angles = torch.rand(1, 5, 4)
    cos, sin = (torch.cat([part, part], -1) for part in (angles.cos(), angles.sin()))
    apply: Any = apply_rotary_pos_emb
    expected = apply(x.transpose(0, 1)[None], x.transpose(0, 1)[None], cos, sin)[0][0]
    weights = torch.randn(3, 5, 8)
    (gradient,) = torch.autograd.grad((expected * weights).sum(), x)
    found, back = x.detach().clone(), weights.transpose(0, 1).clone()
    turn(found, cos[0], sin[0])
    turn_back(back, cos[0], sin[0])
    torch.testing.assert_close(found.transpose(0, 1), expected)
    torch.testing.assert_close(back, gradient)
