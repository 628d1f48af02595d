"""The generator of the model's own answers, with a model that is a function."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
from msgspec import UNSET

from fmtharness.generators.answer_objects import content, repeats, whole_part
from fmtharness.generators.mix import Mix
from fmtharness.generators.self_answers import MOST_ATTEMPTS, SelfAnswers
from fmtharness.harness import plugins
from fmtharness.harness.contracts import Options
from fmtharness.harness.errors import ConfigError, DataError, UserError
from fmtharness.harness.options import build
from fmtharness.harness.plugins import Registered
from fmtharness.harness.records import OPEN, Completion, Example, Verdict

LOOP = "again and again and again"


class NoLoop(Options):
    """Fails what says LOOP; stands in for the evaluator `loops`."""

    name: ClassVar[str] = "loops"

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        passed = LOOP not in completion.text
        return Verdict(id=completion.example_id, evaluator=self.name, passed=passed)


@pytest.fixture(autouse=True)
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    known = plugins.registry()
    loops = Registered("evaluators", "loops", "fmtharness", NoLoop)
    found = {**known, "evaluators": {**known["evaluators"], "loops": loops}}
    monkeypatch.setattr(plugins, "registry", lambda: found)


class Model:
    """Answers by a function of the prompt's last turn; counts what it was asked."""

    def __init__(self, answer: Callable[[str], tuple[str, str]]) -> None:
        self.answer, self.asked = answer, list[str]()

    def __call__(self, examples: Sequence[Example], limit: int) -> Iterator[Completion]:
        for each in examples:
            self.asked.append(each.prompt[-1].content)
            text, reason = self.answer(each.prompt[-1].content)
            assert limit == 96
            yield Completion(example_id=each.id, text=text, finish_reason=reason)  # type: ignore[arg-type]


def said(prompt: str) -> tuple[str, str]:
    """Three sentences, of which two have quotes and apostrophes."""
    return f"It's about \"{prompt[:12]}\".\nIt is short.\n\nThat's all \\ there is.", "stop"


def fickle(prompt: str) -> tuple[str, str]:
    """Every third answer loops, and every third is cut in its second sentence."""
    kind = sum(map(ord, prompt)) % 3
    if kind == 0:
        return f"Well, {LOOP}.", "stop"
    if kind == 1:
        return (
            f"A first sentence that is long enough about {prompt[:9]}. A second that is cu",
            "length",
        )
    return said(prompt)


def made(
    n: int, answer: Callable[[str], tuple[str, str]] = said, split: Any = "train", **options: Any
) -> list[Example]:
    generator = SelfAnswers(**options).with_completions(Model(answer))
    return list(generator.generate(split, n, Random(3)))


def test_an_answer_is_a_retention_row_as_it_is() -> None:
    rows = made(20, open=0.0)
    assert {each.format for each in rows} == {"none"}
    assert all(each.completion == said(each.prompt[-1].content)[0] for each in rows)
    assert rows[0].id == "train-0"


def test_an_answer_is_put_into_varied_objects_that_hold_all_of_it() -> None:
    rows = made(60, retention=0.0)
    strict = build("formats", "json")
    shapes = set()
    for each in rows:
        value = strict.parse(each.target).value
        assert (each.value, each.tags["open"]) == (UNSET, True)  # another answer is as right
        shapes.add(str(sorted(value)) + each.tags["shape"])
        text = each.target.replace('\\"', '"').replace("\\\\", "\\")
        assert "It's about \"" in text
        assert "That's all \\ there is." in text
        assert "json" in "\n".join(turn.content for turn in each.prompt).lower()
    assert len(shapes) > 15
    assert len({each.prompt[-1].content for each in rows}) == 60


def test_retention_rows_and_plain_text_keep_what_the_base_predicts() -> None:
    rows = made(60, plain=1.0)
    for each in rows:
        assert each.tags.get("keeps", False) == (each.format == "none")
    plain = [each for each in rows if not each.prompt]
    assert len(plain) > 10
    assert all(each.target.startswith("It's about") for each in plain)


def test_plain_text_of_prompts_asks_nothing() -> None:
    model = Model(said)
    generator = SelfAnswers(retention=0.0, open=0.0, plain=1.0, plain_text="prompts")
    rows = list(generator.with_completions(model).generate("train", 20, Random(3)))
    assert (len({each.target for each in rows}), model.asked) == (20, [])
    assert all(not each.prompt and len(each.target.split()) > 20 for each in rows)


def test_named_keys_are_those_of_the_answer() -> None:
    named = [
        (each, turn.content)
        for each in made(80, retention=0.0)
        for turn in each.prompt
        if "keys" in turn.content.lower()
    ]
    assert len(named) > 10
    for each, text in named:
        if "Use the keys" in text or "Keys: " in text:
            assert all(key in text for key in json.loads(each.target))


