"""The trainer `dpo`: its gradient beside peft's and autograd's, and whole trainings on pairs."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy, logsigmoid

from fmtharness.harness.cli import main
from fmtharness.harness.contracts import Loaded, ModelOptions
from fmtharness.harness.engine.encoding import Encoded, encode_rejected, stop_token
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.errors import UserError
from fmtharness.harness.records import Example, Message
from fmtharness.trainers.batch.order import micro_batches
from fmtharness.trainers.batch.packed import pack, shape_of, sides_of
from fmtharness.trainers.batch.tree import pack_tree
from fmtharness.trainers.dpo import Dpo
from fmtharness.trainers.preference import Preference, with_references
from fmtharness.trainers.resume.checkpoints import load_adapter
from fmtharness.trainers.step import lanes
from fmtharness.trainers.step.accumulator import Accumulator
from fmtharness.trainers.step.adapter import AdapterWeights, adapted
from fmtharness.trainers.step.forward import FUSED, SINGLE_ROWS, replace_layers
from fmtharness.trainers.step.passes import Passes
from tests.tiny import tiny_model

Reference = Literal["base", "start", "none"]
ASK = [5, 6, 7, 8, 9]
ROWS = [
    Encoded([*ASK, 20, 21, 22, 0], 5, [*ASK, 30, 31, 0]),
    Encoded([9, 8, 7, 40, 41, 0], 3),
    Encoded([7, 7, 50, 51, 52, 53, 0], 2, [7, 7, *range(60, 90)]),
    Encoded([*ASK, 11, 20, 0], 6),
    Encoded([*ASK, 20, 0], 5, [*ASK, 20, 20, 0]),
    Encoded([*ASK, 20, 21, 23, 24, 0], 5, [*ASK, 20, 21, 21]),
]
LABELS = sum(len(row.ids) - row.prompt_length for row in ROWS)
OBJECTIVES: dict[Reference, Preference] = {
    "base": Preference(0.3, 0.7, 0.0, False),
    "start": Preference(0.3, 0.7, 0.0, False),
    "none": Preference(2.0, 0.7, 0.5, True),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def drawn(folder: Path, *, fast: bool = True) -> Any:
    """The tiny model in fp32, with an adapter that is not zero."""
    options = ModelOptions(name=str(folder), device="cpu", quantization="none", precision="fp32")
    patches = Patches()
    model = adapted(load_model(options, patches).model, Dpo(lora_r=4), patches)
    generator = torch.Generator().manual_seed(5)
    for name, weight in sorted(model.named_parameters()):
        if "lora_" in name:
            weight.data.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    return replace_layers(model, patches) if fast else model


def passes_of(folder: Path, objective: Preference, *, packs: bool = True) -> Passes:
    model = drawn(folder, fast=packs)
    way = FUSED if packs else SINGLE_ROWS
    options = Dpo(lora_r=4)
    return Passes(model, AdapterWeights(model), options, None, way, objective)


def by_name(passes: Passes) -> dict[str, torch.Tensor]:
    names = {id(weight): name for name, weight in passes.model.named_parameters()}
    weights = passes.weights
    parts = torch.split(weights.gradient, [weight.numel() for weight in weights.parameters])
    pairs = zip(weights.parameters, parts, strict=True)
    return {names[id(w)]: part.view(w.shape).clone() for w, part in pairs}


def referred(passes: Passes, reference: Reference) -> list[Encoded]:
    if reference == "none":
        return ROWS
    return with_references(ROWS, passes, base=reference == "base")


def plainly(folder: Path, reference: Reference) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and its gradient as in the papers, by peft's forward pass, row by row."""
    model, objective = drawn(folder, fast=False), OBJECTIVES[reference]

    def log_p(ids: list[int], begin: int) -> torch.Tensor:
        logits = model(input_ids=torch.tensor([ids])).logits[0, begin - 1 : -1]
        return -cross_entropy(logits, torch.tensor(ids[begin:]), reduction="sum")

    def referring(ids: list[int], begin: int) -> torch.Tensor:
        with torch.no_grad():
            if reference == "start":
                return log_p(ids, begin)
            with model.disable_adapter():
                return log_p(ids, begin)

    loss = torch.zeros(())
    for row in ROWS:
        weight = 1.0 if row.rejected is None else objective.sft_weight
        loss = loss - log_p(row.ids, row.prompt_length) / LABELS * weight
        if row.rejected is not None:
            both = [(row.ids, row.prompt_length), (row.rejected, row.prompt_length)]
            if reference == "none":  # the means of what follows the common beginning
                both_ids = zip(row.ids, row.rejected, strict=False)
                common = next(at for at, (one, other) in enumerate(both_ids) if one != other)
                chosen, rejected = (log_p(ids, common) / (len(ids) - common) for ids, _ in both)
            else:  # the whole answers, as in DPO's paper
                chosen, rejected = (log_p(*each) - referring(*each) for each in both)
            scaled = objective.beta * (chosen - rejected) - objective.target_margin
            loss = loss - logsigmoid(scaled) / len(ROWS)
    trained = {name: w for name, w in model.named_parameters() if w.requires_grad}
    found = torch.autograd.grad(loss, list(trained.values()))
    return loss.item(), dict(zip(trained, found, strict=True))


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "row by row"])
@pytest.mark.parametrize("reference", ["base", "start", "none"])
def test_the_gradient_is_that_of_the_papers(
    folder: Path, reference: Reference, packs: bool
) -> None:
    expected_loss, expected = plainly(folder, reference)
    passes = passes_of(folder, OBJECTIVES[reference], packs=packs)
    passes.gradient(referred(passes, reference), LABELS, len(ROWS))
    assert passes.loss.item() == pytest.approx(expected_loss, rel=1e-5)
    found = by_name(passes)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert apart(found[name], gradient) < 1e-4, name
    assert max(gradient.abs().max() for gradient in expected.values()) > 1e-3


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The size of the difference, relative to that of what is expected."""
    return float((found - expected).norm() / expected.norm())


def packed_as(how: str, rows: list[Encoded]) -> list[Any]:
    if how == "in one":
        return [pack_tree(rows)]
    if how == "in a bucket":
        shape = shape_of(rows)
        roomy = shape._replace(tokens=shape.tokens + 9, rows=11, labels=shape.labels + 4, pairs=5)
        return [pack(rows, roomy)]
    return [pack(part, shape_of(part)) for part in micro_batches(rows, 20)]


@pytest.mark.parametrize("how", ["in a bucket", "in parts"])
def test_the_cut_and_the_padding_do_not_change_it(folder: Path, how: str) -> None:
    passes = passes_of(folder, OBJECTIVES["base"])
    rows = referred(passes, "base")
    accumulator: Accumulator = passes._accumulator

    def computed(parts: list[Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        accumulator.start(LABELS, len(ROWS))
        for part in parts:
            accumulator.add(part)
        return passes.loss.clone(), passes.measured.clone(), passes.weights.gradient.clone()

    for found, expected in zip(
        computed(packed_as(how, rows)), computed(packed_as("in one", rows)), strict=True
    ):
        assert apart(found, expected) < 1e-4
    assert len(packed_as("in parts", rows)) > 1


def test_lanes_give_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = passes_of(folder, OBJECTIVES["base"])
    rows = referred(passes, "base")
    passes.gradient(rows, LABELS, len(rows))
    whole = passes.weights.gradient.clone()
    monkeypatch.setattr(lanes, "WORTH_A_LANE", 10)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    passes.gradient(rows, LABELS, len(rows))
    assert apart(passes.weights.gradient, whole) < 1e-5


def test_the_loss_is_trls(folder: Path) -> None:
    """TRL's `sigmoid`: -logsigmoid(beta * (chosen_logratios - rejected_logratios)), by hand."""
    objective = Preference(beta=0.1, sft_weight=0.5, target_margin=0.0, reference_free=False)
    rows = [Encoded([1, 2, 3], 1, [1, 4, 5, 6], reference=(-4.0, -5.0)), Encoded([1, 2], 1)]
    packed = pack(rows, shape_of(rows))
    losses = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 7.0])
    loss, measured = objective.loss(losses, packed, torch.tensor(1 / 3), torch.tensor(1 / 2))
    margin = 0.1 * ((-3.0 + 4.0) - (-12.0 + 5.0))
    expected = math.log1p(math.exp(-margin)) / 2 + (0.5 * (1.0 + 2.0) + 7.0) / 3
    assert loss.item() == pytest.approx(expected)
    assert measured.tolist() == pytest.approx([0.1, -0.7, margin, 1.0, 1.0])


