"""Each built-in Format brings everything that is derived from one: data, judges, command line."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from fmtharness.generators.families import FAMILIES
from fmtharness.generators.tasks import Tasks
from fmtharness.harness.cli import main
from fmtharness.harness.contracts import Split
from fmtharness.harness.formats import for_example, for_value, labels_of, title
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import build
from fmtharness.harness.plugins import load
from fmtharness.harness.records import Completion, Example
from fmtharness.harness.run.data_stats import collect_stats
from fmtharness.harness.testing import plain_values
from tests.test_generators import WORKED_OUT

FORMATS = sorted(load(())["formats"])
SPLITS: tuple[Split, ...] = ("train", "dev", "eval")


def test_there_are_ten() -> None:
    assert set(FORMATS) >= {
        *("json", "json_array", "jsonl", "tool_call", "yaml", "toml"),
        *("xml", "csv", "markdown_table", "regex"),
    }


def examples(name: str, split: Split = "train", n: int = 150, **options: Any) -> list[Example]:
    return list(Tasks(format=name, **options).generate(split, n, Random(5)))


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("name", FORMATS)
def test_data(name: str) -> None:
    """Targets are strict, judged right by their own options, and derivable from the prompt."""
    strict, match = (build("evaluators", f"{name}_{kind}") for kind in ("strict", "match"))
    for split in SPLITS:
        rows = examples(name, split, eval_strictness="mixed")
        known = {row.id: row for row in rows}
        for text, right in (("completion", True), ("broken", False)):
            completions = [
                Completion(
                    example_id=row.id,
                    text=row.target if text == "completion" else f"Sure!\n{row.target}",
                )
                for row in rows
            ]
            verdicts = list(judge([strict, match], known, completions))
            assert {verdict.passed for verdict in verdicts} == {right}, (name, text)
        for row in rows:
            prompt = html.unescape("\n".join(message.content for message in row.prompt))
            for text in texts(None if row.tags["family"] in WORKED_OUT else row.value):
                assert text in prompt or json.dumps(text, ensure_ascii=False)[1:-1] in prompt, row
            assert title(build("formats", name)) in prompt or row.tags["strictness"] != "easy"


@pytest.mark.parametrize("name", FORMATS)
def test_broken_answers_are_broken_by_their_name(name: str) -> None:
    rows = examples(name, fix_bad_output_prob_train=1.0, hard_negative_prob_train=0.0)
    target = build("formats", name)
    kinds = {kind for row in rows for kind in row.tags["bad_outputs"]}
    assert len(kinds) > len(target.corruptions()) / 2
    assert kinds <= target.corruptions().keys()
    broken = {}
    for row in rows:
        if len(row.prompt) > 1 and row.prompt[-2].role == "assistant" and row.tags["bad_outputs"]:
            text = row.prompt[-2].content
            labels = {p.label for p in for_example(target, row).parse(text).problems}
            broken[row.id] = labels >= set(row.tags["bad_outputs"])
    assert broken and all(broken.values())


@pytest.mark.parametrize("name", FORMATS)
def test_families_that_fit(name: str) -> None:
    target = build("formats", name)
    rows = examples(name, train_strictness="mixed", n=400)
    assert {row.tags["shape"] for row in rows} == set(target.shapes)
    families = {row.tags["family"] for row in rows}
    fitting = {n for n, family in FAMILIES.items() if family.shapes & target.shapes}
    if name == "regex":
        fitting.remove("quotes_and_escapes")  # its values do not fit one line
    assert families == fitting


@pytest.mark.parametrize("name", FORMATS)
def test_no_two_splits_share_anything(name: str) -> None:
    separation = collect_stats(*(examples(name, split) for split in SPLITS))["separation"]
    assert not any(sum(found["shared"].values()) for found in separation.values()), separation


@pytest.mark.parametrize("name", FORMATS)
def test_every_label_is_explained_and_every_corruption_has_one(name: str) -> None:
    target = build("formats", name)
    assert target.corruptions().keys() <= labels_of(target).keys()
    for label, meaning in labels_of(target).items():
        assert label.replace("_", "").isalnum() and label.islower()
        assert meaning and not meaning.endswith(".") and "\n" not in meaning


@pytest.mark.parametrize("name", FORMATS)
def test_the_command_line(name: str, tmp_path: Path) -> None:
    value = plain_values(build("formats", name))[0]
    bound = for_value(build("formats", name), value)
    spec = name
    if bound != build("formats", name):
        pattern = bound.model_dump()["pattern"]  # type: ignore[attr-defined]
        spec = f"{name}:pattern={json.dumps(pattern)}"
    text = bound.render(value)
    run = CliRunner().invoke
    assert run(main, ["check", "--format", spec, "--text", text]).exit_code == 0
    failed = run(main, ["check", "--format", spec, "--text", f"Sure! Here it is:\n{text}"])
    assert failed.exit_code == 1
    assert f"{name}_strict: failed" in failed.output

    arguments = [f"--set=data.format={name}", "--set=data.n_train=8", "--set=data.n_eval=4"]
    # The quick preset names families that not every format holds.
    config = tmp_path / "data.toml"
    config.write_text("[data]\n")
    made = run(main, ["generate", str(config), "--to", str(tmp_path / "data"), *arguments])
    assert made.exit_code == 0, made.output
    rows = (tmp_path / "data" / "train.jsonl").read_text().splitlines()
    assert {json.loads(row)["format"] for row in rows} == {name}