def test_what_loops_is_dropped_and_the_next_prompt_is_asked() -> None:
    rows = made(60, fickle, open=0.0)
    assert [each.id for each in rows] == [f"train-{i}" for i in range(60)]
    assert all(fickle(each.prompt[-1].content)[0] == each.completion for each in rows)
    assert not any(LOOP in each.target for each in rows)


def test_a_retention_row_may_be_cut_off_and_an_earlier_turn_may_not() -> None:
    rows = made(80, fickle, open=0.0)
    assert any(each.target.endswith("that is cu") for each in rows)
    earlier = [turn for each in rows for turn in each.prompt if turn.role == "assistant"]
    assert earlier
    assert not any(turn.content.endswith("cu") for turn in earlier)


def test_an_open_example_may_hold_the_whole_sentences_of_a_cut_answer() -> None:
    texts = [each.target for each in made(40, fickle, retention=0.0)]
    assert any("long enough" in text for text in texts)
    assert not any("A second that is cu" in text for text in texts)


def test_an_example_depends_on_seed_split_and_number_alone() -> None:
    assert made(70, fickle) == made(70, fickle)
    assert made(9, fickle) == made(70, fickle)[:9]
    assert made(9, fickle) != made(9, fickle, "eval")


def test_the_splits_share_no_prompt_and_no_key() -> None:
    train, held = made(200), made(200, split="eval")
    asked = [{each.prompt[-1].content for each in rows} for rows in (train, held)]
    assert not asked[0] & asked[1]
    keys = [
        {key for each in rows if each.format == "json" for key in json.loads(each.target)}
        for rows in (train, held)
    ]
    assert keys[0]
    assert not keys[0] & keys[1]


def test_n_prompts_bounds_what_is_asked() -> None:
    model = Model(said)
    generator = SelfAnswers(n_prompts=5, open=0.0).with_completions(model)
    rows = list(generator.generate("train", 50, Random(0)))
    assert len(rows) == 50
    assert len({each.prompt[0] for each in rows}) <= 5


def test_own_prompts_are_asked_instead(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(f'{{"prompt": "What is {i}?"}}\n' for i in range(40)))
    model = Model(said)
    generator = SelfAnswers(prompts=path, open=0.0).with_completions(model)
    found = {
        split: {each.prompt[-1].content for each in generator.generate(split, 40, Random(0))}
        for split in ("train", "dev", "eval")
    }
    assert all(each.startswith("What is ") for each in model.asked)
    assert not found["train"] & found["eval"]
    path.write_text('{"prompt": "What is 1?"}\n')
    with pytest.raises(DataError, match="falls into"):
        for split in ("train", "dev", "eval"):
            list(SelfAnswers(prompts=path).with_completions(model).generate(split, 1, Random(0)))


def own(path: Path, n: int) -> Path:
    path.write_text("".join(f'{{"prompt": "Tell me about town {i}."}}\n' for i in range(n)))
    return path


def test_each_own_prompt_comes_once_before_one_comes_twice(tmp_path: Path) -> None:
    path = own(tmp_path / "mine.jsonl", 200)
    rows = made(160, prompts=path, open=0.0)
    asked = [each.prompt[-1].content for each in rows]
    given = len({*asked})
    assert 70 < given < 130
    assert {*asked[:given]} == {*asked}
    assert asked[given:] == asked[: 160 - given]


def test_texts_of_own_prompts_ask_nothing(tmp_path: Path) -> None:
    path = own(tmp_path / "mine.jsonl", 60)
    with path.open("a") as file:
        file.writelines(f'{{"prompt": "{text}"}}\n' for text in ("<|im_end|>", " ", "\ufffd"))
    options: dict[str, Any] = {"retention_text": "prompts", "plain_text": "prompts"}
    generator = SelfAnswers(prompts=path, open=0.0, plain=1.0, **options)  # without a model
    for split in ("train", "dev", "eval"):
        rows = list(generator.generate(split, 60, Random(0)))
        retention = {each.prompt[-1].content: each.target for each in rows if each.prompt}
        assert all(asked != text and "town" in text for asked, text in retention.items())
        plain = [each.target for each in rows if not each.prompt]
        assert plain
        assert all(text.count("Tell me about town") == 5 for text in plain)


def test_an_earlier_turn_is_answered_before_the_follow_up() -> None:
    long = [each for each in made(150, open=0.0) if len(each.prompt) > 2]
    turns = [each.prompt[-3:] for each in long if each.prompt[-2].role == "assistant"]
    assert turns
    for first, second, third in turns:
        assert (first.role, third.role) == ("user", "user")
        assert second.content == said(first.content)[0]


