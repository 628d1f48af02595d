"""Several completions of each prompt: asked once each, judged each, counted by prompt."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from fmtharness.harness import plugins
from fmtharness.harness.cli import main
from fmtharness.harness.commands.blocks import answers_of, blocks, rates
from fmtharness.harness.config import Config, load_config
from fmtharness.harness.contracts import ModelOptions, Options
from fmtharness.harness.errors import ConfigError
from fmtharness.harness.judging.statistics import all_at_k, pass_at_k, rate, wilson
from fmtharness.harness.judging.tally import Tally, tally
from fmtharness.harness.options import build
from fmtharness.harness.plugins import Registered
from fmtharness.harness.records import Completion, Example, Metric, Verdict, read_records
from fmtharness.harness.run import stages
from fmtharness.harness.run.folder import RunFolder
from tests.fakes import FAKE_CONFIG, example, verdict

pytestmark = pytest.mark.usefixtures("fakes")

ASKED: list[tuple[str, int]] = []
LEFT: list[int] = []
"""After how many completions the next call is killed."""
RIGHT = {"eval-0": 4, "eval-1": 2, "eval-2": 1, "eval-3": 0}
"""How many of an Example's samples are right: those from the end."""


class Dice(Options):
    """A backend that knows its samples: the last ones are right."""

    name: ClassVar[str] = "dice"
    temperature: float = 1.0
    max_new_tokens: int = 128

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        for each in reversed(examples):
            if LEFT and not LEFT[0]:
                LEFT.clear()
                raise KeyboardInterrupt
            LEFT[:] = [LEFT[0] - 1] if LEFT else []
            ASKED.append((each.id, each.sample))
            right = each.sample >= 4 - RIGHT.get(each.id, 0) or adapter is not None
            yield Completion(
                example_id=each.id,
                sample=each.sample,
                text=f"{each.target} " if right else f"{each.sample}: no",
                finish_reason="stop",
            )


class Unaware(Options):
    """A backend from before there were samples."""

    name: ClassVar[str] = "unaware"

    def complete(self, examples: Sequence[Example], *_: Any) -> Iterator[Completion]:
        for place, each in enumerate(examples):
            yield Completion(example_id=each.id, text=f"answer {place}")


