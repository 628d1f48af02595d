"""`fmtharness data`: every planted fault is found under its name, and clean rows have none."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from fmtharness.harness.cli import main
from fmtharness.harness.config import load_config
from fmtharness.harness.dataset.doctor import examine, in_memory
from fmtharness.harness.dataset.doctor_checks import CHECKS
from fmtharness.harness.dataset.near import Known, Near, normalized
from fmtharness.harness.dataset.reader import Source
from fmtharness.harness.errors import UserError
from fmtharness.harness.records import encode
from tests.fakes import ROOT

Rows = list[dict[str, Any]]
CITIES = ("Oslo", "Riga", "Bern", "Lima", "Cairo", "Quito", "Tunis", "Seoul", "Dakar", "Hanoi")
HOTELS = ("Anker", "Birke", "Cedar", "Dune")
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "hotel": {"type": "string"},
        "nights": {"type": "integer"},
    },
    "required": ["city", "hotel", "nights"],
}


def target(row: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(row["completion"]))


def clean(salt: str = "") -> Rows:
    """40 rows alike, none of which has a fault."""
    rows = []
    for at in range(40):
        city, hotel, nights = CITIES[at % 10], HOTELS[at // 10], 2 + at
        prompt = f"Booking{salt}: {nights} nights at the {hotel} in {city}, please. Answer in JSON."
        rows.append(
            {
                "id": f"row{salt}-{at}",
                "prompt": [{"role": "user", "content": prompt}],
                "completion": json.dumps({"city": city, "hotel": hotel, "nights": nights}),
                "format": "json",
                "tags": {"json_schema": SCHEMA},
            }
        )
    return rows


def write(path: Path, rows: Rows) -> Source:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Source(str(path))


def say(at: int, text: str | Callable[[str], str]) -> Callable[[Rows, Rows], None]:
    """Another target in one row; a call is given the old one."""

    def plant(train: Rows, dev: Rows) -> None:
        old = train[at]["completion"]
        train[at]["completion"] = text if isinstance(text, str) else text(old)

    return plant


def ask(at: int, text: str | Callable[[str], str]) -> Callable[[Rows, Rows], None]:
    """Another prompt in one row."""

    def plant(train: Rows, dev: Rows) -> None:
        message = train[at]["prompt"][-1]
        message["content"] = text if isinstance(text, str) else text(message["content"])

    return plant


def hotel(name: str, prompt: str = "") -> Callable[[Rows, Rows], None]:
    """A row about a hotel of another name."""

    def plant(train: Rows, dev: Rows) -> None:
        train[7]["completion"] = json.dumps({**target(train[7]), "hotel": name}, ensure_ascii=False)
        if prompt:
            train[7]["prompt"][0]["content"] += prompt

    return plant


def answer_again(train: Rows, dev: Rows) -> None:
    train[9] = {**train[3], "id": "again"}
    train[9]["completion"] = json.dumps({**target(train[3]), "nights": 99})


def repeat(train: Rows, dev: Rows) -> None:
    train[9] = {**train[3], "id": "again"}


def share(change: Callable[[str], str]) -> Callable[[Rows, Rows], None]:
    def plant(train: Rows, dev: Rows) -> None:
        prompt = LONG_PROMPT
        train[5]["prompt"] = [{"role": "user", "content": prompt}]
        dev[8] = {
            **train[5],
            "id": "dev-8",
            "prompt": [{"role": "user", "content": change(prompt)}],
        }

    return plant


LONG_PROMPT = (
    "My wife and I would like to stay for a week at the old Anker by the harbor of Bern if there "
    "is a quiet room on an upper floor, with breakfast and a late arrival on the first day."
)


def with_system(train: Rows, dev: Rows) -> None:
    for row in train:
        row["prompt"] = [{"role": "system", "content": "You book hotels."}, *row["prompt"]]


def one_system(train: Rows, dev: Rows) -> None:
    train[4]["prompt"] = [{"role": "system", "content": "You book hotels."}, *train[4]["prompt"]]


def without_target(train: Rows, dev: Rows) -> None:
    del train[6]["completion"]


def last_word(train: Rows, dev: Rows) -> None:
    train[6]["prompt"].append({"role": "assistant", "content": "Gladly."})


def other_form(old: str) -> str:
    return json.dumps({"place": json.loads(old)["city"], "hotel": "Anker", "nights": 3})


def turned(old: str) -> str:
    return json.dumps(dict(reversed(json.loads(old).items())))


def without_schema(plant: Callable[[Rows, Rows], None]) -> Callable[[Rows, Rows], None]:
    def planted(train: Rows, dev: Rows) -> None:
        plant(train, dev)
        for row in train:
            row["tags"] = {}

    return planted


def decompose(train: Rows, dev: Rows) -> None:
    for at, name in enumerate(("Zoë", "Zoë", "Zoë", unicodedata.normalize("NFD", "Zoë"))):
        value = {**target(train[at]), "hotel": name}
        train[at]["completion"] = json.dumps(value, ensure_ascii=False)


def some_escaped(train: Rows, dev: Rows) -> None:
    for at, ascii_alone in enumerate((False, False, False, True)):
        value = {**target(train[at]), "hotel": "Zoë"}
        train[at]["completion"] = json.dumps(value, ensure_ascii=ascii_alone)


def line_ends(train: Rows, dev: Rows) -> None:
    for row in train:
        row["completion"] = json.dumps(target(row), indent=1)
    train[7]["completion"] = train[7]["completion"].replace("\n", "\r\n")


def systems(train: Rows, dev: Rows) -> None:
    with_system(train, dev)
    for row in dev:
        row["prompt"] = [{"role": "system", "content": "You are a clerk."}, *row["prompt"]]


FAULTS: dict[str, tuple[str, Callable[[Rows, Rows], None]]] = {
    "trailing comma": ("fails_format", say(7, lambda old: old[:-1] + ",}")),
    "cut in the middle": ("fails_format", say(7, lambda old: old[: len(old) // 2])),
    "text before": ("fails_format", say(7, lambda old: f"Here you are: {old}")),
    "number as text": ("fails_schema", say(7, '{"city": "Oslo", "hotel": "Birke", "nights": "9"}')),
    "code fence": ("fenced_target", say(7, lambda old: f"```json\n{old}\n```")),
    "no target": ("no_target", without_target),
    "empty target": ("empty_target", say(7, "")),
    "empty prompt": ("empty_prompt", ask(7, "  ")),
    "prompt ends with an answer": ("ends_with_answer", last_word),
    "prompt in a template": (
        "templated_prompt",
        ask(7, lambda old: f"<|im_start|>user\n{old}<|im_end|>\n<|im_start|>assistant\n"),
    ),
    "half of a pair": ("lone_surrogate", ask(7, lambda old: f"{old} \ud83d")),
    "rejected is the target": (
        "rejected_is_target", lambda rows, _: rows[7].update(rejected=rows[7]["completion"]),
    ),
    "nothing rejected": ("empty_rejected", lambda rows, _: rows[7].update(rejected=" ")),
    "stop token": ("template_markers", hotel("Birke<|im_end|>")),
    "Llama's stop token": ("template_markers", hotel("Birke<|eot_id|>")),
    "Mistral's marker": ("template_markers", hotel("[INST] Birke")),
    "think tag": ("template_markers", hotel("<think>Birke</think>")),
    "prompt in dev": ("prompt_in_two_splits", share(lambda prompt: f" {prompt.upper()} ")),
    "nearly a prompt of dev": (
        "near_duplicates", share(lambda prompt: prompt.replace("a week", "two weeks")),
    ),
    "two answers": ("contradictory_targets", answer_again),
    "system in train alone": ("system_in_one_split", with_system),
    "mojibake": ("damaged_text", hotel("CafÃ©", " Café")),
    "replacement character": ("damaged_text", hotel("Caf\ufffd", " Café")),
    "zero width space": ("invisible_characters", hotel("Bir\u200bke")),
    "Cyrillic o": ("lookalike_letters", hotel("Birk\u0435")),
    "HTML escape": ("html_entities", hotel("Birke &amp; Sons", " Birke & Sons")),
    "template not filled": ("unfilled_template", hotel("{{ hotel }}")),
    "placeholder": ("placeholder_value", hotel("TODO")),
    "ellipsis": ("placeholder_value", hotel("...")),
    "refusal": ("refusal", hotel("I'm sorry, but I can't help with that")),
    "outer space": ("outer_space", say(7, lambda old: f"{old}\n")),
    "same row twice": ("duplicate_rows", repeat),
    "another set of keys": ("key_set_once", without_schema(say(7, other_form))),
    "another type": (
        "types_once", without_schema(say(7, '{"city": "Oslo", "hotel": "Birke", "nights": "9"}')),
    ),
    "another order of keys": ("key_order_mixed", say(7, turned)),
    "indented": ("layout_mixed", say(7, lambda old: json.dumps(json.loads(old), indent=2))),
    "no spaces": (
        "layout_mixed", say(7, lambda old: json.dumps(json.loads(old), separators=(",", ":"))),
    ),
    "decomposed": ("normal_forms_mixed", decompose),
    "letters escaped": ("escapes_mixed", some_escaped),
    "other line ends": ("line_ends_mixed", line_ends),
    "another system prompt": ("other_system", systems),
    "rounding error": ("float_digits", without_schema(
        say(7, '{"city": "Oslo", "hotel": "Birke", "nights": 0.30000000000000004}')
    )),
    "far longer": ("far_longer", hotel("Birke " * 500)),
    "another script": ("other_script", hotel("旅館")),
    "one system prompt": ("system_in_some_rows", one_system),
    "prompt not filled": ("unfilled_prompt", ask(7, lambda old: f"{old} {{{{ name }}}}")),
}  # fmt: skip
"""What is planted, the check that finds it, and how."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_under_its_own_name(fault: str, tmp_path: Path) -> None:
    check, plant = FAULTS[fault]
    train, dev = clean(), clean(" by letter")
    plant(train, dev)
    found = examine([write(tmp_path / "train.jsonl", train), write(tmp_path / "dev.jsonl", dev)])
    names = {each.check for each in found.findings}
    assert check in names
    assert {each.check for each in found.findings if each.grave} <= {check}
    finding = next(each for each in found.findings if each.check == check)
    at = "dev.jsonl" if check == "other_system" else "train.jsonl"
    assert finding.places[0].file.endswith(at)
    assert bool(found.stops) is CHECKS[check].grave


