"""Generation with a tiny random model: it must write what one-by-one greedy decoding writes."""

from __future__ import annotations

from itertools import count
from typing import Any
from weakref import WeakSet

import pytest
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MiniCPM3Config,
    MiniCPM3ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from fmtharness.harness.engine import decode_attention, fused_layers
from fmtharness.harness.engine.cpu_slots import CpuSlots
from fmtharness.harness.engine.encoding import Generated
from fmtharness.harness.engine.fused_decode import unfused
from fmtharness.harness.engine.generation import generate
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.slots import Slots, decode_in_slots, fits_slots, slots_for

PROMPTS = [[5, 9, 2, 11], [7], [3, 3, 8], [20, 21, 22, 23, 24, 25], [4, 6]]
PAD = 0


@pytest.fixture(autouse=True)
def _nothing_tried_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmtharness.harness.engine.slots._unfit", WeakSet())


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches with padding on the left, as for models that do not fit slots."""
    monkeypatch.setattr("fmtharness.harness.engine.generation.fits_slots", lambda model: False)


@pytest.fixture(params=["slots of a CPU", "loop"])
def each_way(request: pytest.FixtureRequest) -> None:
    if request.param == "loop":
        request.getfixturevalue("loop")


SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.4,
}


@pytest.fixture
def model() -> Any:
    torch.manual_seed(3)
    return LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2)).eval()


def run(model: Any, prompts: list[list[int]], stop: int, **options: Any) -> list[Generated]:
    settings: dict[str, Any] = {"max_new_tokens": 12, "batch_size": 3} | options
    found = generate(model, prompts, stop_ids={stop}, pad_id=PAD, **settings)
    return sorted(found)


def one_by_one(model: Any, prompt: list[int], stop: int, budget: int) -> tuple[list[int], str]:
    ids = list(prompt)
    for _ in range(budget):
        with torch.inference_mode():
            token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        if token == stop:
            return ids[len(prompt) :], "stop"
        ids.append(token)
    return ids[len(prompt) :], "length"


def common_stop(model: Any) -> int:
    """A token that ends some rows early and others not at all."""
    written = [one_by_one(model, prompt, -1, 12)[0] for prompt in PROMPTS]
    for token in range(40):
        places = [row.index(token) if token in row else 12 for row in written]
        if len(set(places)) > 2 and 12 in places:
            return token
    raise AssertionError("the random model offers no such token; change its seed")


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
def test_batching_and_leaving_rows_do_not_change_what_is_written(
    model: Any, batch_size: int
) -> None:
    stop = common_stop(model)
    found = run(model, PROMPTS, stop, batch_size=batch_size)
    assert [each.place for each in found] == list(range(len(PROMPTS)))
    for each, prompt in zip(found, PROMPTS, strict=True):
        assert (each.ids, each.finish_reason) == one_by_one(model, prompt, stop, 12)
    assert {each.finish_reason for each in found} == {"stop", "length"}


@pytest.mark.usefixtures("loop")
def test_the_heads_weights_are_not_copied_for_each_row(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a slice of the prompts' last tokens would cost: torch copies them on a CPU."""
    run(model, PROMPTS, -1, max_new_tokens=1)  # the check of the first call
    given: list[torch.Tensor] = []
    head = model.lm_head.forward

    def watched(x: torch.Tensor) -> Any:
        given.append(x)
        return head(x)

    monkeypatch.setattr(model.lm_head, "forward", watched)
    run(model, PROMPTS, -1, batch_size=5, max_new_tokens=2)
    assert [tuple(each.shape) for each in given] == [(5, 1, 32)] * 2
    assert all(each.is_contiguous() for each in given)
    assert not model.lm_head._forward_pre_hooks


@pytest.mark.usefixtures("loop")
def test_no_kernel_plans_for_the_size_of_a_prompt(model: Any) -> None:
    """cuDNN would; the step in slots has one size, and may."""
    calls: list[tuple[int, bool]] = []
    hook = model.register_forward_pre_hook(
        lambda _, args, given: calls.append(
            (given["input_ids"].shape[1], torch.backends.cuda.cudnn_sdp_enabled())
        ),
        with_kwargs=True,
    )
    run(model, PROMPTS, -1, max_new_tokens=2)
    assert len(calls) > 2
    assert not any(allowed for _, allowed in calls)
    calls.clear()
    with torch.inference_mode():
        assert slots_for(model, Patches(), PROMPTS, [3, 0], count=2, length=18, kind=Slots)
    hook.remove()
    assert {width > 1 for width, _ in calls} == {True, False}
    assert all(allowed == (width == 1) for width, allowed in calls)


