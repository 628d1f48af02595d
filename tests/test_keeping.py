"""Rows that keep the base's predictions: labels drawn from them, and plain text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine.encoding import Encoded, encode_example, stop_token
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.records import NO_FORMAT, Example, Message
from fmtharness.trainers.batch.tree import pack_tree
from fmtharness.trainers.lora import Lora
from fmtharness.trainers.step.adapter import AdapterWeights, adapted
from fmtharness.trainers.step.forward import FUSED, SINGLE_ROWS, replace_layers
from fmtharness.trainers.step.keeping import with_base_labels
from fmtharness.trainers.step.loss import label_losses, row_losses
from fmtharness.trainers.step.passes import Passes
from tests.tiny import tiny_model

PREFIX = [5, 6, 7, 8]
ROWS = [
    Encoded([*PREFIX, 20, 21, 0], 4, keeps=True),
    Encoded([9, 8, 7, 40, 0], 3),
    Encoded([7, 50, 51, 52, 53, 0], 1, keeps=True),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def passes_of(folder: Path, *, packs: bool = True, size: float = 1.0) -> Passes:
    """Passes of the tiny model in fp32, with an adapter that is far from zero."""
    options = ModelOptions(name=str(folder), device="cpu", quantization="none", precision="fp32")
    patches = Patches()
    model: Any = adapted(load_model(options, patches).model, Lora(lora_r=4), patches)
    generator = torch.Generator().manual_seed(5)
    for name, weight in sorted(model.named_parameters()):
        if "lora_" in name:
            weight.data.copy_(torch.randn(weight.shape, generator=generator) * size)
    way = FUSED if packs else SINGLE_ROWS
    model = replace_layers(model, patches) if packs else model
    return Passes(model, AdapterWeights(model), Lora(lora_r=4), None, way)


@pytest.mark.parametrize("packs", [True, False])
def test_labels_are_drawn_from_the_base_and_not_from_the_model_in_training(
    folder: Path, packs: bool
) -> None:
    passes = passes_of(folder, packs=packs)
    tuned = passes.weights.vector.clone()
    model = passes_of(folder, packs=False).model
    ids = torch.tensor([PREFIX])
    with torch.no_grad():
        now = model(input_ids=ids).logits[0, -1].log_softmax(0)
        with model.disable_adapter():
            base = model(input_ids=ids).logits[0, -1].log_softmax(0)
    n = 1500
    rows = with_base_labels([Encoded([*PREFIX, 0], 4, keeps=True)] * n, passes, seed=1)
    tokens = torch.tensor([label for row in rows for label in row.labels])
    assert len(tokens) == n
    spread = float(((base - now) ** 2 * base.exp()).sum() - ((base - now) * base.exp()).sum() ** 2)
    expected = float(((base - now) * base.exp()).sum())  # KL(base || now), in nats
    assert expected > 0.02
    found = float((base - now)[tokens].mean())
    assert abs(found - expected) < 4 * (spread / n) ** 0.5
    assert torch.equal(passes.weights.vector, tuned)


def test_only_rows_that_keep_get_new_labels_and_the_seed_decides_them(folder: Path) -> None:
    passes = passes_of(folder)
    first, again = (with_base_labels(ROWS, passes, seed=3) for _ in range(2))
    assert first == again
    assert with_base_labels(ROWS, passes, seed=4) != first
    assert first[1] == ROWS[1]
    assert [row.ids for row in first] == [row.ids for row in ROWS]
    assert [len(row.labels) for row in first] == [3, 2, 5]
    assert first[0].labels != ROWS[0].labels


def test_losses_are_those_of_the_drawn_labels(folder: Path) -> None:
    passes = passes_of(folder)
    rows = with_base_labels(ROWS, passes, seed=3)
    plain = passes_of(folder, packs=False).model
    expected = []
    with torch.no_grad():
        for row in rows:
            logits = plain(input_ids=torch.tensor([row.ids])).logits[0, row.prompt_length - 1 : -1]
            expected.append(cross_entropy(logits, torch.tensor(row.labels), reduction="none"))
        packed = label_losses(passes.model, pack_tree(rows))
        single = torch.cat([row_losses(plain, row) for row in rows])
    torch.testing.assert_close(packed, torch.cat(expected), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(single, torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_plain_text_has_no_template_and_no_stop_token(folder: Path) -> None:
    options = ModelOptions(name=str(folder), device="cpu", quantization="none")
    loaded = load_model(options, Patches())
    stop = stop_token(loaded.tokenizer)
    text = "the rain fell on the roof"
    plain = Example(id="a", prompt=(), completion=text, format=NO_FORMAT, tags={"keeps": True})
    row = encode_example(loaded.tokenizer, plain, stop)
    begins = loaded.tokenizer("")["input_ids"]
    assert row.ids == loaded.tokenizer(text)["input_ids"]
    assert (row.prompt_length, row.keeps) == (max(1, len(begins)), True)
    asked = Example(id="b", prompt=(Message("user", "hm"),), completion=text, format=NO_FORMAT)
    row = encode_example(loaded.tokenizer, asked, stop)
    assert (row.ids[-1], row.keeps) == (stop, False)