def test_the_faults_are_many_and_the_rows_clean(tmp_path: Path) -> None:
    assert len(FAULTS) >= 25
    files = [write(tmp_path / "train.jsonl", clean()), write(tmp_path / "dev.jsonl", clean(" b"))]
    assert examine(files).findings == []
    # These need a tokenizer, and a judge that fails.
    assert set(CHECKS) - {check for check, _ in FAULTS.values()} == {"cut_off", "unscored"}


@pytest.mark.parametrize("config", ["hard", "formats"])
def test_nothing_grave_in_generated_rows(config: str, tmp_path: Path) -> None:
    """5,000 rows of the built-in generator, of JSON and of all formats, in three splits."""
    generator = load_config(ROOT / "configs" / f"{config}.toml").generator
    generator = dict(getattr(generator, "parts", {})).get("tasks", generator)  # no model to ask
    sources = []
    for split, count in (("train", 3500), ("dev", 500), ("eval", 1000)):
        path = tmp_path / f"{split}.jsonl"
        rows = generator.generate(split, count, Random(7))
        path.write_bytes(b"".join(map(encode, rows)))
        sources.append(Source(str(path)))
    found = examine(sources, processes=1)
    assert not [each for each in found.findings if each.grave]
    # The generator's own temptations stand in some prompts; no other note is about 1% of rows.
    notes = {each.check: each for each in found.findings}
    # `languages` asks in English for words of other scripts. In other formats than JSON such a name
    # of a city is a larger part of an open text.
    families = {"hard": {"languages"}, "formats": {"languages", "open_writing"}}[config]
    words = notes.pop("other_script", None)
    by_id = {each.id: each for each in generator.generate("train", 3500, Random(7))}
    for place in words.places if words else ():
        if place.id in by_id:
            assert by_id[place.id].tags["family"] in families
    assert notes.keys() <= {"unfilled_prompt", "layout_mixed", "far_longer", "types_once"}
    assert sum(each.count for each in notes.values()) < 50


