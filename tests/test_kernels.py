"""Kernels are used where they give what torch gives; the proof needs no GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, silu

from fmtharness.harness.engine.kernels.choice import (
    _tried,
    are_right,
    gradients_are_right,
    kernels,
    training_kernels,
)
from fmtharness.trainers.attention import rotary
from fmtharness.trainers.step.loss_log import Reading

CPU = torch.device("cpu")


def gate(both: torch.Tensor) -> torch.Tensor:
    opened, up = both.chunk(2, -1)
    return silu(opened) * up


def gate_back(both: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.enable_grad():
        leaf = both.clone().requires_grad_()
        made = gate(leaf)
        (found,) = torch.autograd.grad(made, leaf, gradient)
    return found, made.detach()


def norm(
    x: torch.Tensor, weight: torch.Tensor, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    inverse = (x.float().square().mean(-1) + epsilon).rsqrt()
    return weight * (x.float() * inverse[:, None]).to(x.dtype), inverse


def norm_back(
    x: torch.Tensor, weight: torch.Tensor, inverse: torch.Tensor, gradient: torch.Tensor
) -> torch.Tensor:
    normed = x.float() * inverse[:, None]
    come = (gradient * weight).float()
    along = (come * normed).mean(-1, keepdim=True)
    return ((come - along * normed) * inverse[:, None]).to(x.dtype)


def turn(
    source: torch.Tensor,
    target: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    *,
    back: bool = False,
) -> None:
    made = source.clone()
    (rotary.turn_back if back else rotary.turn)(made, cos, sin)
    target.copy_(made)


def loss_rows(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        leaf = logits.to(torch.float32, copy=True).requires_grad_()
        losses = cross_entropy(leaf, labels, reduction="none")
        (found,) = torch.autograd.grad(losses.sum(), leaf)
    logits.copy_(found)
    return losses.detach()


RIGHT: dict[str, Any] = {
    "gate": gate,
    "gate_back": gate_back,
    "norm": norm,
    "norm_back": norm_back,
    "turn": turn,
    "loss_rows": loss_rows,
}
WRONG: dict[str, Any] = {
    "gate": lambda both: gate(both) * 1.1,
    "gate_back": lambda both, gradient: gate_back(both, gradient * 1.1),
    "norm": lambda x, weight, epsilon: norm(x, weight, epsilon / 2),
    "norm_back": lambda x, weight, inverse, gradient: inverse[:, None] * gradient * weight,
    "turn": lambda *given, back=False: turn(*given, back=not back),
    "loss_rows": lambda logits, labels: loss_rows(logits, labels.clamp(min=0)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_right_kernels_are_found_right(dtype: torch.dtype) -> None:
    for check in (are_right, gradients_are_right):
        assert check(SimpleNamespace(**RIGHT), CPU, dtype)
        with torch.inference_mode():  # where generation is the first to ask
            assert check(SimpleNamespace(**RIGHT), CPU, dtype)


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_kernel_is_found(name: str) -> None:
    wrong = SimpleNamespace(**RIGHT | {name: WRONG[name]})
    checks = are_right(wrong, CPU, torch.float32), gradients_are_right(wrong, CPU, torch.float32)
    assert not all(checks)
    assert checks[0] == (name in ("gate_back", "norm_back", "loss_rows"))


def test_no_kernels_for_fp32_on_a_cpu() -> None:
    assert kernels(torch.zeros(1)) is training_kernels(torch.zeros(1)) is None


def test_a_triton_that_cannot_build_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setitem(__import__("sys").modules, "triton", None)
    assert _tried(CPU, torch.bfloat16) is None
    said = capsys.readouterr().err
    assert said.startswith("model: Triton cannot build its kernels here (")
    assert said.count("\n") == 1


def test_a_reading_is_of_its_moment() -> None:
    loss, norm = torch.tensor(1.5), torch.tensor(2.0, dtype=torch.bfloat16)
    reading = Reading(loss, norm)
    loss.zero_()
    norm.zero_()
    assert reading() == [1.5, 2.0]
