"""Slots on a CPU compute what is in use, put the weights back and show what they write."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from fmtharness.harness.engine import cpu_slots, generation
from fmtharness.harness.engine.cpu_slots import CpuSlots
from fmtharness.harness.engine.encoding import Generated
from fmtharness.harness.engine.fused_layers import fuse
from fmtharness.harness.engine.generation import generate
from fmtharness.harness.engine.kernels import decode_choice
from fmtharness.harness.engine.kernels.cpu import compiler
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.token_count import TokenCount
from fmtharness.harness.progress import progress
from fmtharness.trainers.step.adapter import AdapterWeights
from tests.test_generation import PROMPTS, SIZES, common_stop, one_by_one

OPTIONS: dict[str, Any] = {"pad_id": 0, "max_new_tokens": 12}


@pytest.fixture(autouse=True)
def _nothing_tried_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmtharness.harness.engine.slots._unfit", WeakSet())


@pytest.fixture
def model() -> Any:
    torch.manual_seed(3)
    made: Any = LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2))
    return made.eval()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The rows and columns of each decode step but the two of the check."""
    seen: list[tuple[int, int]] = []
    in_use = CpuSlots._in_use

    def watched(self: CpuSlots) -> tuple[int, int]:
        seen.append(in_use(self))
        return seen[-1]

    monkeypatch.setattr(CpuSlots, "_in_use", watched)
    return seen


def written(model: Any, stop: int, batch_size: int, **more: Any) -> list[Generated]:
    return sorted(
        generate(model, PROMPTS, stop_ids={stop}, batch_size=batch_size, **OPTIONS, **more)
    )


def test_a_step_computes_the_rows_and_columns_in_use(
    model: Any, steps: list[tuple[int, int]]
) -> None:
    stop = common_stop(model)
    expected = [one_by_one(model, prompt, stop, 12) for prompt in PROMPTS]
    found = written(model, stop, 5)
    assert [(each.ids, each.finish_reason) for each in found] == expected
    decoded = steps[3:]  # the check computes its rows three times
    lengths = [len(ids) + (reason == "stop") for ids, reason in expected]
    assert [rows for rows, _ in decoded] == [
        sum(length > step for length in lengths) for step in range(max(lengths))
    ]
    assert decoded[0][1] == max(map(len, PROMPTS))
    assert decoded[-1][1] < 20 < 64  # of the 64 that a slot has


def test_a_free_slot_is_refilled_at_once(model: Any, steps: list[tuple[int, int]]) -> None:
    stop = common_stop(model)
    expected = [one_by_one(model, prompt, stop, 12) for prompt in PROMPTS]
    found = written(model, stop, 2)
    assert [(each.ids, each.finish_reason) for each in found] == expected
    lengths = [len(ids) + (reason == "stop") for ids, reason in expected]
    assert sum(rows for rows, _ in steps[3:]) == sum(lengths)