def test_sides_and_shapes_count_both_answers() -> None:
    assert sides_of([Encoded([5, 6], 1), Encoded([5, 7], 1, [5, 8, 9])]) == [-1, 0, 1, 1]
    assert sides_of([Encoded([5, 6, 7, 8], 1, [5, 6, 9])]) == [-2, 0, 0, 1]
    assert shape_of(ROWS)[1:] == (10, 33, LABELS + 3 + 30 + 2 + 1, 4)
    assert sum(len(part) for part in micro_batches(ROWS, 30)) == len(ROWS)


def test_a_step_of_pairs_raises_the_margin(folder: Path) -> None:
    passes = passes_of(folder, OBJECTIVES["base"])
    rows = referred(passes, "start")
    found = []
    for _ in range(5):
        passes.gradient(rows, LABELS, len(rows))
        found.append(passes.measured[2].item() / passes.measured[-1].item())
        passes.weights.vector -= 0.02 * passes.weights.gradient
        passes.weights.refresh()
    assert found[0] == pytest.approx(0, abs=1e-4)
    assert found == sorted(found)
    assert found[-1] > 2e-3


def loaded_tokenizer(folder: Path) -> Loaded:
    return load_model(
        ModelOptions(name=str(folder), device="cpu", quantization="none", precision="fp32"),
        Patches(),
    )