def test_one_process_and_several_find_the_same(tmp_path: Path) -> None:
    rows = []
    for block in range(400):
        train = clean(f" {block}")
        rows += train
    rows[11]["completion"] = "{"
    rows[15_000]["completion"] = "[]"
    answer_again(rows, [])
    source = write(tmp_path / "many.jsonl", rows)
    assert (tmp_path / "many.jsonl").stat().st_size > 4 << 20
    dev = write(tmp_path / "dev.jsonl", clean(" d"))
    one, two = (examine([source, dev], processes=count) for count in (1, 2))
    assert one == two
    counts = {each.check: each.count for each in one.findings}
    assert counts == {"fails_format": 2, "contradictory_targets": 1}
    assert [each.line for each in one.findings[0].places] == [12, 15_001]
    assert one.findings[0].places[1].id == rows[15_000]["id"]
    assert one.findings[1].places[0].beside == "line 4"


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["data", *map(str, arguments)])
    return done.exit_code, done.output


def test_the_command_shows_the_span_and_exits_with_1(tmp_path: Path) -> None:
    rows = clean()
    rows[7]["completion"] = '{"city": "Oslo", "nights": 9,}'
    write(tmp_path / "rows.jsonl", rows)
    code, text = run(tmp_path / "rows.jsonl")
    assert code == 1
    assert "grave: fails_format: 1 time: the target is not what" in text
    assert "(trailing_comma 1)" in text
    assert "rows.jsonl, line 8, id row-7" in text
    assert "--> target:1:29" in text
    code, text = run(tmp_path / "rows.jsonl", "--allow", "fails_format")
    assert code == 0
    assert "allowed: fails_format" in text
    code, text = run(tmp_path / "rows.jsonl", "--json")
    found = json.loads(text)
    assert (code, found["passed"]) == (1, False)
    assert found["findings"][0]["labels"] == {"trailing_comma": 1}
    assert found["findings"][0]["places"][0]["line"] == 8
    code, text = run(tmp_path / "rows.jsonl", "--allow", "fails_formt")
    assert code == 2
    assert "did you mean 'fails_format'?" in text


