"""A run's model as a callable: asked once, kept as it answers, and part of the data's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from click.testing import CliRunner

from fmtharness.harness import plugins
from fmtharness.harness.cli import main
from fmtharness.harness.config import Config, load_config
from fmtharness.harness.contracts import ModelOptions, Options
from fmtharness.harness.errors import ModelError
from fmtharness.harness.plugins import Registered
from fmtharness.harness.records import Completion, Example, Message, read_records
from fmtharness.harness.run.answering import answering
from fmtharness.harness.run.data import data_inputs, write_data
from tests.taught import taught
from tests.test_self_answers import NoLoop
from tests.tiny import tiny_tokenizer

MIX = """
[data]
n_train = 30
n_dev = 4
n_eval = 4
[data.mix.own]
generator = "self_answers"
splits = ["train"]
[data.mix.tasks]
generator = "tasks"
families = { extract = 1.0 }
[model]
name = "MODEL"
[train]
trainer = "lora"
[eval]
backend = "parrot"
"""
ASKED: list[str] = []
LIMITS: list[int] = []


class Killed(BaseException):
    """What no code expects."""


class Parrot(Options):
    """A backend that says the prompt's last turn; killed after so many answers."""

    name: ClassVar[str] = "parrot"
    max_new_tokens: int = 128
    left: ClassVar[int] = 10**9

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        assert adapter is None
        LIMITS.append(self.max_new_tokens)
        for each in examples:
            if len(ASKED) >= Parrot.left:
                raise Killed
            ASKED.append(each.prompt[-1].content)
            text = f"You said: {each.prompt[-1].content} I heard it well."
            yield Completion(example_id=each.id, text=text, finish_reason="stop")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    known = plugins.registry()
    found = {kind: dict(each) for kind, each in known.items()}
    found["evaluators"]["loops"] = Registered("evaluators", "loops", "fmtharness", NoLoop)
    found["backends"]["parrot"] = Registered("backends", "parrot", "fmtharness", Parrot)
    monkeypatch.setattr(plugins, "registry", lambda: found)
    monkeypatch.setattr(Parrot, "left", 10**9)
    ASKED.clear()
    LIMITS.clear()


def config(folder: Path, *overrides: str, text: str = MIX) -> Config:
    path = folder / "own.toml"
    path.write_text(text.replace("MODEL", "smollm2-135m-instruct"))
    return load_config(path, overrides=overrides)


def prompts(*texts: str) -> list[Example]:
    return [
        Example(id=f"id-{text}", prompt=(Message("user", text),), format="none") for text in texts
    ]


def test_a_prompt_is_asked_once(tmp_path: Path) -> None:
    given = config(tmp_path)
    with answering(given) as complete:
        found = [*complete(prompts("a", "b", "a"), 20), *complete(prompts("c", "b"), 20)]
        assert [each.example_id for each in found] == ["id-a", "id-b", "id-a", "id-c", "id-b"]
        assert found[3].text == "You said: c I heard it well."
    assert (ASKED, LIMITS) == (["a", "b", "c"], [20, 20])
    with answering(given) as complete:
        assert next(complete(prompts("c", "a"), 20)).text == found[3].text
        assert LIMITS == [20, 20]
        assert [*complete(prompts("a"), 30)]
    assert LIMITS == [20, 20, 30]


def test_another_model_has_other_answers(tmp_path: Path) -> None:
    for overrides in ((), ('model.precision="fp32"',), ('model.chat_template="plain"',)):
        with answering(config(tmp_path, *overrides)) as complete:
            [*complete(prompts("a"), 20)]
    assert ASKED == ["a", "a", "a"]


def test_a_killed_generation_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = config(tmp_path)
    monkeypatch.setattr(Parrot, "left", 9)
    with pytest.raises(Killed):
        write_data(given, tmp_path / "first")
    assert len(ASKED) == 9
    [kept] = (tmp_path / "cache" / "answers").glob("*.jsonl")
    kept.write_bytes(kept.read_bytes() + b'{"prompt":"half a li')
    monkeypatch.setattr(Parrot, "left", 10**9)
    write_data(given, tmp_path / "data")
    assert len(ASKED) == len({*ASKED})
    train = (tmp_path / "data" / "train.jsonl").read_bytes()
    asked = len(ASKED)
    write_data(given, tmp_path / "again")
    assert len(ASKED) == asked
    assert (tmp_path / "again" / "train.jsonl").read_bytes() == train
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "other"))
    write_data(given, tmp_path / "fresh")
    assert (tmp_path / "fresh" / "train.jsonl").read_bytes() == train


def test_the_data_are_made_anew_for_another_model_only_if_it_is_asked(tmp_path: Path) -> None:
    asks = [data_inputs(config(tmp_path, *each)) for each in ((), ('model.precision="fp32"',))]
    assert asks[0] != asks[1]
    same = data_inputs(config(tmp_path, "eval.max_new_tokens=7"))
    assert asks[0] == same
    plain = MIX.replace('"self_answers"', '"tasks"')
    without = [
        data_inputs(config(tmp_path, *each, text=plain))
        for each in ((), ('model.precision="fp32"',))
    ]
    assert without[0] == without[1]


def test_a_cache_that_cannot_be_written_costs_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file")
    with answering(config(tmp_path)) as complete:
        assert len([*complete(prompts("a", "b"), 20)]) == 2
    assert capsys.readouterr().err.count("answers are not kept") == 1


def test_a_model_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    given = config(
        tmp_path,
        'model.name="./nowhere"',
        text=MIX.replace('backend = "parrot"', "num_prompts = 4"),
    )
    with pytest.raises(ModelError, match=r"'\./nowhere' is not a folder, GGUF file or hub id"):
        write_data(given, tmp_path / "data")


def test_generate_asks_a_real_model(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    said = {"one": "It is 1. Yes.", "two": "It is 2. No.", "six": "Six it is."}
    pairs = [
        (
            tokenizer.encode(f"<|user|>{prompt}<|end|><|assistant|>", add_special_tokens=False),
            tokenizer.encode(f"{answer}<|end|>", add_special_tokens=False),
        )
        for prompt, answer in said.items()
    ]
    model = taught(tmp_path / "model", tokenizer, pairs)
    mine = tmp_path / "mine.jsonl"
    mine.write_text("".join(f'{{"prompt": "{prompt}"}}\n' for prompt in said))
    text = MIX.replace("MODEL", str(model)).replace('backend = "parrot"', "num_prompts = 4")
    path = tmp_path / "real.toml"
    path.write_text(text.replace('splits = ["train"]', f'splits = ["train"]\nprompts = "{mine}"'))
    run = CliRunner().invoke(main, ["generate", str(path), "--to", str(tmp_path / "data")])
    assert run.exit_code == 0, run.output
    rows = [
        each
        for each in read_records(tmp_path / "data" / "train.jsonl", Example)
        if each.id.startswith("own/")
    ]
    assert {each.format for each in rows} == {"none", "json"}
    for each in rows:
        assert any(answer.split()[-1] in each.target for answer in said.values())
    assert {each.target for each in rows if each.format == "none"} <= {*said.values()}
    assert msgspec.json.decode((tmp_path / "data" / "stats.json").read_bytes())
