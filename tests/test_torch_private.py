"""What torch does not document, and what is done where it is gone."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import torch

from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine import models, torch_private
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from tests.tiny import tiny_model


@pytest.mark.parametrize("gone", [False, True])
def test_the_gradient_of_a_softmax(gone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.manual_seed(0)
    scores = torch.randn(3, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    softmax, come = scores.softmax(-1), torch.randn(3, 5, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad(softmax, scores, come)
    if gone:
        monkeypatch.setattr(torch, "ops", SimpleNamespace(aten=SimpleNamespace()))
    found = torch_private.softmax_back(come, softmax.detach())
    torch.testing.assert_close(found, expected)


def test_without_the_kernels_there_is_no_flash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    assert torch_private.has_flash()
    monkeypatch.setattr(torch, "ops", SimpleNamespace(aten=SimpleNamespace()))
    assert not torch_private.has_flash()


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        ({"get_capabilities": lambda: MappingProxyType({"avx512_bf16": True})}, True),
        ({"get_capabilities": lambda: MappingProxyType({"bf16": True})}, True),
        ({"get_capabilities": lambda: MappingProxyType({"avx512_f": True, "bf16": False})}, False),
        ({"_is_avx512_bf16_supported": lambda: True}, True),
        ({"_is_amx_tile_supported": lambda: False}, False),
        ({}, False),
    ],
)
def test_a_cpu_that_multiplies_bf16(
    cpu: dict[str, Any], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "cpu", SimpleNamespace(**cpu))
    assert torch_private.cpu_has_bf16() is expected


@pytest.mark.parametrize("has_bf16", [True, False])
def test_a_model_computes_in_what_its_cpu_multiplies(
    has_bf16: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "cpu_has_bf16", lambda: has_bf16)
    name = str(tiny_model(tmp_path / "tiny"))
    for quantization in ("none", "nf4"):
        options = ModelOptions.model_validate(
            {"name": name, "device": "cpu", "quantization": quantization}
        )
        model = load_model(options, Patches()).model
        dtypes = {weight.dtype for weight in model.parameters()}
        assert dtypes == {torch.bfloat16 if has_bf16 else torch.float32}
