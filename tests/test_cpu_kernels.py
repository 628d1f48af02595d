"""Kernels in C for a CPU: built once, right, rounded as torch does, and gone without a compiler."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import silu

from fmtharness.harness.engine.kernels import choice
from fmtharness.harness.engine.kernels import cpu as cpu_kernels
from fmtharness.harness.engine.kernels.choice import (
    are_right,
    gradients_are_right,
    kernels,
    training_kernels,
)
from tests import test_kernels as by_torch

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(cpu_kernels.compiler() is None, reason="no C compiler here")


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.manual_seed(sum(shape))).bfloat16()


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing built yet, and nothing tried."""
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path))
    for cached in (choice._compiled, cpu_kernels.library):
        cached.cache_clear()
    yield tmp_path
    for cached in (choice._compiled, cpu_kernels.library):
        cached.cache_clear()


@needs_compiler
def test_they_are_right_and_used() -> None:
    assert are_right(cpu_kernels, CPU, torch.bfloat16)
    assert gradients_are_right(cpu_kernels, CPU, torch.bfloat16)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert kernels(drawn(2)) is training_kernels(drawn(2)) is cpu_kernels
        torch.set_num_threads(choice.FEW + 1)  # so many are faster together
        assert kernels(drawn(2)) is None
    finally:
        torch.set_num_threads(before)
    assert kernels(torch.zeros(1)) is None


@needs_compiler
def test_they_round_where_torch_rounds() -> None:
    x, weight, come, both = drawn(40, 576), drawn(576), drawn(40, 576), drawn(40, 1152)
    made, inverse = cpu_kernels.norm(x, weight, 1e-5)
    expected, _ = by_torch.norm(x, weight, 1e-5)
    pairs = [(made, expected)]
    back = cpu_kernels.norm_back(x, weight, inverse, come)
    pairs.append((back, by_torch.norm_back(x, weight, inverse, come)))
    opened, up = both.chunk(2, -1)
    by_both, gated = cpu_kernels.gate_back(both, come)
    pairs += [(cpu_kernels.gate(both), silu(opened) * up), (gated, silu(opened) * up)]
    pairs.append((by_both, by_torch.gate_back(both, come)[0]))
    for back_too in (False, True):
        turned, other = drawn(40, 15, 64), drawn(40, 15, 64)
        cos, sin = drawn(40, 64), drawn(41, 64)[:40]
        cpu_kernels.turn(turned[:, :12], turned[:, :12], cos, sin, back=back_too)
        expected = other[:, :12].contiguous()
        by_torch.turn(expected, expected, cos, sin, back=back_too)
        assert torch.equal(turned[:, 12:], other[:, 12:])
        pairs.append((turned[:, :12], expected))
    assert [bool((own == other).float().mean() > 0.99) for own, other in pairs] == [True] * 7


@needs_compiler
def test_what_is_no_number_stays_none() -> None:
    """Else a training that diverges would go on."""
    for bad in (torch.nan, torch.inf, -torch.nan):
        x, both, logits = drawn(3, 40), drawn(3, 80), drawn(3, 70)
        x[1, 7] = both[1, 9] = both[1, 49] = logits[1, 5] = bad
        assert cpu_kernels.norm(x, drawn(40), 1e-5)[0].isnan().any(1).tolist() == [0, 1, 0]
        wrong = ~cpu_kernels.gate(both).isfinite()
        assert wrong.any(1).tolist() == [False, True, False]
        losses = cpu_kernels.loss_rows(logits, torch.tensor([1, 2, 3]))
        assert losses.isfinite().tolist() == [True, False, True]
        assert logits.isfinite().all(1).tolist() == [True, False, True]


@needs_compiler
@pytest.mark.parametrize("far", [0.0, 60.0, 3000.0])
def test_losses_of_sure_and_of_wrong_answers(far: float) -> None:
    logits = drawn(4, 300)
    logits[:, 9] += far
    labels = torch.tensor([9, 8, -100, 0])
    expected = logits.clone()
    losses = by_torch.loss_rows(expected, labels)
    assert torch.allclose(cpu_kernels.loss_rows(logits, labels), losses, rtol=1e-5, atol=1e-5)
    assert torch.allclose(logits.float(), expected.float(), rtol=0.01, atol=1e-6)


@needs_compiler
def test_they_are_built_once(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choice._compiled() is cpu_kernels
    built = [path.name for path in (fresh / "kernels").iterdir()]
    assert len(built) == 1
    for cached in (choice._compiled, cpu_kernels.library):
        cached.cache_clear()
    run = subprocess.run

    def only_asked(command: list[str], **options: Any) -> Any:
        assert command[1:] == ["--version"]
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", only_asked)
    assert choice._compiled() is cpu_kernels


@needs_compiler
def test_a_compiler_that_fails_is_one_sentence(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cpu_kernels, "OPTIONS", ("--no-such-option",))
    assert choice._compiled() is None
    said = capsys.readouterr().err
    assert said.startswith("model: the C compiler cannot build kernels here (")
    assert said.count("\n") == 1
    assert list((fresh / "kernels").iterdir()) == []


def test_no_compiler_is_no_matter(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(fresh))
    assert choice._compiled() is None
    assert capsys.readouterr().err == ""
