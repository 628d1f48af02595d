"""Perplexity, answers' probabilities and the divergence are those of plain forward passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from fmtharness.harness.contracts import Loaded, ModelOptions
from fmtharness.harness.engine import likelihood
from fmtharness.harness.engine.adapters import switched_off
from fmtharness.harness.engine.encoding import Encoded, token_ids
from fmtharness.harness.engine.likelihood import (
    answer_log_probabilities,
    divergence,
    perplexity,
)
from fmtharness.harness.engine.lora_linear import groups
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.errors import ModelError
from fmtharness.trainers.batch.tree import pack_tree
from fmtharness.trainers.lora import Lora
from fmtharness.trainers.step.adapter import AdapterWeights, adapted
from fmtharness.trainers.step.forward import replace_layers
from fmtharness.trainers.step.loss import label_losses
from tests import test_foreign_adapters as foreign
from tests.tiny import tiny_model, tiny_tokenizer

ROWS = [
    Encoded([9, 40, 200, 77, 3, 150, 0], 4),
    Encoded([30, 31, 32], 1),
    Encoded([101, 7, 61, 62, 63, 12, 15, 90, 2, 0, 0], 2),
    Encoded([8, 8], 2),
]
"""Their padding is 0, which is also the stop token; the last has no label."""
SIZES: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
PIECES = ["The ferry left at six.", "Nobody had told the baker.", "x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign.sharp(tmp_path_factory.mktemp("base"))


@pytest.fixture
def patches() -> Iterator[Patches]:
    with Patches() as patches:
        yield patches


@pytest.fixture
def base(folder: Path, patches: Patches) -> Loaded:
    return load_model(options(folder), patches)


def options(folder: Path, **more: Any) -> ModelOptions:
    return ModelOptions(name=str(folder), **{"device": "cpu", "precision": "fp32", **more})


def in_training(loaded: Loaded, patches: Patches, drawn: float, fused: bool = True) -> Loaded:
    """The model with an adapter as its training has it, B drawn at random."""
    model = adapted(loaded.model, Lora(lora_r=4), patches)
    if fused:
        replace_layers(model, patches)
    generator = torch.Generator().manual_seed(5)
    for name, weight in sorted(model.named_parameters()):
        if "lora_B" in name:
            weight.data.copy_(torch.randn(weight.shape, generator=generator) * drawn)
    model.train()
    return Loaded(model, loaded.tokenizer)


def log_softmax(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """Of one row by the model's own plain forward pass, (tokens, V)."""
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=torch.tensor([list(ids)])).logits[0]
    return logits.double().log_softmax(-1)


def expected_of(model: Any, row: Encoded) -> float:
    wide = log_softmax(model, row.ids)
    labels = range(row.prompt_length, len(row.ids))
    return sum(float(wide[at - 1, row.ids[at]]) for at in labels)


def expected_divergence(base: Any, tuned: Any) -> float:
    total, count = 0.0, 0
    for row in ROWS:
        p, q = (log_softmax(model, row.ids) for model in (base, tuned))
        at = slice(row.prompt_length - 1, len(row.ids) - 1)
        total += float((p[at].exp() * (p[at] - q[at])).sum())
        count += len(row.ids) - row.prompt_length
    return total / count


def test_a_rows_log_probability_is_that_of_a_plain_forward_pass(base: Loaded) -> None:
    found = answer_log_probabilities(base, ROWS, adapter=True)
    assert found == pytest.approx([expected_of(base.model, row) for row in ROWS], rel=1e-5)
    assert found[3] == 0


def test_perplexity_is_that_of_plain_forward_passes(base: Loaded) -> None:
    found = perplexity(base, PIECES)
    rows = [Encoded(token_ids(base.tokenizer, piece), 1) for piece in PIECES]
    count = sum(len(row.ids) - 1 for row in rows)
    assert found.tokens == count == sum(map(len, PIECES)) - len(PIECES)
    assert found.nats == pytest.approx(-sum(expected_of(base.model, r) for r in rows) / count, 1e-5)
    assert found.value == pytest.approx(math.exp(found.nats))
    assert math.isnan(perplexity(base, ["x"]).nats)
    assert perplexity(base, []).tokens == 0


def test_a_tokenizer_that_begins_texts_has_the_first_token_predicted(base: Loaded) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|user|> $A <|end|>", special_tokens=[("<|user|>", 1), ("<|end|>", 0)]
    )
    begun = Loaded(base.model, tokenizer)
    rows = [Encoded([1, *token_ids(tokenizer, piece)], 1) for piece in PIECES]
    found = perplexity(begun, PIECES)
    assert found.tokens == sum(map(len, PIECES))
    total = -sum(expected_of(base.model, row) for row in rows)
    assert found.nats * found.tokens == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("begin", [[], [1]])