@pytest.mark.parametrize("name", ["yaml", "toml", "xml", "csv", "markdown_table", "jsonl"])
def test_open_examples_are_in_any_format(name: str) -> None:
    rows = made(12, retention=0.0, format=name)
    judge = build("formats", name)
    assert {each.format for each in rows} == {name}
    for each in rows:
        bound = type(judge)(**each.format_options) if each.format_options else judge
        assert bound.parse(each.target).ok


def test_a_format_that_holds_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="holds no shape for an answer's text"):
        build("generators", "self_answers:format=tool_call")


def test_without_a_model_there_is_a_sentence() -> None:
    with pytest.raises(UserError, match="has no model to ask"):
        next(SelfAnswers().generate("train", 1, Random(0)))


def test_a_model_that_only_loops_is_given_up() -> None:
    with pytest.raises(DataError, match=f"to {MOST_ATTEMPTS} prompts in a row"):
        made(3, lambda prompt: (LOOP, "stop"))


def test_prompts_without_an_answer_are_told_with_the_reason() -> None:
    def complete(examples: Sequence[Example], limit: int) -> Iterator[Completion]:
        for each in examples:
            error = f"its prompt has {each.prompt[-1].content.count('a') * 1000} tokens"
            if some and "e" in each.prompt[-1].content[:9]:
                yield Completion(example_id=each.id, text=LOOP, finish_reason="stop")
            else:
                yield Completion(example_id=each.id, text="", finish_reason="error", error=error)

    generator = SelfAnswers(open=0.0).with_completions(complete)
    some = False
    with pytest.raises(DataError, match=r"40 prompts in a row got no answer.*prompt has \d+000 t"):
        next(generator.generate("train", 3, Random(0)))
    some = True
    with pytest.raises(
        DataError, match=r"\(\d+ of them got none: .*has \d+000 t.*raise max_new_tokens"
    ):
        next(generator.generate("train", 3, Random(0)))


def test_a_mix_asks_for_little_more_than_it_draws() -> None:
    model = Model(said)
    parts = {
        "own": {"generator": "self_answers", "weight": 1, "splits": ["train"], "open": 0.0},
        "tasks": {"generator": "tasks", "weight": 9},
    }
    mixed = Mix(mix=parts).with_completions(model)
    rows = list(mixed.generate("train", 100, Random(1)))
    own = [each for each in rows if each.id.startswith("own/")]
    assert 3 <= len(own) <= 25
    assert len({*model.asked}) <= 2 * len(own) + 20
    assert rows[:40] == list(mixed.generate("train", 40, Random(1)))
    assert list(mixed.generate("eval", 5, Random(1)))


def test_what_an_answer_consists_of() -> None:
    found = content("Two things:\n1. Salt. It is cheap.\n2. Oil\n\nDr. No said so. Bye!")
    assert found.items == ["Salt. It is cheap.", "Oil"]
    assert len(found.paragraphs) == 2
    assert found.sentences[-1] == "Bye!"
    assert whole_part('He said "no." Then 3.5 was ') == 'He said "no."'
    assert whole_part("1. Salt\n2. Oil is good.\n3. ") == "1. Salt\n2. Oil is good."
    assert whole_part("nothing whole") == ""
    assert repeats("It is so. Yes. It is so.")
    assert not repeats("It is so. Yes.")


def test_a_kind_whose_answers_often_fail_keeps_its_share() -> None:
    weights = {"retention": 2, "plain": 2, "plain_text": "prompts", "open": 1}
    families = [each.tags["family"] for each in made(400, fickle, **weights)]
    assert abs(families.count("self_retention") / 400 - 0.4) < 0.07
    assert abs(families.count("self_open") / 400 - 0.2) < 0.06


def test_a_round_asks_nothing_of_what_only_keeps_the_base() -> None:
    weights: dict[str, Any] = {"retention": 2, "plain": 1, "open": 1}
    model, asked = Model(fickle), Model(fickle)
    every = SelfAnswers(**weights).with_completions(model)
    blank = SelfAnswers(**weights).with_completions(asked).to_be_asked()
    whole = [*every.generate("train", 60, Random(7))]
    drawn = [*blank.generate("train", 60, Random(7))]
    assert [each for each in drawn if each.prompt] == [each for each in whole if OPEN in each.tags]
    assert len(asked.asked) < len(model.asked) / 2


def test_retention_by_other_prompts_asks_no_model() -> None:
    generator = SelfAnswers(retention=1, open=0, retention_text="prompts")
    found = [*generator.generate("train", 30, Random(7))]
    assert all(each.prompt and each.target and each.tags["keeps"] for each in found)
    assert all(each.target != each.prompt[-1].content for each in found)
    assert len({each.target for each in found}) > 20
