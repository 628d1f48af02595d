"""The generator `jsonl`: a user's own rows as the data of a run."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fmtharness.generators.jsonl import Rows
from fmtharness.harness.cli import main
from fmtharness.harness.config import ALL, Config, load_config
from fmtharness.harness.contracts import Split, applies
from fmtharness.harness.errors import ConfigError, DataError
from fmtharness.harness.options import build
from fmtharness.harness.run.data import data_inputs
from tests.test_dataset_forms import write
from tests.tiny import CONFIG, tiny_model

SPLITS: tuple[Split, ...] = ("train", "dev", "eval")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trl(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [{"prompt": f"Number {n}?", "completion": json.dumps({"n": n}), **more} for n in numbers]


def split(generator: Rows, name: Split, n: int = ALL, seed: int = 0) -> list[str]:
    found = generator.generate(name, n, Random(seed))
    return [each.prompt[-1].content for each in found]


def all_splits(generator: Rows, seed: int = 0) -> dict[Split, list[str]]:
    return {name: split(generator, name, seed=seed) for name in SPLITS}


def config(text: str, *overrides: str) -> Config:
    Path("my.toml").write_text(text)
    return load_config(Path("my.toml"), overrides=overrides)


def refused(text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config(text, *overrides)
    return str(caught.value)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_one_file_is_divided_by_the_prompts() -> None:
    write(Path("rows.jsonl"), *trl(*range(200)))
    found = all_splits(Rows(file="rows.jsonl"))
    every = [prompt for prompts in found.values() for prompt in prompts]
    assert sorted(every) == sorted(f"Number {n}?" for n in range(200))
    assert 25 < len(found["eval"]) < 55 and 8 < len(found["dev"]) < 35
    assert found["train"] == sorted(found["train"], key=lambda text: int(text[7:-1]))
    assert all_splits(Rows(file="rows.jsonl")) == found != all_splits(Rows(file="rows.jsonl"), 1)


def test_a_prompt_stays_in_its_split() -> None:
    write(Path("few.jsonl"), *trl(*range(0, 100, 2)))
    messages = [{"messages": [{"role": "user", "content": f" number\n{n}? "}]} for n in range(100)]
    for turn in messages:
        turn["messages"].append({"role": "assistant", "content": "{}"})
    write(Path("more.jsonl"), *reversed(messages), *trl(5)[:0])
    few, more = all_splits(Rows(file="few.jsonl")), all_splits(Rows(file="more.jsonl"))
    for name in SPLITS:
        told = {" ".join(text.lower().split()) for text in more[name]}
        assert {text.lower() for text in few[name]} <= told


def test_equal_prompts_lie_together() -> None:
    rows = [
        {"prompt": f"{space}Number {n % 20}?", "completion": "{}"}
        for n in range(40)
        for space in ("", " ")
    ]
    write(Path("rows.jsonl"), *rows)
    found = {
        name: {text.strip() for text in texts}
        for name, texts in all_splits(
            Rows(file="rows.jsonl", eval_share=0.3, dev_share=0.3)
        ).items()
    }
    assert not found["train"] & found["dev"] and not found["train"] & found["eval"]
    assert not found["dev"] & found["eval"] and sum(map(len, found.values())) == 20


def test_three_files(capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(SPLITS):
        write(Path(f"{name}.jsonl"), *trl(*range(10 * number, 10 * number + 3)))
    rows = Rows(train_file="train.jsonl", dev_file="dev.jsonl", eval_file="eval.jsonl")
    assert all_splits(rows) == {
        name: [f"Number {10 * number + n}?" for n in range(3)] for number, name in enumerate(SPLITS)
    }
    assert split(rows, "train", 2) == ["Number 0?", "Number 1?"]
    capsys.readouterr()
    assert len(split(rows, "eval", 50)) == 3
    assert "eval.jsonl: there are 3 rows for eval, and n_eval is 50" in capsys.readouterr().err
    assert (
        len(
            split(
                Rows(train_file="train.jsonl", eval_file="eval.jsonl", dev_share=0, limit=1),
                "train",
            )
        )
        == 1
    )


def test_what_has_no_file_is_taken_out_of_train(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("a.jsonl"), *trl(*range(100)))
    write(Path("b.jsonl"), *trl(*range(100, 110)))
    whole, part = all_splits(Rows(file="a.jsonl")), Rows(train_file="a.jsonl", eval_file="b.jsonl")
    capsys.readouterr()
    found = all_splits(part)
    assert (found["dev"], len(found["eval"])) == (whole["dev"], 10)
    assert set(found["train"]) == {*whole["train"], *whole["eval"]}
    told = capsys.readouterr().err
    assert (
        "a.jsonl: 10% of the prompts are dev, chosen by a hash, since there is no dev_file" in told
    )
    assert "eval_file" not in told


def test_a_prompt_in_two_files_is_an_error_unless_allowed() -> None:
    write(Path("a.jsonl"), *trl(1, 2, 3))
    write(Path("b.jsonl"), *trl(4, 5), {"prompt": " NUMBER  2?", "completion": "{}"})
    rows = Rows(train_file="a.jsonl", dev_file="b.jsonl", eval_file="b.jsonl")
    with pytest.raises(DataError) as caught:
        split(rows, "train")
    assert str(caught.value) == (
        "a.jsonl, line 2: its prompt is also that of b.jsonl, line 3 (dev); remove one of them, or "
        "set allow_overlap = true"
    )
    allowed = Rows(train_file="a.jsonl", eval_file="b.jsonl", dev_share=0, allow_overlap=True)
    assert len(split(allowed, "train")) == len(split(allowed, "eval")) == 3


def test_what_cannot_be_trained_on() -> None:
    write(Path("a.jsonl"), {"prompt": "a", "completion": "{}"}, {"prompt": "b", "completion": None})
    whole = Rows(file="a.jsonl", dev_share=0, eval_share=0)
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: it has no answer, and one is needed"):
        split(whole, "train")
    with pytest.raises(DataError, match=r"none of its rows falls into dev with dev_share = 0; "):
        split(whole, "dev")
    same: Any = {"train_file": "a.jsonl", "eval_file": "a.jsonl", "limit": 1}
    assert split(Rows(**same, dev_share=0, allow_overlap=True), "train") == ["a"]
    assert split(Rows(**same, dev_share=0, allow_overlap=True), "eval") == ["a"]
    with pytest.raises(DataError, match=r"its prompt is also that of a\.jsonl, line 1 \(eval\)"):
        split(Rows(**same, dev_share=0), "train")


def test_the_evaluators_follow_from_the_rows() -> None:
    call = {"name": "book", "arguments": {}}
    write(
        Path("a.jsonl"),
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "{}"}]},
        {
            "messages": [
                {"role": "user", "content": "b"},
                {"role": "assistant", "tool_calls": [call]},
            ]
        },
    )
    text = '[data]\ngenerator = "jsonl"\nfile = "a.jsonl"\n'
    assert config(text).eval.evaluators == (
        "json_strict",
        "duplicate_json_objects",
        "extras",
        "json_match",
        "tool_call_strict",
        "tool_call_match",
    )
    assert config(text + 'format = "yaml"\n').eval.evaluators == ("yaml_strict", "yaml_match")
    named = config(text + '[eval]\nevaluators = ["json_strict", "tool_call_strict"]\n')
    assert [each.name for each in named.evaluators] == ["json_strict", "tool_call_strict"]
    assert "none judges tool_call" in refused(text + '[eval]\nevaluators = ["json_strict"]\n')
    assert "does not say in which formats" in refused(text + 'format = "none"\n')


def test_a_schema_brings_its_judge() -> None:
    Path("schema.json").write_text(json.dumps(SCHEMA))
    Path("models_of_mine.py").write_text(
        "from pydantic import BaseModel\nclass Number(BaseModel):\n    n: int\n"
    )
    write(Path("a.jsonl"), *trl(*range(30)))
    write(Path("b.jsonl"), *trl(*range(30), schema=SCHEMA))
    write(Path("c.jsonl"), *trl(1, schema=SCHEMA), *trl(*range(30)))
    text = '[data]\ngenerator = "jsonl"\n'
    for more in (
        'file = "a.jsonl"\nschema = "schema.json"\n',
        'file = "a.jsonl"\nschema = "models_of_mine:Number"\n',
        'file = "b.jsonl"\n',
    ):
        made = config(text + more)
        assert [each.name for each in made.evaluators][-1] == "json_schema"
        held = next(made.generator.generate("train", 1, Random(0))).tags["json_schema"]
        assert held["properties"]["n"]["type"] == "integer"
    some = config(text + 'file = "c.jsonl"\n').eval.evaluators
    assert some and some[-1] == "json_schema", "rows that lack one are held to their target's"
    message = refused(text + 'file = "a.jsonl"\nschema = "shcema.json"\n')
    assert message.startswith("my.toml: [data]: schema: shcema.json: it cannot be read")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", "[data]: set one of file and train_file"),
        ('file = "a"\ntrain_file = "b"', "[data]: set one of file and train_file"),
        ('fiel = "a"', "has no key 'fiel', did you mean 'file'?"),
        ('file = "a"\nform = "mesages"', "did you mean 'messages'?"),
        ('file = "a"\nformat = "jsn"', "did you mean 'json'?"),
        ('file = "a"\ndev_share = 0.5\neval_share = 0.5', "leave nothing to train on"),
        (
            'file = "rosw.jsonl"',
            "[data]: rosw.jsonl: cannot be read (No such file or directory), did",
        ),
        (
            'file = "bad.jsonl"',
            "[data]: bad.jsonl, line 1: its keys (question) are those of no form",
        ),
    ],
)
def test_mistakes_in_the_config(more: str, words: str) -> None:
    write(Path("rows.jsonl"), *trl(1))
    write(Path("bad.jsonl"), {"question": 1})
    message = refused(f'[data]\ngenerator = "jsonl"\n{more}\n')
    assert message.startswith("my.toml: ") and words in message
    assert message.count("\n") == more.startswith("fiel")


def test_rows_without_a_format_are_judged_by_nobody() -> None:
    write(Path("a.jsonl"), {"prompt": "How are you?", "completion": "Fine."})
    rows = Rows(file="a.jsonl", format="none", dev_share=0, eval_share=0)
    (example,) = rows.generate("train", 1, Random(0))
    assert rows.formats == ()
    for spec in ("json_strict", "json_match", "duplicate_json_objects", "extras"):
        assert not applies(build("evaluators", spec), example)


def test_sizes_unset_are_all_there_is() -> None:
    write(Path("a.jsonl"), *trl(*range(200)))
    made = config('[data]\ngenerator = "jsonl"\nfile = "a.jsonl"\n')
    assert "n_train" not in made.tables()["data"]
    done = call("generate", "my.toml", "--to", "data")
    assert done.exit_code == 0, done.output
    counts = [len(Path(f"data/{name}.jsonl").read_text().splitlines()) for name in SPLITS]
    assert sum(counts) == 200 and min(counts) > 8
    set_ = config('[data]\ngenerator = "jsonl"\nfile = "a.jsonl"\nn_train = 5\n')
    assert set_.tables()["data"]["n_train"] == 5
    tasks = config("[data]\nn_dev = 7\n").data
    assert (tasks.n_train, tasks.n_dev, tasks.n_eval) == (800, 7, 100)


RUN = """
[data]
generator = "jsonl"
train_file = "rows.jsonl"
eval_file = "eval.jsonl"
[train]
trainer = "copier"
[retention]
num_prompts = 0
[eval]
backend = "echo"
"""


@pytest.mark.usefixtures("fakes")
def test_a_whole_run_on_own_rows() -> None:
    write(Path("rows.jsonl"), *trl(*range(40)))
    write(Path("eval.jsonl"), *trl(*range(100, 110)))
    Path("mine.toml").write_text(RUN)
    done = call("run", "mine.toml")
    assert done.exit_code == 0, done.output
    assert "rows.jsonl: 40 rows, read as TRL prompt/completion (prompt-completion)" in done.stderr
    assert "and 10 eval Examples" in done.stderr
    assert "format_success_rate" in done.stdout
    assert "data: outputs/mine/data is up to date" in call("run", "mine.toml").stderr
    write(Path("eval.jsonl"), *trl(*range(100, 111)))
    again = call("run", "mine.toml")
    assert again.exit_code == 0 and "and 11 eval Examples" in again.stderr
    Path("eval.jsonl").unlink()
    assert call("plot", "outputs/mine").exit_code in (0, 2)
    kept = load_config(Path("outputs/mine/config.toml"), asked=False)
    assert kept.evaluators[0].name == "json_strict"


@pytest.mark.slow
def test_a_real_training_on_forty_rows(here: Path) -> None:
    tiny_model(here / "model")
    write(Path("rows.jsonl"), *trl(*range(40)))
    write(Path("check.jsonl"), *trl(*range(100, 110)))
    rest = CONFIG[CONFIG.index("[model]") :].format(model=here / "model")
    rest = rest.replace("num_train_epochs = 2", "num_train_epochs = 1")
    data = RUN[: RUN.index("[train]")].replace("eval.jsonl", "check.jsonl")
    Path("mine.toml").write_text(data + rest)
    done = call("run", "mine.toml")
    assert done.exit_code == 0, done.output
    assert (here / "outputs/mine/adapter/adapter_model.safetensors").is_file()
    card = (here / "outputs/mine/adapter/README.md").read_text()
    assert "generator `jsonl`, all Examples" in card
    told = json.loads((here / "outputs/mine/manifest.json").read_text())
    assert {"data", "train", "verdicts/base", "verdicts/sft"} <= told["stages"].keys()


def test_files_and_a_schema_in_code_are_inputs_of_the_data() -> None:
    Path("shapes_of_mine.py").write_text("Number = {'type': 'object'}\n")
    write(Path("a.jsonl"), *trl(1))
    made = config(
        '[data]\ngenerator = "jsonl"\nfile = "a.jsonl"\nschema = "shapes_of_mine:Number"\n'
    )
    before = data_inputs(made)
    assert {"generator jsonl: file", "schema", "package fmtharness.harness.dataset"} <= {*before}
    write(Path("a.jsonl"), *trl(1, 2))
    assert data_inputs(made)["generator jsonl: file"] != before["generator jsonl: file"]


def test_a_run_s_folder_chooses_no_code() -> None:
    write(Path("a.jsonl"), *trl(1))
    Path("my.toml").write_text(
        '[data]\ngenerator = "jsonl"\nfile = "a.jsonl"\nschema = "evil_of_mine:Number"\n'
    )
    Path("evil_of_mine.py").write_text("raise SystemExit('ran')\n")
    with pytest.raises(ConfigError, match=r"'evil_of_mine:Number' is code, and a run's folder"):
        load_config(Path("my.toml"), asked=False)