@pytest.mark.parametrize("length", [1, 7, 8, 9, 12, 13, 16, 31])
def test_windows_predict_each_token_once_from_half_a_context(
    base: Loaded, monkeypatch: pytest.MonkeyPatch, begin: list[int], length: int
) -> None:
    monkeypatch.setattr(likelihood, "context_length", lambda config: 8)
    monkeypatch.setattr(likelihood, "_beginning", lambda *_: begin)
    text = "abcdefghijklmnopqrstuvwxyzABCDE"[:length]
    own = token_ids(base.tokenizer, text)
    labels: list[int] = []
    for row in likelihood._windows(base, text):
        assert len(row.ids) <= 8 + 1  # the last label is not fed
        assert row.ids[: len(begin)] == begin
        assert row.prompt_length >= 3 + len(begin) or not labels
        start = len(labels) + (0 if begin else 1)
        before = row.ids[len(begin) : row.prompt_length]
        assert before == own[max(0, start - len(before)) : start]
        labels += row.ids[row.prompt_length :]
    assert labels == (own if begin else own[1:])


def test_numbers_do_not_depend_on_the_passes(base: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answer_log_probabilities(base, ROWS, adapter=True)
    monkeypatch.setattr(likelihood, "TOKENS", {"cpu": 1})
    monkeypatch.setattr(likelihood, "LOGITS", {"cpu": 0})
    assert answer_log_probabilities(base, ROWS, adapter=True) == pytest.approx(whole, rel=1e-5)
    turned = answer_log_probabilities(base, ROWS[::-1], adapter=True)
    assert turned[::-1] == pytest.approx(whole, rel=1e-5)


def test_a_head_that_is_more_than_one_layer_gives_the_models_own_logits(
    patches: Patches, base: Loaded
) -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        **SIZES,
        head_dim=16,
        sliding_window=4,
        final_logit_softcapping=2.0,
    )
    torch.manual_seed(0)
    model: Any = Gemma2ForCausalLM(config)
    model.eval().set_attn_implementation("eager")
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8)
    assert isinstance(likelihood._parts(model, [1, 2, 3]).head, torch.nn.Identity)
    found = answer_log_probabilities(Loaded(model, base.tokenizer), ROWS, adapter=True)
    assert found == pytest.approx([expected_of(model, row) for row in ROWS], rel=1e-5)


def test_a_plain_head_makes_few_logits_at_a_time(base: Loaded) -> None:
    assert likelihood._parts(base.model, [1, 2, 3]).head is base.model.lm_head


BASE_LOST = {"bias all", "bias lora_only", "pissa"}


@pytest.mark.parametrize("kind", foreign.LIKE)
def test_an_adapter_that_is_switched_off_leaves_the_base(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    adapter = foreign.made(folder, tmp_path / "adapter", foreign.LIKE[kind])
    with Patches() as patches:
        base = load_model(options(folder), patches).model
        loaded = load_model(options(folder), patches, adapter)
        tuned = foreign.logits(loaded.model)
        found = divergence(loaded, ROWS)
        if kind in BASE_LOST:
            assert found is None
            with pytest.raises(ModelError, match="base"):
                answer_log_probabilities(loaded, ROWS, adapter=False)
            return
        assert found is not None
        assert found.positions == 3 + 2 + 9
        assert found.nats == pytest.approx(expected_divergence(base, loaded.model), 1e-4, 1e-6)
        bare = answer_log_probabilities(loaded, ROWS, adapter=False)
        assert bare == pytest.approx([expected_of(base, row) for row in ROWS], rel=1e-5)
        assert torch.equal(foreign.logits(loaded.model), tuned)
        assert not any(weight.requires_grad for weight in loaded.model.parameters())


@pytest.mark.parametrize("fused", [True, False])
def test_the_divergence_in_training_is_that_of_two_plain_models(
    base: Loaded, folder: Path, patches: Patches, fused: bool
) -> None:
    loaded = in_training(base, patches, drawn=0.3, fused=fused)
    AdapterWeights(loaded.model)
    bare = load_model(options(folder), patches).model
    found = divergence(loaded, ROWS)
    assert loaded.model.training
    loaded.model.eval()
    assert found is not None
    assert found.nats == pytest.approx(expected_divergence(bare, loaded.model), rel=1e-5)
    assert found.nats > 0.01
    assert bool(groups(loaded.model)) == fused


def test_a_window_of_attention_is_kept_in_training(base: Loaded, patches: Patches) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    model: Any = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4))
    model.eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8)
    expected = [expected_of(model, row) for row in ROWS]
    loaded = in_training(Loaded(model, base.tokenizer), patches, drawn=0.3)
    found = answer_log_probabilities(loaded, ROWS, adapter=False)
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_an_adapter_that_adds_nothing_is_no_divergence(
    tmp_path: Path, patches: Patches, precision: str, quantization: str
) -> None:
    made = options(
        tiny_model(tmp_path), precision=precision, quantization=quantization, dequantize="never"
    )
    loaded = in_training(load_model(made, patches), patches, drawn=0)
    found = divergence(loaded, ROWS)
    assert found is not None
    assert found.nats == pytest.approx(0, abs=1e-6)


