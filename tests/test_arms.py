"""Runs that compare other arms than base and sft."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fmtharness.harness import plugins
from fmtharness.harness.commands.blocks import answers_of, blocks, cures_of, rates
from fmtharness.harness.commands.compare import compare, planned
from fmtharness.harness.config import Config, RetentionOptions, load_config
from fmtharness.harness.contracts import ModelOptions, Options
from fmtharness.harness.errors import ConfigError, PluginError
from fmtharness.harness.judging.statistics import pairs_needed
from fmtharness.harness.plugins import Registered
from fmtharness.harness.records import Completion, Example, Message, read_records
from fmtharness.harness.run import provenance, stages
from fmtharness.harness.run.folder import RunFolder
from tests.fakes import CALLS, FAKE_CONFIG

pytestmark = pytest.mark.usefixtures("fakes")

SEEN: list[tuple[Message, ...]] = []


class Other(Options):
    """A backend of another model: right where `every` divides the Example's place, backwards."""

    name: ClassVar[str] = "other"
    every: int = 2
    constrained: bool = False

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        CALLS.append(f"other {self.every}{' constrained' * self.constrained}")
        for place, each in reversed([*enumerate(examples)]):
            SEEN.append(each.prompt)
            right = self.constrained or place % self.every == 0
            target = each.completion or "Good morning!"
            text = target if right else f"```json\n{target}\n```"
            yield Completion(
                example_id=each.id, text=text, finish_reason="stop", completion_tokens=10, cost=0.5
            )


class Silent(Other):
    """A backend that forgets the last Example."""

    name: ClassVar[str] = "silent"

    def complete(self, examples: Sequence[Example], *rest: Any) -> Iterator[Completion]:
        return super().complete(examples[:-1], *rest)


@pytest.fixture(autouse=True)
def others(fakes: list[str]) -> None:
    SEEN.clear()
    for each in (Other, Silent):
        known = Registered("backends", each.name, "fmtharness", each)
        plugins.registry()["backends"][each.name] = known


def config(folder: Path, arms: str, more: str = "", backend: str = "other") -> Config:
    path = folder / "arms.toml"
    text = FAKE_CONFIG.replace('backend = "echo"', f'backend = "{backend}"\narms = {arms}')
    path.write_text(text + more, encoding="utf-8")
    return load_config(path)


SERVERS = """
[eval.servers.one]
backend = "other"
every = 1
[eval.servers.two]
backend = "other"
every = 4
"""


def run(folder: Path, loaded: Config) -> RunFolder:
    with RunFolder.open(folder / "run", loaded) as opened:
        stages.run_all(opened)
    return opened


def test_servers_are_arms_and_nothing_is_trained_without_sft(tmp_path: Path) -> None:
    loaded = config(tmp_path, '["server:two", "base", "server:one"]', SERVERS)
    opened = run(tmp_path, loaded)
    assert [call for call in CALLS if call != "judge"] == ["other 4", "other 2", "other 1"]
    assert not opened.adapter.exists()
    found = answers_of(opened)
    assert [arm.tally.metrics()["json_strict"][0].numerator for arm in found.values()] == [1, 2, 4]
    rows = [*read_records(tmp_path / "run/completions/server-one.jsonl", Completion)]
    assert [each.example_id for each in rows] == [f"eval-{i}" for i in range(4)]
    assert {each.arm for each in rows} == {"server:one"}
    assert load_config(tmp_path / "run/config.toml").arms == loaded.arms


def test_the_table_of_cures_has_a_row_for_each_arm(tmp_path: Path) -> None:
    arms = '["base", "server:one", "repaired", "constrained"]'
    opened = run(tmp_path, config(tmp_path, arms, SERVERS))
    [title, table, said] = blocks(opened)
    assert title == "Which cure?"
    assert [line.split()[0] for line in table.splitlines()[2:]] == [
        "base",
        "server:one",
        "repaired",
        "constrained",
    ]
    assert "500" in table.splitlines()[3]
    assert "base and server:one cannot be told apart on 4 prompts" in said
    assert rates(opened).count("format_success_rate") == 1
    assert [cure.headlines[0].value for cure in cures_of(opened)] == [0.5, 1, 1, 1]
    shown, _ = compare(opened, 3, tmp_path / "out.md")
    assert "Which cure?" in shown
    assert "| base" in (tmp_path / "out.md").read_text(encoding="utf-8")
    assert "0.500" in planned(opened)