def test_memory_bounds_the_slots(
    model: Any, steps: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = written(model, -1, 5)
    steps.clear()
    row = 2 * 2 * 2 * 8 * 4 * 64  # layers, keys and values, KV heads, size, bytes, columns
    memory = SimpleNamespace(available=cpu_slots.MEMORY_SHARE * (3 * row + row // 2))
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    assert written(model, -1, 5) == expected
    assert max(rows for rows, _ in steps) == 3
    memory.available = 0  # two rows are always there, since the check needs them
    assert written(model, -1, 5) == expected


def test_an_adapters_layers_write_the_same(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    adapted: Any = get_peft_model(model, LoraConfig(r=2, target_modules=names)).eval()
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    expected = [one_by_one(adapted, prompt, -1, 12)[0] for prompt in PROMPTS]
    with Patches() as patches:
        fuse(adapted, patches)
        monkeypatch.delattr(generation, "_decode")
        assert [each.ids for each in written(adapted, -1, 3)] == expected
        expected = [one_by_one(adapted, prompt, -1, 12)[0] for prompt in SHARING]
        found = sorted(generate(adapted, SHARING, stop_ids={-1}, batch_size=3, **OPTIONS))
        assert [each.ids for each in found] == expected


def test_without_kernels_slots_write_the_same(
    model: Any, filled: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_choice, "_on_cpu", lambda: None)
    monkeypatch.delattr(generation, "_decode")
    expected = [one_by_one(model, prompt, -1, 12)[0] for prompt in PROMPTS]
    assert [each.ids for each in written(model, -1, 3)] == expected
    assert not filled


def test_a_prefill_computes_no_logits(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    head, rows = model.lm_head.forward, list[int]()

    def watched(x: torch.Tensor) -> Any:
        rows.append(x.shape[1])
        return head(x)

    monkeypatch.setattr(model.lm_head, "forward", watched)
    with torch.inference_mode():
        slots = CpuSlots(model, 2, 20)
        slots.enter({0: PROMPTS[0], 1: PROMPTS[3]})
        assert not rows
        slots.step()
    assert rows == [1]


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The number of tokens and of copies in each pass of a prefill."""
    seen: list[tuple[int, int]] = []
    fill = CpuSlots._fill

    def watched(self: CpuSlots, tokens: Any, copies: Any) -> None:
        seen.append((len(tokens), len(copies)))
        fill(self, tokens, copies)

    monkeypatch.setattr(CpuSlots, "_fill", watched)
    return seen


SHARING = [
    [9, 8, 7, 6, 5, 4, 3, 2, 1],
    [9, 8, 7, 6, 5, 14, 13],
    [9, 8, 7, 6, 5, 14, 13],
    [9, 8, 7, 6],
    [1],
    [20, 9, 8],
    [9, 8, 7, 6, 5, 4, 3, 30],
]


@pytest.mark.skipif(compiler() is None, reason="no C compiler here")
@pytest.mark.parametrize("slots", [2, 3, 7])
@pytest.mark.parametrize("tokens", [2, 5, 256])
def test_prompts_that_share_a_beginning_write_what_they_write_alone(
    model: Any,
    filled: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
    slots: int,
    tokens: int,
) -> None:
    monkeypatch.setattr(cpu_slots, "PASS", tokens)
    stop = common_stop(model)
    expected = [one_by_one(model, prompt, stop, 12) for prompt in SHARING]
    found = sorted(generate(model, SHARING, stop_ids={stop}, batch_size=slots, **OPTIONS))
    assert [(each.ids, each.finish_reason) for each in found] == expected
    assert max(count for count, _ in filled) <= tokens
    if slots == 7:
        trial, alone, shared = 2, 8 + 2, 4  # of the four that share, all but one token is copied
        assert sum(count for count, _ in filled) == trial + alone + shared
        assert sum(copies for _, copies in filled) == 4


@pytest.mark.skipif(compiler() is None, reason="no C compiler here")
def test_a_slot_that_was_entered_anew_is_no_source_of_what_it_held(
    model: Any, filled: list[tuple[int, int]]
) -> None:
    first, second = [3, 4, 5, 6, 7, 8], [30, 31, 32, 33, 34, 35]
    with torch.inference_mode(), Patches() as patches:
        CpuSlots.prepare(model, patches)
        slots = CpuSlots(model, 2, 20)
        slots.enter({0: first})
        slots.enter({0: second})
        slots.enter({1: first})
        assert [copies for _, copies in filled] == [0, 0, 0]
        slots.enter({0: first})
        assert filled[-1] == (1, 1)
        slots.step()
        held = [cached[slot, :, :6] for slot in (0, 1) for both in slots._layers for cached in both]
    for found, expected in zip(held[:4], held[4:], strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("in_slots", [True, False])
def test_tokens_are_counted_as_they_are_chosen(
    model: Any, monkeypatch: pytest.MonkeyPatch, in_slots: bool
) -> None:
    if not in_slots:
        monkeypatch.setattr(generation, "fits_slots", lambda model: False)
    counts: list[int] = []
    writing = generate(
        model, PROMPTS[:2], stop_ids={-1}, batch_size=2, count=counts.append, **OPTIONS
    )
    next(writing)
    assert counts == [2] * 12


def test_progress_shows_tokens_before_the_first_completion(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    with progress(40, "generate", unit="completion") as bar:
        tokens = TokenCount(bar)
        for _ in range(30):
            tokens.add(40)
            clock.now += 0.5
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "generate: 0/40 completions, 0/s, ETA ?, tokens 120, tokens/s 120",
        "generate: 0/40 completions, 0/s, ETA ?, tokens 920, tokens/s 83.6",
    ]


def test_a_model_in_training_computes_as_before(model: Any) -> None:
    """Bit for bit: a resumed training has had fewer evaluations."""
    ids = torch.tensor([PROMPTS[3]])
    before = copy.deepcopy(model)(input_ids=ids).logits
    written(model, -1, 3)
    assert torch.equal(model(input_ids=ids).logits, before)


def test_an_adapter_in_training_stays_one_vector(model: Any) -> None:
    with Patches() as patches:
        tuned: Any = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
        fuse(tuned, patches)
        weights = AdapterWeights(tuned)
        written(tuned, -1, 3)
        weights.vector.fill_(0.5)
        assert all(bool((each == 0.5).all()) for each in weights.parameters)
