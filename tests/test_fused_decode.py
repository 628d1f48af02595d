"""A decode step of few kernels writes what the model's own layers write; the proof needs no GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from fmtharness.harness.engine import fused_decode, generation
from fmtharness.harness.engine.fused_decode import fuse_steps, has_fused_steps
from fmtharness.harness.engine.fused_layers import fuse, fuse_norms
from fmtharness.harness.engine.generation import generate
from fmtharness.harness.engine.kernels.decode_choice import plain
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.slot_rows import SlotRows
from fmtharness.harness.engine.slots import Slots, decode_in_slots, slots_for
from tests.test_generation import PROMPTS, SIZES, common_stop, one_by_one

NAMES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
INTERPRETED = """
import torch
from fmtharness.harness.engine.kernels import decode
from fmtharness.harness.engine.kernels.decode_choice import is_right
for dtype, heads in (torch.float32, (9, 3, 64)), (torch.float16, (2, 2, 80)):
    print(is_right(decode.attend, torch.device("cpu"), dtype, *heads))
"""


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmtharness.harness.engine.slots._unfit", WeakSet())
    monkeypatch.setattr("fmtharness.harness.engine.slots.on_gpu", lambda model: True)
    monkeypatch.setattr(fused_decode, "decode_kernel", lambda *_: plain)


def llama() -> Any:
    torch.manual_seed(3)
    made: Any = LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2))
    return made.eval()


def with_biases() -> Any:
    torch.manual_seed(3)
    made: Any = Qwen2ForCausalLM(Qwen2Config(**SIZES, num_key_value_heads=2))
    for name, weight in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    return made.eval()


def adapted(names: list[str] = NAMES) -> Any:
    made: Any = get_peft_model(llama(), LoraConfig(r=2, target_modules=names)).eval()
    for name, weight in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    fuse(made, Patches())
    return made


def partly_adapted() -> Any:
    return adapted(["q_proj", "v_proj"])


@pytest.mark.parametrize("made", [llama, with_biases, adapted, partly_adapted])
def test_fused_steps_write_what_single_rows_write(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, kernels = made(), list[int]()
    stop = common_stop(model)
    expected = [one_by_one(model, prompt, stop, 12) for prompt in PROMPTS]
    monkeypatch.delattr(generation, "_decode")

    def watched(*given: Any, **more: Any) -> Any:
        kernels.append(len(given[0]))
        return plain(*given, **more)

    monkeypatch.setattr(fused_decode, "decode_kernel", lambda *_: watched)
    found = sorted(
        generate(model, PROMPTS, stop_ids={stop}, pad_id=0, max_new_tokens=12, batch_size=3)
    )
    assert [(each.ids, each.finish_reason) for each in found] == expected
    assert kernels.count(3) > 20  # both layers of at least ten steps
    assert not has_fused_steps(model)


def test_layers_that_compute_something_else_stay() -> None:
    torch.manual_seed(3)
    scaled: Any = GraniteForCausalLM(GraniteConfig(**SIZES, residual_multiplier=0.5))
    scaled.eval()
    unscaled = llama()
    with Patches() as patches, torch.inference_mode():
        fuse_norms(scaled, patches)
        assert not fuse_steps(scaled, patches)
        assert not has_fused_steps(scaled)
        assert fuse_steps(unscaled, patches)


def test_weights_side_by_side_are_no_second_copy_and_can_be_trained() -> None:
    model = llama()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    kept = sum(weight.nbytes for weight in model.parameters())
    for _ in range(2):
        with Patches() as patches, torch.inference_mode():
            fuse_steps(model, patches)
        attention = model.model.layers[0].self_attn
        query, key = attention.q_proj.weight, attention.k_proj.weight
        assert key.data_ptr() == query.data_ptr() + query.nbytes
    storages = {w.untyped_storage().data_ptr(): w.untyped_storage() for w in model.parameters()}
    assert sum(storage.nbytes() for storage in storages.values()) == kept
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name])
    model(input_ids=torch.tensor([PROMPTS[0]])).logits.sum().backward()


def test_weights_that_a_trainings_graphs_hold_stay_where_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fused_decode, "is_lent", lambda: True)
    model = llama()
    before = [weight.data_ptr() for weight in model.parameters()]
    with Patches() as patches, torch.inference_mode():
        assert fuse_steps(model, patches)
    assert [weight.data_ptr() for weight in model.parameters()] == before


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_step_ahead_of_its_tokens_changes_nothing_that_is_written(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = list[int]()

    class Ahead(Slots):
        runs_ahead = True

        def launch(self) -> Any:
            launched.append(len(launched))
            self._advance()
            tokens = self._chosen[:, 0].clone().numpy()
            return SimpleNamespace(read=lambda: tokens)

    model, waiting = llama(), sorted(range(len(PROMPTS)), key=lambda i: -len(PROMPTS[i]))
    stop = common_stop(model)
    expected = [one_by_one(model, prompt, stop, 12) for prompt in PROMPTS]
    counted = list[int]()
    with torch.inference_mode(), Patches() as patches:
        slots = slots_for(model, patches, PROMPTS, waiting, count=count, length=20, kind=Ahead)
        assert slots
        budgets = dict.fromkeys(waiting, 12)
        found = sorted(decode_in_slots(slots, PROMPTS, waiting, budgets, {stop}, counted.append))
    assert [(each.ids, each.finish_reason) for each in found] == expected
    assert sum(counted) == sum(len(ids) + (reason == "stop") for ids, reason in expected)
    assert len(launched) <= len(counted) + 1


def test_a_model_that_fused_steps_do_not_fit_decodes_in_slots_without_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = llama()
    expected = [one_by_one(model, prompt, -1, 12)[0] for prompt in PROMPTS]
    monkeypatch.delattr(generation, "_decode")

    def failing(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of registers")

    monkeypatch.setattr(fused_decode, "_agrees", lambda *_: True)
    monkeypatch.setattr(fused_decode, "decode_kernel", lambda *_: failing)
    for _ in range(2):
        found = sorted(
            generate(model, PROMPTS, stop_ids={-1}, pad_id=0, max_new_tokens=12, batch_size=3)
        )
        assert [each.ids for each in found] == expected
    assert capsys.readouterr().err.count("more kernels a step (out of registers)") == 1


def test_prefills_are_shorter_where_memory_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, prefill = list[int](), Slots._prefill

    def bounded(self: Slots, prompts: Any, width: int) -> None:
        sizes.append(len(prompts))
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("no more")
        prefill(self, prompts, width)

    monkeypatch.setattr(Slots, "_prefill", bounded)
    monkeypatch.setattr("fmtharness.harness.engine.slots.PREFILLED", 2 * len(PROMPTS[0]))
    with torch.inference_mode():
        slots = Slots(llama(), 4, 20)
        slots._tokens = 16384
        slots.enter(dict.fromkeys(range(4), PROMPTS[0]))
        assert sizes == [4, 2, 2]
        with pytest.raises(torch.OutOfMemoryError):
            slots.enter(dict.fromkeys(range(4), PROMPTS[0][:2]))


def test_rows_end_by_a_stop_token_or_their_budget() -> None:
    rows = SlotRows(3, 4, {7, 9})
    rows.enter(0, 50, 4)
    rows.enter(2, 51, 2)
    rows.enter(1, 52, 4, step=1)  # its slot's token of step 0 is of the row before
    assert rows.take(np.array([5, 9, 6]), 0) == []
    assert rows.in_use(0) == [0, 2]
    assert sorted(rows.take(np.array([9, 4, 6]), 1)) == [
        (0, 50, [5], "stop"),
        (2, 51, [6, 6], "length"),
    ]
    assert rows.places() == {1: 52}
    assert rows.go_on(2)
    assert not rows.go_on(3)


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_the_kernel_is_right_in_tritons_interpreter() -> None:
    run = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "only 0-dimensional arrays" in run.stderr:
        pytest.skip("Triton's interpreter does not run with this NumPy")
    assert run.stdout.split() == ["True"] * 2, run.stderr
