"""What only a GPU runs: its kernels, its attention, its graphs. `make gpu` says what was skipped.

The references are the model's own forward, row by row, and the same passes without graphs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fmtharness.harness.contracts import Loaded, ModelOptions
from fmtharness.harness.engine.cuda_graphs import borrowed, captured, lend
from fmtharness.harness.engine.encoding import Encoded
from fmtharness.harness.engine.fused_layers import fuse_norms
from fmtharness.harness.engine.generation import generate
from fmtharness.harness.engine.likelihood import answer_log_probabilities, divergence
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.trainers.attention.flash import has_flash
from fmtharness.trainers.attention.heads import Heads
from fmtharness.trainers.batch.packed import Packed, Shape, pack, shape_of
from fmtharness.trainers.lora import QLora
from fmtharness.trainers.step.adapter import AdapterWeights, adapted
from fmtharness.trainers.step.forward import replace_layers
from fmtharness.trainers.step.gpu_passes import GpuPasses
from fmtharness.trainers.step.graphs import Captured
from fmtharness.trainers.step.passes import Passes
from fmtharness.trainers.step.update import Update
from tests.models import summed_loss
from tests.tiny import tiny_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")

PROMPTS = [[5 + i, *range(30, 33 + 7 * i)] for i in range(9)]
ROWS = [Encoded([5 + i, *range(20, 60 + 9 * i), 0], 12 + i) for i in range(5)]


def model_of(folder: Path, **options: Any) -> Any:
    patches = Patches()
    loaded = load_model(ModelOptions(name=str(tiny_model(folder)), **options), patches)
    model = replace_layers(adapted(loaded.model, QLora(), patches), patches)
    generator = torch.Generator().manual_seed(5)
    for name, weight in sorted(model.named_parameters()):
        if "lora_" in name:
            weight.data.copy_(torch.randn(weight.shape, generator=generator) * 0.05)
    return model


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_triton_agrees_with_torch(dtype: torch.dtype) -> None:
    pytest.importorskip("triton")
    from fmtharness.harness.engine.kernels import triton as triton_kernels
    from fmtharness.harness.engine.kernels.choice import are_right, gradients_are_right

    assert are_right(triton_kernels, torch.device("cuda"), dtype)
    assert gradients_are_right(triton_kernels, torch.device("cuda"), dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_triton_rounds_where_transformers_rounds(dtype: torch.dtype) -> None:
    """The kernels on a GPU, and transformers' layers beside them, forward and backward."""
    pytest.importorskip("triton")
    from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

    from fmtharness.harness.engine.kernels import triton as triton_kernels

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to("cuda", dtype)

    generator = torch.Generator().manual_seed(0)
    x, come, both, gated = drawn(40, 576), drawn(40, 576), drawn(40, 3072), drawn(40, 1536)
    norm: Any = LlamaRMSNorm(576, 1e-5).to("cuda", dtype)
    norm.weight.data.copy_(drawn(576))
    made, inverse = triton_kernels.norm(x, norm.weight.data, 1e-5)
    found = triton_kernels.norm_back(x, norm.weight.data, inverse, come)
    pairs = [*zip((made, found), passed(norm, x, come), strict=True)]

    def gate(wide: torch.Tensor) -> torch.Tensor:
        opened, up = wide.chunk(2, -1)
        return torch.nn.functional.silu(opened) * up

    expected = passed(gate, both, gated)
    found, again = triton_kernels.gate_back(both, gated)
    pairs += [*zip((again, found), expected, strict=True)]
    pairs += [(triton_kernels.gate(both), again)]

    heads, turning = drawn(40, 3, 64), drawn(40, 3, 64)
    angles = torch.rand(1, 40, 32, generator=generator)
    cos, sin = (torch.cat([a, a], -1).to("cuda", dtype) for a in (angles.cos(), angles.sin()))
    apply: Any = apply_rotary_pos_emb

    def turned(each: torch.Tensor) -> torch.Tensor:
        query = each.transpose(0, 1)[None]
        return apply(query, query, cos, sin)[0][0].transpose(0, 1)  # type: ignore[no-any-return]

    expected = passed(turned, heads, turning)
    for each, back, other in zip((heads, turning), (False, True), expected, strict=True):
        found = each.clone()
        triton_kernels.turn(found, found, cos[0], sin[0], back=back)
        pairs.append((found, other))
    assert [bool((own == other).float().mean() > 0.99) for own, other in pairs] == [True] * 7


