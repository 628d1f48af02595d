"""Which answers are in a format that nobody asked for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.evaluators.answers.unasked_format import UnaskedFormat
from fmtharness.harness.cli import main
from fmtharness.harness.contracts import applies
from fmtharness.harness.errors import UserError
from fmtharness.harness.options import build
from fmtharness.harness.records import Completion, Example, Message, Verdict
from tests.fakes import ROOT


def judged(text: str, tag: Any = None, *unasked: str) -> Verdict:
    tags = {} if tag is None else {"asks_for": tag}
    example = Example(id="x", prompt=(Message("user", "?"),), format="none", tags=tags)
    judge = UnaskedFormat(unasked=unasked)
    return judge.evaluate(example, Completion(example_id="x", text=text))


FORMATTED = {
    "json": [
        '{"boil": true, "egg": "egg"}',
        '{"flea": "flea"}',
        "{}",
        '["Oslo", "Riga"]',
        "[1, 2, 3]",
        '[{"a": 1}, {"a": 2}]',
        '{"a": 1}\n{"a": 2}\n{"a": 3}',
        '{"answer": "Put it into boiling water and wait for eight minutes."}',
        '{"answer": "Put it into boi',
        '{"boil": true, "egg": "egg"',
        '{"boil": true,}',
        "{'boil': True, 'egg': 'egg'}",
        '{"boil": true, "egg": "egg"}}',
        '{"boil": true "egg": "egg"}',
        '```json\n{"boil": true, "egg": "egg"}\n```',
        '```\n{"boil": true, "egg": "egg"}\n```',
        '```json\n{"boil": true, "egg": "eg',
        'Sure: {"boil": true, "egg": "egg", "minutes": 8, "water": "hot", "salt": false}',
        'Here it is:\n\n```json\n{"boil": true, "egg": "egg", "minutes": 8, "water": "hot"}\n```',
        '{"boil": true, "egg": "egg", "minutes": 8, "water": "hot", "cold": null}\n\nEnjoy it!',
        '{"name": "find_room", "arguments": {"city": "Oslo"}}',
        '{\n  "title": "Eggs",\n  "steps": [\n    "Boil the water",\n    "Wait"\n  ]\n}',
        '{"a": "one"} {"a": "two"}',
        '{"greeting": "Guten Abend!", "name": "Jürgen"}',
    ],
    "yaml": [
        "boil: true\negg: egg",
        "---\nboil: true\nminutes: 8",
        "recipe:\n  egg: 1\n  water: hot\nminutes: 8",
        "- name: Oslo\n  nights: 4\n- name: Riga\n  nights: 2",
        "```yaml\nboil: true\negg: egg\n```",
        "answer: put it into boiling water\nminutes: 8\nsalt: no",
        "steps:\n  - boil the water\n  - wait\nminutes: 8",
        "gift note: leave it by the door\nship to: Oslo",
    ],
    "toml": [
        'boil = true\negg = "egg"',
        '[recipe]\negg = "egg"',
        '```toml\n[recipe]\nminutes = 8\n```',
    ],
    "xml": [
        "<recipe><egg>1</egg><minutes>8</minutes></recipe>",
        "<recipe>\n  <egg>1</egg>\n  <minutes>8</minu",
        '<?xml version="1.0"?>\n<recipe egg="1"/>',
        "```xml\n<data><answer>Boil it.</answer></data>\n```",
        "<data>\n  <answer>Boil it.</answer>\n</data>",
    ],
    "csv": [
        "step,minutes\nboil,8\ncool,2",
        "city,nights\nOslo,4",
        "```csv\ncity,nights\nOslo,4\n```",
    ],
    "markdown_table": [
        "| tea | minutes |\n| --- | --- |\n| green | 2 |\n| black | 4 |",
        "Some teas:\n\n| tea | minutes |\n| --- | --- |\n| green | 2 |\n| black | 4 |",
        "| tea | minutes |\n|---|:-:|\n| green | 2 |\n| bla",
    ],
}  # fmt: skip

PROSE = [
    "",
    "\n\n",
    "Put it into boiling water.",
    "Hello: x",
    "Hello: nice to meet you!",
    "42",
    "3.14",
    "true",
    "No.",
    '"Carpe diem" means "seize the day".',
    '"Carpe diem."',
    "apples, pears, plums and bread",
    "apples,pears,plums",
    "Roses are red, violets are blue,\nsugar is sweet, and so are you.",
    "1,000\n2,000\n3,000",
    "1. Boil the water.\n2. Put the egg in.\n3. Wait for eight minutes.",
    "- eggs\n- milk\n- bread",
    "- **Eggs**: six of them\n- **Milk**: a litre",
    "- breakfast: eggs\n- lunch: soup",
    "Pros: it is cheap.\nCons: it is slow.",
    "Anna: Where are you?\nBo: At home.\nAnna: Stay there.",
    "Dear Ms Lind,\n\nthank you for the letter.\n\nYours,\nBo",
    "Subject: The party\n\nDear all,\n\nthe party is on Friday.",
    "Ingredients:\n- 2 eggs\n- salt\n\nMethod:\n- Boil the eggs.\n- Add salt.",
    "# Eggs\n\nBoil them for eight minutes.\n\n## Salt\n\nAdd some.",
    '`{"a": 1}` is a JSON object with one key, `a`, whose value is the number 1.',
    'It means that the key "a" has the value 1: {"a": 1}. Nothing else is in it.',
    "The braces { and } stand around a block, and [0] is the first element.",
    "[Oslo](https://example.com) is the capital of Norway.",
    "[1] A. Lind, Eggs, 1999.",
    "[sighs] I have no idea, friend.",
    "[Your name]\n[Your address]",
    "{name}, thank you for the letter.",
    "{x : x > 0} is the set of the positive numbers.",
    "```python\nprices = {\"apple\": 1.2, \"pear\": 0.8, \"plum\": 2.5}\nprint(prices)\n```",
    'prices = {"apple": 1.2, "pear": 0.8, "plum": 2.5, "fig": 3.0, "kiwi": 0.4, "lime": 0.7}',
    "```python\nfor i in range(3):\n    print(names[i])\n```",
    "```python\nname = 'Bo'\nage = 3\n```",
    "x = 5",
    'const a = {"b": 1, "c": 2, "d": [1, 2, 3], "e": "a longer text than that before it"};',
    "```js\nconsole.log({\"a\": 1, \"b\": 2, \"c\": 3});\n```",
    "```css\np { margin: 0 auto; width: 60%; }\n```",
    "p { margin: 0 auto; width: 60%; }",
    '```html\n<a href="https://example.com">Oslo</a>\n```',
    '<a href="https://example.com">Oslo</a>',
    "<p>Good <b>evening</b>!</p>",
    "```sql\nSELECT city, nights FROM trips;\n```",
    "```bash\nfor f in *.jpeg; do mv \"$f\" \"${f%.jpeg}.jpg\"; done\n```",
    "Use <b> for bold text and <i> for italic text.",
    "I <3 you.",
    "2 < 3 and 5 > 4.",
    "Oslo | Riga | Bonn",
    "The table has two columns, | a | b |, and no rows.",
    "*wipes brow* Aye, a sword! What kind?",
    "The time is 12:30: be there.",
    "note: it rains",
    "Use `name: value` on each line of the file.\n\n```yaml\nname: value\nage: 3\n```\n\n"
    "The first line sets the name and the second the age; both are read when it starts.",
    "To read it:\n\n```json\n{\"a\": 1}\n```\n\nThe value of `a` is 1, and nothing else is in it.",
    "Good evening! \U0001f600",
    "\u4f60\u597d\uff1a\u5f88\u9ad8\u5174\u8ba4\u8bc6\u4f60\u3002",
    "Je voudrais un th\u00e9: noir, sans sucre.",
    "\ud800",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in FORMATTED.items() for text in texts]
)
def test_an_answer_in_a_format_fails(name: str, text: str) -> None:
    verdict = judged(text)
    assert verdict.labels == ("unasked_format",) and verdict.passed is False
    called = "a Markdown table" if name == "markdown_table" else name.upper()
    assert verdict.problems[0].message == f"the answer is {called}, and nobody asked for it"
    assert judged(text, name).passed and judged(text, ["toml", name]).passed is True


@pytest.mark.parametrize("text", PROSE)
def test_prose_and_code_pass(text: str) -> None:
    assert judged(text).problems == ()


def test_the_span_is_that_of_the_value() -> None:
    (problem,) = judged(FORMATTED["json"][17]).problems
    assert (problem.start, problem.end) == (6, len(FORMATTED["json"][17]))


def test_a_share_of_four_fifths_decides() -> None:
    value = '{"egg":"' + "x" * 70 + '"}'
    assert judged(value + "\n" + "y" * 20).passed is False
    assert judged(value + "\n" + "y" * 21).passed is True


def test_only_the_named_formats_are_looked_for() -> None:
    assert judged("boil: true\negg: egg", None, "json").passed
    assert not judged('{"a": 1}', None, "jsonl").passed
    assert not judged('{"a": 1}', None, "regex").passed, "none can be told, so all are looked for"
    with pytest.raises(UserError, match="no format is called 'jsno', did you mean 'json'"):
        UnaskedFormat(unasked=("jsno",))


def test_one_format_or_several_from_the_command_line() -> None:
    for spec in ("unasked=csv", 'unasked=["csv","xml"]'):
        judge = build("evaluators", f"unasked_format:{spec}")
        assert judge.evaluate(None, Completion(example_id="x", text='{"a": 1}')).passed
        assert not judge.evaluate(None, Completion(example_id="x", text="a,b\nc,d")).passed


def test_only_answers_to_what_asks_for_no_format_are_judged() -> None:
    for name in ("json", "none"):
        example = Example(id="x", prompt=(Message("user", "?"),), format=name)
        assert applies(UnaskedFormat(), example) is (name == "none")


def test_the_rows_that_ask_for_a_table_say_so() -> None:
    lines = (ROOT / "data" / "retention" / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    welcome = {row["id"] for row in rows if row["tags"].get("asks_for") == "markdown_table"}
    assert welcome == {"retention-042", "retention-122"}
    assert welcome == {row["id"] for row in rows if "markdown table" in row["prompt"].lower()}


def test_long_texts_take_no_long_time() -> None:
    for text in (
        "[" * 50_000,
        '{"a":' * 10_000,
        "a: b\n" * 10_000,
        "a,b\n" * 10_000,
        "```\n" * 999,
    ):
        begun = time.process_time()
        judged(text)
        assert time.process_time() - begun < 5


@given(st.text(alphabet='{["a:,]}`|-<>= \n\ud800', max_size=80))
def test_no_text_raises(text: str) -> None:
    assert judged(text).passed in (True, False)


def test_rows_with_nothing_but_a_text(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"text": "{\\"egg\\": 1}"}\n{"text": "Boil it."}\n')
    asked = ["eval", "--completions", str(answers), "--evaluator", "unasked_format", "--json"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    rate = json.loads(result.stdout)["unasked_format"]["metrics"]["unasked_format_rate"]
    assert (rate["numerator"], rate["denominator"]) == (1, 2)