def test_a_long_rejected_answer_is_cut_and_one_without_an_end_has_no_stop(folder: Path) -> None:
    tokenizer = loaded_tokenizer(folder).tokenizer
    stop = stop_token(tokenizer)
    asked = Example(
        id="1", prompt=(Message("user", "?"),), completion="{}", format="json", rejected="ab"
    )
    ended = encode_rejected(tokenizer, asked, stop, 100)
    assert ended[-1] == stop
    assert encode_rejected(tokenizer, asked, stop, len(ended) - 2) == ended[:-2]
    looped = Example(
        **{field: getattr(asked, field) for field in ("id", "prompt", "completion", "format")},
        rejected="ab",
        tags={"rejected_finish_reason": "length"},
    )
    assert encode_rejected(tokenizer, looped, stop, 100) == ended[:-1]


def test_an_adapter_of_another_rank_or_scale_is_refused(folder: Path, tmp_path: Path) -> None:
    model = drawn(folder, fast=False)
    model.save_pretrained(tmp_path / "adapter")
    load_adapter(tmp_path / "adapter", model)
    settings = tmp_path / "adapter" / "adapter_config.json"
    told = json.loads(settings.read_text())
    for key, value, what in (("r", 8, "lora_r = 8"), ("lora_alpha", 3, "lora_alpha = 3")):
        settings.write_text(json.dumps({**told, key: value}))
        with pytest.raises(UserError, match=what):
            load_adapter(tmp_path / "adapter", model)
    with pytest.raises(UserError, match="holds no adapter to start from"):
        load_adapter(tmp_path / "none", model)


CONFIG = """
[data]
generator = "jsonl"
file = "{rows}"
[model]
name = "{model}"
[train]
trainer = "dpo"
max_seq_length = 128
gradient_accumulation_steps = 6
num_train_epochs = 3
learning_rate = 5e-3
logging_steps = 2
eval_steps = 8
save_steps = 3
n_format_eval_prompts = 2
format_eval_max_new_tokens = 4
[eval]
max_new_tokens = 4
"""