def test_the_adapter_is_on_again_after_an_error(
    base: Loaded, patches: Patches, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = in_training(base, patches, drawn=0.3)
    before = answer_log_probabilities(loaded, ROWS, adapter=True)
    scales = [group.scales for group in groups(loaded.model)]
    head = loaded.model.get_base_model().lm_head
    monkeypatch.setattr(head, "forward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), switched_off(loaded.model):
        assert groups(loaded.model)[0].scales == [0.0] * 3
        head(torch.zeros(1))
    monkeypatch.undo()
    assert [group.scales for group in groups(loaded.model)] == scales
    assert answer_log_probabilities(loaded, ROWS, adapter=True) == before
    assert loaded.model.training


def gradients(loaded: Loaded) -> torch.Tensor:
    weights = AdapterWeights(loaded.model)
    return weights.gradient_of(label_losses(loaded.model, pack_tree(ROWS[:3])).sum())


@pytest.mark.parametrize(
    "how",
    [
        {"precision": "fp32"},
        {"precision": "bf16", "quantization": "nf4", "dequantize": "never"},
        {"precision": "bf16", "quantization": "nf4", "dequantize": "auto"},
    ],
)
def test_gradients_are_the_same_after_a_measurement(
    tmp_path: Path, patches: Patches, how: dict[str, Any]
) -> None:
    made = options(tiny_model(tmp_path), **how)
    loaded = in_training(load_model(made, patches), patches, drawn=0.1)
    trained = [w.requires_grad for w in loaded.model.parameters()]
    before = gradients(loaded)
    perplexity(loaded, PIECES)
    divergence(loaded, ROWS)
    answer_log_probabilities(loaded, ROWS, adapter=False)
    assert torch.equal(gradients(loaded), before)
    assert before.abs().min() >= 0 and before.any()
    assert [w.requires_grad for w in loaded.model.parameters()] == trained
    assert all(w.grad is None for w in loaded.model.parameters())


def test_where_memory_is_short_fewer_logits_are_made_at_a_time(
    base: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = answer_log_probabilities(base, ROWS, adapter=True)
    monkeypatch.setattr(likelihood, "FEWEST", 2)
    monkeypatch.setattr(likelihood, "TRIED", 2)
    head: Callable[[torch.Tensor], torch.Tensor] = base.model.lm_head.forward
    most = list[int]()

    def small(states: torch.Tensor) -> torch.Tensor:
        most.append(states.shape[-2])
        if most[-1] > 3:
            raise torch.OutOfMemoryError
        return head(states)

    monkeypatch.setattr(base.model.lm_head, "forward", small)
    assert answer_log_probabilities(base, ROWS, adapter=True) == pytest.approx(whole, rel=1e-5)
    assert max(most) > 3 >= most[-1]


def test_memory_that_runs_out_halves_the_passes(
    base: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = answer_log_probabilities(base, ROWS, adapter=True)
    states: Callable[..., torch.Tensor] = likelihood._Parts.states

    def small(parts: Any, rows: Sequence[Encoded]) -> torch.Tensor:
        if len(rows) > 1:
            raise torch.OutOfMemoryError
        return states(parts, rows)

    monkeypatch.setattr(likelihood._Parts, "states", small)
    assert answer_log_probabilities(base, ROWS, adapter=True) == pytest.approx(whole, rel=1e-5)


def test_logits_that_are_no_numbers_are_an_error(base: Loaded) -> None:
    base.model.lm_head.weight.data[3] = math.nan
    with pytest.raises(ModelError, match="not finite"):
        perplexity(base, PIECES)