def test_slots_take_few_kernels_a_step(model: Any) -> None:
    with torch.inference_mode():
        assert slots_for(model, Patches(), PROMPTS, [3, 0], count=2, length=18, kind=Slots)
    assert model.config._attn_implementation == decode_attention.NAME
    assert model.model.norm.forward.__func__ is fused_layers._norm


def test_models_that_take_no_such_mask_decode_otherwise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=40, hidden_size=32, n_layer=2, n_head=4)
    bloom = BloomForCausalLM(config).eval()
    with monkeypatch.context() as patched:
        patched.setattr("fmtharness.harness.engine.generation.fits_slots", lambda model: False)
        expected = run(bloom, PROMPTS, -1, max_new_tokens=3)
    capsys.readouterr()
    for on_gpu, said in (False, "decodes without slots"), (True, "decodes without CUDA graphs"):
        monkeypatch.setattr("fmtharness.harness.engine.slots.on_gpu", lambda model: on_gpu)  # noqa: B023
        monkeypatch.setattr("fmtharness.harness.engine.slots._unfit", WeakSet())
        assert fits_slots(bloom)
        assert run(bloom, PROMPTS, -1, max_new_tokens=3) == expected
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("kind", [Slots, CpuSlots])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_slots_that_prompts_enter_and_leave_do_not_change_what_is_written(
    model: Any, count: int, kind: type[Slots]
) -> None:
    stop = common_stop(model)
    expected = [one_by_one(model, prompt, stop, 12) for prompt in PROMPTS]
    waiting = [3, 0, 2, 4, 1]
    with torch.inference_mode():
        slots = slots_for(model, Patches(), PROMPTS, waiting, count=count, length=18, kind=kind)
        assert slots
        found = sorted(decode_in_slots(slots, PROMPTS, waiting, dict.fromkeys(waiting, 12), {stop}))
    assert [each.place for each in found] == list(range(len(PROMPTS)))
    assert [(each.ids, each.finish_reason) for each in found] == expected