@pytest.fixture(scope="module")
def config(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pairs")
    with (home / "rows.jsonl").open("w") as out:
        for index in range(40):
            asked, told = f"The number {index}, as JSON.", json.dumps({"n": index})
            pair = {"prompt": asked, "chosen": told, "rejected": f"It is {index}." * (1 + index)}
            turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]
            worse = [turns[0], {"role": "assistant", "content": f"It is {index}."}]
            implicit = {"chosen": turns, "rejected": worse}
            out.write(json.dumps(pair if index % 2 else implicit) + "\n")
    path = home / "pairs.toml"
    path.write_text(CONFIG.format(rows=home / "rows.jsonl", model=folder))
    return path


@pytest.fixture(scope="module")
def whole(config: Path) -> Path:
    return trained(config, config.parent / "whole")


def trained(config: Path, out: Path, *settings: str, command: str = "train") -> Path:
    chosen = [part for setting in settings for part in ("--set", setting)]
    result = CliRunner().invoke(main, [command, str(config), "--out", str(out), *chosen])
    assert result.exit_code == 0, result.output
    (out / "said.txt").write_text(result.output)
    return out


def scalars(out: Path, name: str) -> list[float]:
    told = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [row[name] for row in told if name in row]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "adapter" / "adapter_model.safetensors")


def test_a_run_on_preference_rows_learns_to_prefer(whole: Path) -> None:
    margins = scalars(whole, "train/rewards/margins")
    assert margins[0] == pytest.approx(0, abs=0.05)
    assert margins[-1] > margins[0] + 0.05
    assert scalars(whole, "train/rewards/accuracies")[-1] > 0.8
    assert len(scalars(whole, "train/rewards/chosen")) == len(margins)
    facts = json.loads((whole / "manifest.json").read_text())["stages"]["train"]
    assert facts["pairs"] > 20


def test_a_resumed_training_ends_in_the_same_adapter(
    config: Path, whole: Path, tmp_path: Path
) -> None:
    steps = sorted(int(each.name[5:]) for each in (whole / "checkpoints").iterdir())
    cut = tmp_path / "cut"
    ignored = shutil.ignore_patterns("adapter", *(f"step-{step}" for step in steps[2:]))
    shutil.copytree(whole, cut, ignore=ignored)
    trained(config, cut)
    assert f"resuming from step {steps[1]}" in (cut / "said.txt").read_text()
    for name in ("train/loss", "train/rewards/margins"):
        assert scalars(cut, name) == pytest.approx(scalars(whole, name), rel=1e-4)
    ours = weights(cut)
    for name, weight in weights(whole).items():
        torch.testing.assert_close(ours[name], weight, rtol=1e-4, atol=1e-6)


def test_a_later_training_starts_from_an_adapter(config: Path, whole: Path, tmp_path: Path) -> None:
    begin = f'train.initial_adapter="{whole / "adapter"}"'
    settings = (
        begin,
        "train.num_train_epochs=0.1",
        "train.learning_rate=1e-9",
        'train.reference="base"',
    )
    drift = trained(config, tmp_path / "base", *settings)
    before = scalars(whole, "train/rewards/margins")
    assert scalars(drift, "train/rewards/margins")[0] > before[0] + 0.02
    ours = weights(drift)
    for name, weight in weights(whole).items():
        torch.testing.assert_close(ours[name], weight, rtol=0, atol=1e-5)
    anew = trained(config, tmp_path / "start", *settings, 'train.reference="start"')
    assert scalars(anew, "train/rewards/margins")[0] == pytest.approx(0, abs=0.02)


def test_other_trainers_leave_rejected_answers_out(config: Path, tmp_path: Path) -> None:
    out = trained(config, tmp_path / "sft", "train.trainer=qlora", "train.num_train_epochs=0.1")
    assert not scalars(out, "train/rewards/margins")
    facts = json.loads((out / "manifest.json").read_text())["stages"]["train"]
    assert "pairs" not in facts
