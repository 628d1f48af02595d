"""The fused parts of a layer give what transformers' own give, forward and backward."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from harness import rotary
from harness.rms_norm import fuse_norms


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_plain_norms_are_fused(dtype: torch.dtype) -> None:
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    norm: Any = LlamaRMSNorm(16, eps=1e-5).to(dtype)
    norm.weight.data.uniform_(0.5, 2)
    x = torch.randn(3, 16, dtype=dtype, requires_grad=True)
    expected = norm(x)
    (gradient,) = torch.autograd.grad(expected.sum(), x)
    assert fuse_norms(norm) == 1
    found = norm(x)
    near = 0.02 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found, expected, rtol=near, atol=near)
    (again,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(again, gradient, rtol=near, atol=near)


def test_other_norms_are_left_alone() -> None:
    norm = GemmaRMSNorm()
    assert fuse_norms(norm) == 0
    assert fuse_norms(torch.nn.Sequential(torch.nn.LayerNorm(4))) == 0


def test_rotary_embeddings_are_fused_where_they_are_the_plain_ones() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.models.glm import modeling_glm  # turns a part of each head, in pairs
    from transformers.models.llama import modeling_llama

    own = getattr(modeling_llama, "apply_rotary_pos_emb")  # noqa: B009
    config = LlamaConfig(hidden_size=16, num_attention_heads=2, num_hidden_layers=1, vocab_size=8)
    model = LlamaForCausalLM(config)
    rotary.fuse_rotary(model)
    fused: Any = modeling_llama.apply_rotary_pos_emb
    assert rotary.fuse_rotary(model) == 0, "once is enough"
    plain = own if own is not fused else _plain
    q, k = (torch.randn(1, heads, 5, 8, requires_grad=True) for heads in (4, 2))
    angles = torch.rand(1, 5, 4)
    cos, sin = (torch.cat([part, part], -1) for part in (angles.cos(), angles.sin()))
    expected, found = plain(q, k, cos, sin), fused(q, k, cos, sin)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(1, 4, 5, 8)
    for turned in (expected, found):
        turned[0].backward(weights, retain_graph=True)
    assert q.grad is not None
    (alone,) = torch.autograd.grad((expected[0] * weights).sum(), q)
    torch.testing.assert_close(q.grad, 2 * alone)
    assert not rotary._is_plain(modeling_glm.apply_rotary_pos_emb)
    assert sys.modules["transformers.models.llama.modeling_llama"] is modeling_llama


def _plain(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> Any:
    """The formula as the paper has it, for where an earlier test has fused the module's own."""

    def turned(x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, -1)
        return x * cos[:, None] + torch.cat([-second, first], -1) * sin[:, None]

    return turned(q), turned(k)