def test_slots_of_a_model_that_computes_something_else_are_refused(
    model: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forward = model.forward

    def without_mask(attention_mask: Any = None, **arguments: Any) -> Any:
        return forward(**arguments)

    monkeypatch.setattr(model, "forward", without_mask)
    unfused.add(model)  # fused steps need no mask
    with torch.inference_mode():
        assert slots_for(model, Patches(), PROMPTS, [3, 0], count=2, length=18, kind=Slots) is None
    assert "without slots (its logits in slots differ)" in capsys.readouterr().err
    assert not fits_slots(model)


def test_slots_are_compared_but_for_what_all_logits_share(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, calls = model.lm_head.forward, count()
    monkeypatch.setattr(model.lm_head, "forward", lambda hidden: head(hidden) + next(calls))
    with torch.inference_mode():
        assert slots_for(model, Patches(), PROMPTS, [3, 0], count=2, length=18, kind=Slots)


def test_slots_whose_step_chooses_something_else_are_refused(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Slots, "_advance", lambda self: None)
    with torch.inference_mode():
        assert slots_for(model, Patches(), PROMPTS, [3, 0], count=2, length=18, kind=Slots) is None


def test_slots_of_values_that_are_narrower_than_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    config = MiniCPM3Config(
        **SIZES,
        num_key_value_heads=4,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=8,
    )
    narrow = MiniCPM3ForCausalLM(config).eval()
    with monkeypatch.context() as patched:
        patched.setattr("fmtharness.harness.engine.generation.fits_slots", lambda model: False)
        expected = run(narrow, PROMPTS, -1)
    monkeypatch.delattr("fmtharness.harness.engine.generation._decode")
    assert run(narrow, PROMPTS, -1) == expected
    monkeypatch.setattr("fmtharness.harness.engine.slots.on_gpu", lambda model: True)
    assert run(narrow, PROMPTS, -1) == expected


def test_slots_are_for_layers_that_look_at_all_tokens_before(model: Any) -> None:
    assert fits_slots(model)
    config = MistralConfig(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2, sliding_window=4
    )
    assert not fits_slots(MistralForCausalLM(config))


@pytest.mark.usefixtures("each_way")
def test_it_agrees_with_transformers_own_greedy_generate(model: Any) -> None:
    stop = common_stop(model)
    for each, prompt in zip(run(model, PROMPTS, stop), PROMPTS, strict=True):
        config = GenerationConfig(max_new_tokens=12, eos_token_id=stop, pad_token_id=PAD)
        whole = model.generate(torch.tensor([prompt]), generation_config=config)[0].tolist()
        expected = whole[len(prompt) :]
        assert each.ids == (expected[:-1] if expected[-1] == stop else expected)


def test_a_models_sampling_defaults_and_penalties_do_not_leak_in(model: Any) -> None:
    plain = run(model, PROMPTS, -1)
    kept = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=5.0, repetition_penalty=9.0, eos_token_id=1
    )
    try:
        assert run(model, PROMPTS, -1) == plain
    finally:
        model.generation_config = kept


def test_a_prompt_without_room_is_an_error_and_the_budget_respects_the_context(model: Any) -> None:
    prompts = [[1] * 64, [1] * 60, []]
    found = run(model, prompts, -1, max_new_tokens=12, batch_size=1)
    assert found[0] == Generated(0, [], "error")
    assert found[2] == Generated(2, [], "error")
    assert found[1].finish_reason == "length"
    assert len(found[1].ids) == 4


@pytest.mark.parametrize("on_gpu", [False, True])
def test_each_prompt_has_its_own_room(
    model: Any, monkeypatch: pytest.MonkeyPatch, on_gpu: bool
) -> None:
    monkeypatch.setattr("fmtharness.harness.engine.slots.on_gpu", lambda model: on_gpu)
    found = run(model, [[1] * 60, [2] * 3], -1, max_new_tokens=12, batch_size=2)
    assert [len(each.ids) for each in found] == [4, 12]


def test_processes_in_step_write_what_the_leader_chooses(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    led = iter([[5, 6], [7, 8], [9, 9]])
    monkeypatch.setattr(
        "fmtharness.harness.engine.collectives.broadcast",
        lambda chosen: chosen.copy_(torch.tensor(next(led))),
    )
    found = run(model, PROMPTS[:2], -1, max_new_tokens=3, in_step=True)
    assert sorted(each.ids for each in found) == [[5, 7, 9], [6, 8, 9]]


def test_fewer_slots_where_memory_ends_and_batches_where_slots_fail(
    model: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = common_stop(model)
    expected = run(model, PROMPTS, stop)
    monkeypatch.setattr("fmtharness.harness.engine.slots.on_gpu", lambda model: True)
    made: list[int] = []

    class Narrow(Slots):
        def enter(self, prompts: Any) -> None:
            made.append(self.count)
            if self.count > 2:
                raise torch.OutOfMemoryError("no more")
            super().enter(prompts)

    monkeypatch.setattr("fmtharness.harness.engine.slots.Slots", Narrow)
    assert run(model, PROMPTS, stop, batch_size=4) == expected
    assert made[:2] == [4, 2]
    assert set(made[1:]) == {2}
    assert "batches of 2" in capsys.readouterr().err

    def broken(self: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr("fmtharness.harness.engine.slots.Slots.step", broken)
    assert run(model, PROMPTS, stop, batch_size=2) == expected
    assert "not permitted" in capsys.readouterr().err


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("in_step", [True, False])
def test_alone_it_goes_on_in_smaller_batches_where_memory_ends(
    model: Any, monkeypatch: pytest.MonkeyPatch, in_step: bool
) -> None:
    expected = run(model, PROMPTS, -1)
    forward = model.forward

    def small(input_ids: torch.Tensor, **arguments: Any) -> Any:
        if len(input_ids) > 1:
            raise torch.OutOfMemoryError("no more")
        return forward(input_ids, **arguments)

    monkeypatch.setattr(model, "forward", small)
    if not in_step:
        assert run(model, PROMPTS, -1) == expected
        return
    with pytest.raises(torch.OutOfMemoryError):
        run(model, PROMPTS, -1, in_step=True)
