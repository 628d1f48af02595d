"""Query heads that share a key attend as they do with a copy of it each; no kernel needs a plan."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fmtharness.harness.engine import decode_attention
from fmtharness.harness.engine.patching import Patches

MODULE: Any = SimpleNamespace(num_key_value_groups=3, is_causal=True)
SEEN = torch.tensor([[1, 1, 1, 1, 0, 0, 0, 0], [1] * 8, [1] + [0] * 7]).bool()[:, None, None]


def drawn(heads: int, tokens: int, size: int = 4) -> torch.Tensor:
    return torch.randn(3, heads, tokens, size, generator=torch.Generator().manual_seed(heads))


def masks() -> dict[str, torch.Tensor | None]:
    added = torch.zeros(SEEN.shape).masked_fill(~SEEN, torch.finfo(torch.float32).min)
    of_heads = torch.randn(3, 6, 1, 8, generator=torch.Generator().manual_seed(0))
    return {"true or false": SEEN, "added": added, "by head": of_heads, "none": None}


@pytest.mark.parametrize("mask", masks())
@pytest.mark.parametrize("tokens", [1, 2])
@pytest.mark.parametrize("size", [4, 2], ids=["alike", "narrow values"])
def test_as_with_copies(mask: str, tokens: int, size: int) -> None:
    given = drawn(6, tokens), drawn(2, 8), drawn(2, 8, size), masks()[mask]
    query, (key, value) = given[0], (x.repeat_interleave(3, 1) for x in given[1:3])
    scores = 0.3 * query @ key.mT
    seen = masks()[mask]
    if seen is None:
        scores += torch.full((tokens, 8), -torch.inf).triu(1) if tokens > 1 else 0
    else:
        scores += seen.float().log() if seen.dtype == torch.bool else seen
    expected = (scores.softmax(-1) @ value).transpose(1, 2)
    found = decode_attention.attend(MODULE, *given, scaling=0.3)[0]
    torch.testing.assert_close(found, expected)


def test_one_token_needs_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("transformers.integrations.sdpa_attention.sdpa_attention_forward")
    attend = partial(decode_attention.attend, MODULE, scaling=0.3)
    found = attend(drawn(6, 1), drawn(2, 8), drawn(2, 8), SEEN)[0]
    assert found.shape == (3, 1, 6, 4)
    with pytest.raises(ImportError):
        attend(drawn(6, 2), drawn(2, 8), drawn(2, 8), SEEN)


def test_a_way_that_was_chosen_stays() -> None:
    sizes: dict[str, Any] = {
        "vocab_size": 8,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
    }
    config = LlamaConfig(**sizes, num_attention_heads=2)
    model: Any = LlamaForCausalLM(config)
    model.set_attn_implementation("eager")
    decode_attention.use(model, Patches())
    assert model.config._attn_implementation == "eager"
    model.set_attn_implementation("sdpa")
    decode_attention.use(model, Patches())
    assert model.config._attn_implementation == decode_attention.NAME
    assert model(torch.tensor([[1, 2, 3]])).logits.shape == (1, 3, 8)