def test_a_repaired_arm_asks_no_model(tmp_path: Path) -> None:
    opened = run(tmp_path, config(tmp_path, '["base", "repaired"]'))
    assert CALLS.count("other 2") == 1
    sums = [arm.tally.metrics()["json_strict"][0].numerator for arm in answers_of(opened).values()]
    assert sums == [2, 4]


def test_the_order_of_the_arms_is_free(tmp_path: Path) -> None:
    loaded = config(tmp_path, '["repaired", "server:one", "base"]', SERVERS)
    kept = RetentionOptions(num_prompts=2, dev_prompts=0)
    opened = run(tmp_path, dataclasses.replace(loaded, retention=kept))
    found = answers_of(opened)
    assert [*found] == ["repaired", "server:one", "base"]
    assert [arm.tally.metrics()["json_strict"][0].numerator for arm in found.values()] == [4, 4, 2]
    assert cures_of(opened)[1].retained is not None


def test_what_a_format_shapes_is_asked_again_when_its_code_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = config(tmp_path, '["base", "repaired", "instructed", "constrained"]')
    run(tmp_path, loaded)
    identity = provenance.identity
    monkeypatch.setattr(
        provenance,
        "identity",
        lambda kind, name: f"{identity(kind, name)}{' edited' * (kind == 'formats')}",
    )
    capsys.readouterr()
    run(tmp_path, loaded)
    again = [line for line in capsys.readouterr().err.splitlines() if "runs again" in line]
    asked = [line for line in again if line.startswith("completions/")]
    assert [line.split(":")[0] for line in asked] == [
        f"completions/{arm}" for arm in ("instructed", "constrained", "repaired")
    ]
    assert all("format json" in line for line in asked), asked


def test_prompts_with_the_instruction_and_with_examples(tmp_path: Path) -> None:
    run(tmp_path, config(tmp_path, '["base", "instructed", "few_shot"]'))
    plain, told, shot = SEEN[:4], SEEN[4:8], SEEN[8:]
    assert all(each[0].role == "system" and "JSON" in each[0].content for each in told)
    assert [each[-1] for each in told] == [each[-1] for each in plain]
    assert all(len(each) == 6 + len(first) for each, first in zip(shot, plain, strict=True))
    assert [each.role for each in shot[0][-7:-1]] == ["user", "assistant"] * 3


@pytest.mark.parametrize(
    ("arms", "more", "said"),
    [
        ('["base", "sft", "sft"]', "", "'sft' is named twice"),
        ('["bsae"]', "", "there is no arm 'bsae', did you mean 'base'"),
        ('["server:x"]', "", r"'server:x'; describe it in \[eval.servers.x\]"),
        ('["sft_repaired"]', "", "'sft_repaired' repairs 'sft'; name that, too"),
        ('["base"]', '[eval.servers."a b"]\nbackend = "other"\n', "'a b' cannot name a file"),
        ('["base"]', '[eval.servers.a]\nbackend = "other"\nevry = 1\n', "no key 'evry'"),
        ('["base"]', "[eval]\nservers = 3\n", "servers is a table"),
    ],
)
def test_wrong_arms_are_named(tmp_path: Path, arms: str, more: str, said: str) -> None:
    if more.startswith("[eval]\n"):
        arms, more = f"{arms}\nservers = 3", ""
    with pytest.raises(ConfigError, match=said):
        config(tmp_path, arms, more)


def test_a_backend_that_cannot_be_constrained_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'echo' cannot constrain its completions"):
        config(tmp_path, '["base", "constrained"]', backend="echo")


def test_a_backend_that_forgets_an_example_is_named(tmp_path: Path) -> None:
    loaded = config(tmp_path, '["base"]', backend="silent")
    with pytest.raises(PluginError, match="'silent' gave no Completion for Example 'eval-3'"):
        run(tmp_path, loaded)


def test_how_many_pairs_a_difference_takes() -> None:
    # Connor 1987: discordant pairs of 0.3 and a difference of 0.1 take some 230 pairs.
    assert 225 < pairs_needed(0.3, 0.1) < 240
    assert pairs_needed(0.3, 0.05) > 3.5 * pairs_needed(0.3, 0.1)