def test_a_config_and_a_run_folder_are_looked_at(tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    short = "families = { extract = 1.0, key_values = 1.0 }\n"
    config.write_text(f"[data]\n{short}n_train = 20\nn_dev = 5\nn_eval = 5\n")
    code, text = run(config, "--processes", "1")
    assert code == 0
    assert "train.jsonl: 20 rows, read as example" in text
    assert "/train.jsonl" not in text
    folder = tmp_path / "data"
    done = CliRunner().invoke(main, ["generate", str(config), "--to", str(folder)])
    assert done.exit_code == 0
    code, text = run(folder)
    assert code == 0
    assert "eval.jsonl: 5 rows" in text
    assert run(folder, "--dev", folder / "dev.jsonl")[0] == 2
    assert run(tmp_path.parent)[0] == 2
    assert run(tmp_path / "none.jsonl")[0] == 2


def test_near_is_exact_and_leaves_out_what_is_shared() -> None:
    texts = [f"{normalized(LONG_PROMPT)} {'x' * at}" for at in range(1)]
    near = Near([Known("dev", 1, texts[0])])
    match = near.match(normalized(LONG_PROMPT.replace("a week", "two weeks")))
    assert match is not None
    assert 0.8 <= match.similarity < 1
    assert near.match(normalized(LONG_PROMPT[len(LONG_PROMPT) // 2 :])) is None
    template = f"{LONG_PROMPT} The guest is"
    filled = [normalized(f"{template} guest{at} of room{at}") for at in range(40)]
    known = [Known("dev", at, text) for at, text in enumerate(filled[:20])]
    assert all(Near(known, filled[20:]).match(text) is None for text in filled[20:])


def test_near_finds_texts_without_spaces() -> None:
    known = "我想预订奥斯陆市中心的一家安静的旅馆住三个晚上并且需要早餐和停车位谢谢您的帮助"
    near = Near([Known("dev", 1, known)])
    assert near.match(known.replace("谢谢", "多谢")) is not None
    assert (
        near.match("请把下面这段关于天气的话翻译成英文并且用表格的形式列出所有的温度数据") is None
    )


def test_allowed_names_are_checked() -> None:
    with pytest.raises(UserError, match="no check 'near'"):
        in_memory([], ["near"])