def test_a_norm_of_columns_is_that_of_their_copy() -> None:
    """As of queries and keys, which are columns of one product."""
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    generator = torch.Generator().manual_seed(0)
    norm: Any = LlamaRMSNorm(64).to("cuda", torch.float16).requires_grad_(False)
    assert fuse_norms(norm, Patches()) == 1
    wide = torch.randn(7, 192, generator=generator).to("cuda", torch.float16)
    for columns in (wide[:, :64], wide[None, :, 64:128], wide.view(7, 3, 64)[:, 1:2]):
        copy = columns.contiguous() + 0
        assert not columns.is_contiguous()
        for own, other in zip(passed(norm, columns, copy), passed(norm, copy, copy), strict=True):
            assert torch.equal(own, other)


def passed(forward: Any, x: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What a layer gives, and its gradient by x."""
    leaf = x.detach().requires_grad_()
    made = forward(leaf)
    return made.detach(), *torch.autograd.grad(made, leaf, gradient)


@pytest.mark.parametrize("room", [0, 4])
@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_loss_and_gradient_are_those_of_single_rows(
    tmp_path: Path, precision: Any, room: int
) -> None:
    model = model_of(tmp_path, quantization="none", precision=precision)
    weights = AdapterWeights(model)
    causal = model.get_base_model()
    expected: Any = 0
    for row in ROWS:
        ids = torch.tensor([row.ids], device="cuda")
        log_p = causal(input_ids=ids).logits[0].float().log_softmax(-1)
        own = [log_p[i - 1, row.ids[i]] for i in range(row.prompt_length, len(row.ids))]
        expected = expected - torch.stack(own).sum()
    tokens, rows, length, labels, _ = shape_of(ROWS)
    shape = Shape(tokens + room, rows + room, length, labels + room)
    found = summed_loss(model, pack(ROWS, shape).to(torch.device("cuda")))
    by_found, by_expected = weights.gradient_of(found), weights.gradient_of(expected)
    close = 1e-4 if precision == "fp32" else 0.02
    assert abs(found - expected) <= close * expected
    assert (by_found - by_expected).norm() <= 2 * close * by_expected.norm()
    heads = Heads(4, 2, 16, 0.25)
    assert has_flash(torch.zeros(1, device="cuda", dtype=model.dtype), heads) == (
        precision != "fp32" and torch.cuda.get_device_capability() >= (8, 0)
    )


@pytest.mark.parametrize("quantization", ["nf4", "none"])
def test_graphs_repeat_the_eager_steps(tmp_path: Path, quantization: Any) -> None:
    model_path = tmp_path / "model"
    batches = [ROWS, ROWS[:3], ROWS[1:], ROWS]
    every = []
    for graphs in ("auto", "never"):
        options = QLora(cuda_graphs=graphs)
        model = model_of(model_path, quantization=quantization)
        weights = AdapterWeights(model)
        update = Update(weights, options, None)
        passes = Passes(model, weights, options, None)
        passes.plan(batches)
        assert passes.gpu is not None
        assert isinstance(passes.gpu._go, Captured) == (graphs == "auto")
        losses = []
        for step, batch in enumerate(batches):
            passes.gradient(batch, sum(len(row.ids) - row.prompt_length for row in batch))
            update(1e-2)
            if step + 1 < len(batches):
                passes.look_ahead(batches[step + 1])
            losses.append(passes.loss.item())
        every.append(losses)
    assert every[0] == every[1]
    assert every[0][-1] < every[0][0]


def test_passes_are_as_large_as_memory_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model_of(tmp_path, quantization="none", precision="fp32")
    weights = AdapterWeights(model)
    batch = ROWS * 8  # 2,400 tokens
    run = GpuPasses._run

    def bounded(self: GpuPasses, packed: Packed) -> None:
        if packed.ids.shape[1] > 700:
            raise torch.OutOfMemoryError("no more")
        run(self, packed)

    gradients = []
    for bound in (False, True):
        if bound:
            monkeypatch.setattr(GpuPasses, "_run", bounded)
            monkeypatch.setattr("fmtharness.trainers.step.gpu_passes.SMALL", 100)
        passes = Passes(model, weights, QLora(), None)
        passes.plan([batch])
        passes.gradient(batch, 1000)
        gradients.append(weights.gradient.clone())
    assert passes.gpu is not None
    assert 600 < passes.gpu.max_tokens <= 700
    assert "going on with passes of" in capsys.readouterr().err
    assert not passes.gpu._accumulator.checkpointing
    assert torch.allclose(gradients[1], gradients[0], rtol=1e-3, atol=1e-6)


def likeliest(model: Any, prompt: list[int], count: int) -> list[int]:
    ids = list(prompt)
    for _ in range(count):
        with torch.inference_mode():
            ids.append(int(model(torch.tensor([ids], device="cuda")).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("quantization", ["nf4", "none"])
def test_slots_write_what_single_rows_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantization: Any
) -> None:
    model = model_of(tmp_path, quantization=quantization, precision="fp32").eval()
    expected = [likeliest(model, prompt, 12) for prompt in PROMPTS]
    stop = expected[0][5]
    monkeypatch.delattr("fmtharness.harness.engine.generation._decode")
    made = generate(model, PROMPTS, stop_ids={stop}, pad_id=0, max_new_tokens=12, batch_size=4)
    found = sorted(made)
    assert [each.place for each in found] == list(range(len(PROMPTS)))
    for each, ids in zip(found, expected, strict=True):
        ended = stop in ids
        assert each.finish_reason == ("stop" if ended else "length")
        assert each.ids == (ids[: ids.index(stop)] if ended else ids)


def test_what_graphs_cannot_hold_runs_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model_of(tmp_path, quantization="none", precision="fp32")
    expected = [likeliest(model, prompt, 6) for prompt in PROMPTS]
    weights = AdapterWeights(model)
    plain = Passes(model, weights, QLora(cuda_graphs="never"), None)
    plain.gradient(ROWS, 100)
    gradient = weights.gradient.clone()
    layer = model.get_base_model().model.layers[0]
    layer.register_forward_pre_hook(lambda _, given: given[0].sum().item() and None)
    for _ in range(2):
        passes = Passes(model, weights, QLora(), None)
        passes.plan([ROWS])
        passes.gradient(ROWS, 100)
        assert torch.allclose(weights.gradient, gradient, rtol=1e-4, atol=1e-6)
        assert "trains without CUDA graphs" in capsys.readouterr().err
    model.eval()
    for _ in range(2):
        with passes.idle():
            made = sorted(
                generate(model, PROMPTS, stop_ids={-1}, pad_id=0, max_new_tokens=6, batch_size=4)
            )
        assert [each.ids for each in made] == expected
    assert capsys.readouterr().err.count("decodes without CUDA graphs") == 1
    torch.cuda.empty_cache()
    captured(lambda: weights.gradient.zero_()).replay()
    assert not weights.gradient.any()


def test_lent_memory_is_taken_before_new() -> None:
    found = torch.zeros((), device="cuda")
    pool = torch.cuda.MemPool()
    graph = captured(lambda: found.copy_(torch.ones(2**26, device="cuda").sum()), pool.id)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    with lend(pool):
        with borrowed():
            kept = torch.ones(2**25, device="cuda")
        added = captured(lambda: kept.add_(torch.ones(2**25, device="cuda")))
        added.replay()
        assert kept.sum() == 2**26
        assert torch.cuda.memory_reserved() == before
    graph.replay()
    assert found == 2**26


def test_what_borrows_the_graphs_memory_changes_no_gradient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("fmtharness.harness.engine.generation._decode")  # it is slots that borrow
    model = model_of(tmp_path, quantization="none", precision="bf16")
    weights = AdapterWeights(model)
    passes = Passes(model, weights, QLora(), None)
    passes.plan([ROWS])
    passes.gradient(ROWS, 100)
    before, again = weights.gradient.clone(), []
    for _ in range(2):
        model.eval()
        with passes.idle():
            again.append(
                sorted(
                    generate(
                        model, PROMPTS, stop_ids={-1}, pad_id=0, max_new_tokens=9, batch_size=4
                    )
                )
            )
        passes.gradient(ROWS, 100)
        assert torch.equal(weights.gradient, before)
    assert again[0] == again[1]
    assert before.norm() > 0


def test_a_measurement_between_passes_changes_no_gradient(tmp_path: Path) -> None:
    model = model_of(tmp_path, quantization="none", precision="bf16")
    loaded = Loaded(model, None)
    weights = AdapterWeights(model)
    passes = Passes(model, weights, QLora(), None)
    passes.plan([ROWS])
    passes.gradient(ROWS, 100)
    before = weights.gradient.clone()
    found: list[object] = []
    for _ in range(2):
        with passes.idle():
            found.append(divergence(loaded, ROWS))
            found.append(answer_log_probabilities(loaded, ROWS, adapter=False))
        passes.gradient(ROWS, 100)
        assert torch.equal(weights.gradient, before)
    assert found[:2] == found[2:]
    weights.vector.zero_()
    weights.refresh()
    still = divergence(loaded, ROWS)
    assert still is not None
    assert still.nats == pytest.approx(0, abs=1e-6)