@pytest.fixture(autouse=True)
def backends(fakes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ASKED.clear()
    LEFT.clear()
    monkeypatch.chdir(tmp_path)
    for each in (Dice, Unaware):
        known = Registered("backends", each.name, "fmtharness", each)
        plugins.registry()["backends"][each.name] = known


def config(arms: str = '["base"]', more: str = "", backend: str = "dice") -> Config:
    options = f'backend = "{backend}"\narms = {arms}\nn = 4\n'
    text = FAKE_CONFIG.replace('backend = "echo"', options)
    Path("dice.toml").write_text(text + more, encoding="utf-8")
    return load_config(Path("dice.toml"))


def run(loaded: Config) -> RunFolder:
    with RunFolder.open(Path("run"), loaded) as opened:
        stages.run_all(opened)
    return opened


def written(name: str = "base") -> list[Completion]:
    return [*read_records(Path(f"run/completions/{name}.jsonl"), Completion)]


def test_each_sample_is_asked_for_judged_and_counted_by_prompt() -> None:
    opened = run(config())
    assert [(each.example_id, each.sample) for each in written()] == [
        (f"eval-{at}", k) for at in range(4) for k in range(4)
    ]
    assert sorted(ASKED) == [(f"eval-{at}", k) for at in range(4) for k in range(4)]
    found = answers_of(opened)["base"].tally.metrics()["json_strict"]
    counts = [(each.name, each.numerator, each.denominator) for each in found]
    assert counts == [("format_success_rate", 7, 16), ("pass@4", 3, 4), ("all@4", 1, 4)]
    low, high = wilson(7, 16)
    assert found[0].low is not None and found[0].low < low - 0.05
    assert found[0].high is not None and found[0].high > high + 0.05
    assert (found[1].low, found[1].high) == wilson(3, 4)
    shown = rates(opened)
    assert "pass@4" in shown and "3/4" in shown
    assert "4 completions of each" in stages.made_with(opened)
    assert load_config(Path("run/config.toml")).eval.n == 4


def test_a_killed_evaluation_asks_for_the_missing_samples_alone() -> None:
    LEFT[:] = [6]
    with pytest.raises(KeyboardInterrupt):
        run(config())
    before = [*ASKED]
    assert len(before) == 6
    run(config())
    assert sorted(ASKED) == [(f"eval-{at}", k) for at in range(4) for k in range(4)]
    assert len(written()) == 16
    run(config())
    assert len(ASKED) == 16, "all is up to date"


def test_samples_of_a_backend_that_does_not_tell_them_apart() -> None:
    run(config(backend="unaware"))
    assert [(each.sample, each.text) for each in written()[4:8]] == [
        (k, f"answer {4 + k}") for k in range(4)
    ]


def test_repaired_arms_repair_each_sample() -> None:
    opened = run(config('["base", "repaired"]'))
    pairs = [*zip(written(), written("repaired"), strict=True)]
    assert all((one.example_id, one.sample) == (two.example_id, two.sample) for one, two in pairs)
    assert [one.text.strip() for one, _ in pairs[:4]] == [two.text.strip() for _, two in pairs[:4]]
    assert "Which cure?" in [*blocks(opened)]


def test_pairs_are_the_first_samples() -> None:
    opened = run(config('["base", "sft"]'))
    table = rates(opened)
    [row] = [line for line in table.splitlines() if "format_success_rate" in line]
    # eval-0's first sample is right in both arms, those of the other three in sft alone.
    assert row.split()[-3:] == ["3", "0", "0.25"]
    assert "7/16" in row and "16/16" in row


def test_the_same_on_the_command_line_and_from_the_file() -> None:
    run(config())
    data, settings = "run/data/eval.jsonl", ["--set", "eval.backend=dice", "--set", "eval.n=4"]
    settings += ["--evaluator", "json_strict", "--evaluator", "json_match"]
    asked = CliRunner().invoke(main, ["eval", "--data", data, *settings, "--json"])
    assert asked.exit_code == 0, asked.stderr
    given = ["eval", "--data", data, "--completions", "run/completions/base.jsonl", "--json"]
    read = CliRunner().invoke(main, [*given, "--processes", "2"])
    assert "several answers" not in read.stderr
    one, two = json.loads(asked.stdout), json.loads(read.stdout)
    assert one["json_strict"]["metrics"] == two["json_strict"]["metrics"]
    assert one["json_strict"]["metrics"]["all@4"]["numerator"] == 1
    rows = CliRunner().invoke(main, [*given, "--dump-jsonl", "rows.jsonl"])
    assert rows.exit_code == 0, rows.stderr
    dumped = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    assert [each.get("sample", 0) for each in dumped] == [0, 1, 2, 3] * 4


@pytest.mark.parametrize("backend", ["dice", "transformers"])
def test_equal_completions_are_refused(backend: str) -> None:
    with pytest.raises(ConfigError, match=r"n = 4 with temperature 0 gives 'base' 4 equal"):
        config(more="temperature = 0.0", backend=backend)


@pytest.mark.parametrize("n", range(1, 6))
def test_pass_at_k_is_the_share_of_all_choices(n: int) -> None:
    for passed, k in itertools.product(range(n + 1), range(1, n + 1)):
        choices = [*itertools.combinations([True] * passed + [False] * (n - passed), k)]
        assert pass_at_k(n, passed, k) == pytest.approx(sum(map(any, choices)) / len(choices))
        assert all_at_k(n, passed, k) == pytest.approx(sum(map(all, choices)) / len(choices))
    assert pass_at_k(n, 1, 1) == pytest.approx(1 / n)


STRICT = build("evaluators", "json_strict")


def judged(samples: Sequence[Sequence[bool | None]], n: int) -> Tally:
    verdicts: list[Verdict] = []
    for at, each in enumerate(samples):
        verdicts += [verdict(f"e{at}", "json_strict", passed) for passed in each]
    known = {f"e{at}": example(f"e{at}") for at in range(len(samples))}
    return tally([STRICT], verdicts, known, n=n)


def width(metric: Metric) -> float:
    assert metric.low is not None and metric.high is not None
    return metric.high - metric.low


def test_intervals_widen_where_samples_agree_and_only_there() -> None:
    alike = judged([[at % 2 == 0] * 8 for at in range(40)], 8).metrics()["json_strict"][0]
    random = Random(0)
    apart = [[random.random() < 0.5 for _ in range(8)] for _ in range(40)]
    mixed = judged(apart, 8).metrics()["json_strict"][0]
    naive = rate("", 160, 320)
    assert width(alike) == pytest.approx(width(rate("", 20, 40)), rel=0.05)
    assert width(alike) > 2.5 * width(naive)
    assert width(mixed) < 1.3 * width(naive)


def test_one_prompt_alone_is_one_draw() -> None:
    [found, *_] = judged([[True, True, False, True]], 4).metrics()["json_strict"]
    assert width(found) > 0.7


def test_prompts_with_unscored_samples_are_left_out_of_pass_at_n() -> None:
    sums = judged([[True, None], [True, False], [True, True]], 2)
    found = {each.name: each for each in sums.metrics()["json_strict"]}
    assert (found["pass@2"].numerator, found["pass@2"].denominator) == (2, 2)
    assert (found["all@2"].numerator, found["all@2"].denominator) == (1, 2)
    assert found["format_success_rate"].denominator == 5


def test_slices_and_parts_of_samples_add_up() -> None:
    known = [example(f"e{at}") for at in range(6)]
    sums = [Tally([STRICT], n=2) for _ in range(3)]
    for at, each in enumerate(known * 2):
        found = Completion(example_id=each.id, text="", reasoning="so" if at % 2 else None)
        for part in (sums[0], sums[1 + (at > 6)]):
            part.count(found)
            part.add(verdict(each.id, "json_strict", at % 4 > 1), each, found)
    sums[1].merge(pickle.loads(pickle.dumps(sums[2])))
    assert repr(sums[1].sliced("json_strict")) == repr(sums[0].sliced("json_strict"))
    assert repr(sums[1].named()) == repr(sums[0].named())
    by_format = sums[0].sliced("json_strict")["format"]["json"]
    assert repr(by_format) == repr(sums[0].metrics()["json_strict"])
    assert sums[0].own("reasoning_rate").denominator == 12
    assert width(sums[0].own("reasoning_rate")) > width(rate("", 6, 12))


ROWS = [
    {"id": f"e{at}", "sample": k, "text": text}
    for at, texts in enumerate((("{}", "no", "{}"), ("no", "no", "{}"), ("{}", "{}", "{}")))
    for k, text in enumerate(texts)
]


ORDERS: dict[str, Any] = {
    "by prompt": lambda row: 0,
    "by sample": lambda row: row["sample"],
    "backwards": lambda row: -row["sample"],
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_rows_changes_no_number(
    order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = sorted([{"id": "e3", "sample": 0, "text": "{}"}, *ROWS], key=ORDERS[order])
    worse = [row | {"text": "no"} if row["sample"] else row for row in rows]
    for name, some in (("a", rows), ("b", worse)):
        Path(f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in some))
    arms = ["--arm", "a=a.jsonl", "--arm", "b=b.jsonl"]
    done = CliRunner().invoke(main, ["eval", *arms, "--evaluator", "json_strict", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    found = told["arms"]["a"]["json_strict"]["metrics"]
    assert {name: (each["numerator"], each["denominator"]) for name, each in found.items()} == {
        "format_success_rate": (7, 10),
        "pass@3": (3, 3),
        "all@3": (1, 3),
    }
    change = told["changes"]["b"]["json_strict"]
    assert [change[key] for key in ("pairs", "fixed", "broken")] == [4, 0, 0], "their first samples"
