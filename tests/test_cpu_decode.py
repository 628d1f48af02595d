"""fp32 kernels of a CPU's decode steps: right for all sizes, and a row's result is its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fmtharness.harness.engine.kernels import cpu_decode, decode_choice
from fmtharness.harness.engine.kernels.choice import kernels
from fmtharness.harness.engine.kernels.cpu import compiler, library
from fmtharness.harness.engine.kernels.decode_choice import (
    are_right,
    decode_kernel,
    decode_tools,
    fills_right,
    is_right,
)

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler here")


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.manual_seed(sum(shape)))


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing built yet, and nothing tried."""
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path))
    every: Any = library, cpu_decode._function, decode_choice._on_cpu, decode_choice._tried_on_cpu
    for cached in every:
        cached.cache_clear()
    yield tmp_path
    for cached in every:
        cached.cache_clear()


@needs_compiler
def test_they_are_right_and_used() -> None:
    assert are_right(cpu_decode)
    assert decode_tools(CPU, torch.float32) is cpu_decode
    assert decode_tools(CPU, torch.bfloat16) is None
    for heads in (9, 3, 64), (4, 2, 8), (2, 2, 80), (8, 1, 128), (3, 1, 6):
        assert is_right(cpu_decode.attend, CPU, torch.float32, *heads)
        assert fills_right(cpu_decode.attend, *heads)
        assert decode_kernel(CPU, torch.float32, *heads) is cpu_decode.attend
        assert decode_kernel(CPU, torch.bfloat16, *heads) is None
    assert decode_kernel(CPU, torch.float32, 4, 2, 7) is None


@needs_compiler
def test_what_is_wrong_is_not_right() -> None:
    """The examples tell a mistake in any of the kernels."""

    def less(x: torch.Tensor, weight: torch.Tensor, *more: Any) -> torch.Tensor:
        made = cpu_decode.product(x, weight, *more)
        made[-1, -1] = 0  # as an edge that is left out
        return made

    def unscaled(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        return cpu_decode.norm(x, torch.ones_like(weight), epsilon)

    def halves(both: torch.Tensor) -> torch.Tensor:
        return cpu_decode.gate(both.roll(both.shape[1] // 2, 1))

    own = {name: getattr(cpu_decode, name) for name in ("product", "norm", "gate")}
    for name, wrong in ("product", less), ("norm", unscaled), ("gate", halves):
        assert not are_right(SimpleNamespace(**{**own, name: wrong}))

    def uncopied(*given: Any, **more: Any) -> torch.Tensor:
        return cpu_decode.attend(*given, **{**more, "copies": ()})

    def late(*given: Any, **more: Any) -> torch.Tensor:
        kernel: Any = cpu_decode.attend
        made: torch.Tensor = kernel(*given[:5], given[5].clamp(max=50), **more)
        return made

    assert not fills_right(uncopied, 9, 3, 64)
    assert not is_right(late, CPU, torch.float32, 9, 3, 64)


@needs_compiler
def test_a_rows_result_does_not_depend_on_rows_and_threads() -> None:
    x, weight = drawn(200, 900), drawn(70, 900)
    cos, sin = drawn(200, 16), drawn(201, 16)[:200]
    keys, values, at = drawn(200, 2, 64, 16), drawn(201, 2, 64, 16)[:200], torch.arange(200) % 64

    def computed(rows: slice) -> list[torch.Tensor]:
        projected = drawn(200, (4 + 2 * 2) * 16)[rows]
        held = keys[rows].clone(), values[rows].clone()
        attended = cpu_decode.attend(
            projected, cos[rows], sin[rows], *held, at[rows], queries=4, scale=0.25
        )
        both = cpu_decode.product(x[rows], weight)
        return [attended, both, cpu_decode.gate(both), cpu_decode.norm(both, weight[0, :70], 0.1)]

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole = computed(slice(0, 200))
        torch.set_num_threads(3)
        for rows in slice(0, 200), slice(17, 18), slice(5, 52):
            for found, expected in zip(computed(rows), whole, strict=True):
                assert torch.equal(found, expected[rows])
    finally:
        torch.set_num_threads(before)


@needs_compiler
def test_what_is_no_number_stays_none() -> None:
    for bad in torch.nan, torch.inf:
        x, both = drawn(3, 40), drawn(3, 80)
        x[1, 7] = both[1, 49] = bad
        made = cpu_decode.product(x, drawn(9, 40)), cpu_decode.gate(both)
        normed = cpu_decode.norm(x, drawn(40), 1e-5)
        assert normed.isnan().any(1).tolist() == [False, True, False]
        for each in made:
            assert each.isfinite().all(1).tolist() == [True, False, True]
        keys, values, at = (
            torch.zeros(3, 1, 64, 8),
            torch.zeros(3, 1, 64, 8),
            torch.tensor([0, 5, 9]),
        )
        values[1, 0, 3] = keys[2, 0, 9] = bad
        projected, turns = drawn(3, 24), drawn(3, 8)
        found = cpu_decode.attend(projected, turns, turns, keys, values, at, queries=1, scale=1.0)
        assert found.isfinite().all(1).tolist() == [True, False, True]  # row 2's key is overwritten


@needs_compiler
def test_both_libraries_of_kernels_are_loaded_side_by_side(fresh: Path) -> None:
    assert decode_choice._on_cpu() is cpu_decode
    assert kernels(torch.zeros(1, dtype=torch.bfloat16)) is not None
    assert are_right(cpu_decode)
    assert any(path.name.startswith("cpu_decode-") for path in (fresh / "kernels").iterdir())


@needs_compiler
def test_a_compiler_that_fails_is_one_sentence(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cpu_decode, "OPTION", "--no-such-option")
    for _ in range(2):
        assert decode_tools(CPU, torch.float32) is None
        assert decode_kernel(CPU, torch.float32, 9, 3, 64) is None
    said = capsys.readouterr().err
    assert said.startswith("generate: the C compiler cannot build kernels here (")
    assert said.count("\n") == 1


def test_no_compiler_is_no_matter(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(fresh))
    assert decode_tools(CPU, torch.float32) is None
    assert decode_kernel(CPU, torch.float32, 9, 3, 64) is None
    assert capsys.readouterr().err == ""
