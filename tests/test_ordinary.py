"""Ordinary prompts: many, of every kind, apart between splits, and none of the evaluation's."""

from __future__ import annotations

import json
import re

import pytest

from fmtharness.generators.dice import Dice
from fmtharness.generators.ordinary import KINDS, WRITABLE, ordinary
from fmtharness.generators.ordinary.surroundings import FOLLOW_UPS, LEADS, SYSTEMS, TAILS
from fmtharness.generators.ordinary.topics import TOPICS
from fmtharness.generators.ordinary.wordings import WORDINGS
from fmtharness.generators.ownership import SPLITS
from fmtharness.harness.contracts import Split
from fmtharness.harness.dataset.near import Known, Near, normalized
from tests.fakes import ROOT

RUN = 5
"""Words in a row that no prompt shares with one of the evaluation's."""


def measured() -> list[str]:
    """What the prompts of data/retention and data/open say, in both halves."""
    found = []
    for name in ("retention/prompts.jsonl", "open/requests.jsonl"):
        for line in (ROOT / "data" / name).read_text(encoding="utf-8").splitlines():
            prompt = json.loads(line)["prompt"]
            turns = [prompt] if isinstance(prompt, str) else [each["content"] for each in prompt]
            found.append(normalized("\n".join(turns)))
    return found


def drawn(split: Split, n: int) -> list[str]:
    return [ordinary(split, Dice(f"{split}/{i}")).messages[-1].content for i in range(n)]


def runs(text: str) -> set[str]:
    words = re.findall(r"\w+", text.casefold())
    return {" ".join(words[at : at + RUN]) for at in range(len(words) - RUN + 1)}


def test_there_are_many() -> None:
    wordings = [each for kind in WORDINGS.values() for split in SPLITS for each in kind[split]]
    topics = [each for pool in TOPICS.values() for split in SPLITS for each in pool[split]]
    assert len({*wordings}) >= 250
    assert len({*topics}) >= 600
    assert len({*drawn("train", 10_000)}) >= 5_000


@pytest.mark.parametrize("split", SPLITS)
def test_every_kind_is_in_every_split(split: Split) -> None:
    assert KINDS.keys() == WORDINGS.keys()
    assert WRITABLE.keys() <= KINDS.keys()
    for pools in (WORDINGS, TOPICS):
        assert all(len(pool[split]) >= 2 for pool in pools.values())
    found = {ordinary(split, Dice(str(i))).kind for i in range(400)}
    assert found == KINDS.keys()


def test_the_splits_share_nothing() -> None:
    for pool in (*WORDINGS.values(), *TOPICS.values(), SYSTEMS, FOLLOW_UPS, LEADS, TAILS):
        assert not {*pool["train"]} & {*pool["dev"], *pool["eval"]}
        assert not {*pool["dev"]} & {*pool["eval"]}
    assert not {*drawn("train", 3000)} & {*drawn("eval", 3000)}


def test_no_prompt_is_near_to_one_of_the_evaluations() -> None:
    near = Near([Known("evaluation", at, text) for at, text in enumerate(measured())])
    close = [
        each for split in SPLITS for each in drawn(split, 3000) if near.match(normalized(each))
    ]
    assert close == []


def test_no_wording_or_topic_shares_five_words_with_the_evaluations() -> None:
    known = set().union(*map(runs, measured()))
    texts = [each for kind in WORDINGS.values() for split in SPLITS for each in kind[split]]
    texts += [each for pool in TOPICS.values() for split in SPLITS for each in pool[split]]
    assert [each for each in texts if runs(each) & known] == []


def test_topics_of_the_evaluation_are_avoided() -> None:
    asked = " ".join(measured())
    named = [
        each
        for kind in ("subject", "thing", "deed", "situation", "role", "program")
        for split in SPLITS
        for each in TOPICS[kind][split]
        if re.search(rf"\b{re.escape(each.removeprefix('a ').removeprefix('an '))}\b", asked)
    ]
    assert named == []


def test_an_example_draws_the_same_prompt_again() -> None:
    assert ordinary("dev", Dice("7")) == ordinary("dev", Dice("7"))
    prompts = [ordinary("train", Dice(str(i))) for i in range(500)]
    assert any(each.follow_up for each in prompts)
    assert any(each.messages[0].role == "system" for each in prompts)
    plain = [ordinary("train", Dice(str(i)), WRITABLE, turns=False) for i in range(200)]
    assert not any(each.follow_up or len(each.messages) > 1 for each in plain)
