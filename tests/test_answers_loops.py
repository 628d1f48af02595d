"""Which answers loop, and how long it takes to tell."""

from __future__ import annotations

import json
import time
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.evaluators.answers.loops import Loops
from fmtharness.harness.cli import main
from fmtharness.harness.contracts import applies
from fmtharness.harness.records import Completion, Example, Message, Verdict

RNG = Random(1)
STORY = (
    "The ferry between the two islands has been run by the same family since 1931. In summer it "
    "crosses eight times a day and is full of hikers; in winter it crosses twice, with the post, "
    "the doctor, and whoever has run out of coffee. "
)


def judged(text: str) -> Verdict:
    return Loops().evaluate(None, Completion(example_id="x", text=text))


def rows(n: int) -> list[dict[str, object]]:
    cities = ["Oslo", "Riga", "Bonn", "Cork"]
    return [
        {"id": at, "city": RNG.choice(cities), "open": RNG.random() < 0.5, "plan": "free"}
        for at in range(n)
    ]


LOOPS = {
    "one sentence": "It was late. " * 9,
    "behind a story": STORY + "I am just a machine. " * 12,
    "cut in a word": "Well, " + "she made it with love and care, and " * 5 + "she made it wit",
    "a line of a poem": "The last bus of the night\n" + "A lone, unmarked car\n" * 20,
    "a long paragraph three times": STORY * 3,
    "a list of one name": "- Grey\n" * 30,
    "one sentence under every number": "\n".join(
        f'Slogan {at}: "The Power of a Little Thing"' for at in range(5, 15)
    ),
    "a key that never ends": '{"a": ' + '"maxItemsUnique": 1,\n' * 9 + '"maxItems',
    "objects in each other": '{"title": "The Box", "lines": [{' * 10,
    "a string without an end": '{"text": "' + "and they are happy " * 15,
    "words glued by underscores": '{"tickets_available' + "_pending" * 25,
    "letters": "a" * 60,
    "laughter": "ha" * 60,
    "exclamation marks": "Wow" + "!" * 200,
    "a fraction": "0." + "3" * 400,
    "dashes without an end": "-" * 500,
    "emojis": "\U0001f331" * 66,
    "Chinese": "\u6211\u559c\u6b22\u4f60\uff0c" * 8,
    "Japanese without signs": "\u3053\u3093\u306b\u3061\u306f" * 10,
    "Thai": "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35" * 10,
    "Arabic, cut": "\u0634\u0631\u0643\u0629 \u0627\u0644\u060c \u062a\u0634\u061f\n" * 7,
    "null, cut": '{"a": [' + "null, " * 30,
    "in shuffled order": " ".join(
        RNG.choice(["It helps to make writing clear.", "It is a tool of every writer.",
                    "It keeps two clauses apart."]) for _ in range(40)
    ),
}  # fmt: skip

NO_LOOPS = {
    "nothing": "",
    "blanks": "\n" * 5000,
    "prose": STORY,
    "a paragraph twice": STORY * 2,
    "counting": ", ".join(map(str, range(1, 400))),
    "counting with a word": "\n".join(f"{at}. item {at}" for at in range(1, 200)),
    "days": "\n".join(f"Day {at}: run {at + 2} km, rest {at} min" for at in range(1, 31)),
    "alike objects": json.dumps(rows(120)),
    "alike objects, indented": json.dumps(rows(120), indent=2),
    "objects that differ in a number": json.dumps(
        [{"name": f"user{at}", "role": "member", "active": True, "plan": "no"} for at in range(60)]
    ),
    "points": json.dumps([{"x": RNG.randrange(9), "y": RNG.randrange(9)} for _ in range(200)]),
    "a grid of words": "\n".join(",".join(RNG.choices(["yes", "no"], k=6)) for _ in range(90)),
    "zeros": json.dumps([[0] * 8] * 8),
    "XML": "".join(
        f"<row><id>{at}</id><city>{row['city']}</city></row>" for at, row in enumerate(rows(80))
    ),
    "equal cells": "<tr>" + "<td>0</td>" * 6 + "</tr>",
    "a table": "| a | b | c |\n| --- | --- | --- |\n" + "| yes | no | yes |\n" * 3,
    "a wide row of dashes": "|" + " --- |" * 12,
    "a ruler": "Title\n" + "=" * 100 + "\nText",
    "a refrain": "".join(
        f"{verse}\nOh, carry me home by the river,\ncarry me home by the sea.\n\n"
        for verse in ("The lamps are lit.", "The boats are in.", "The nets are dry.")
    ),
    "a refrain at the end": "I walked.\n" + "Carry me home by the river so wide, my love.\n" * 3,
    "very often": "It is very, very, very, very, very, very good.",
    "laughing": "hahahahaha, no no no no!",
    "a long shout": "Nooooooooooooooooooo!",
    "a googol": "1" + "0" * 100,
    "a float": "1/3 = 0.3333333333333333",
    "DNA": "".join(RNG.choices("ACGT", k=3000)),
    "a hash": "".join(RNG.choices("0123456789abcdef", k=2000)),
    "code": "".join(
        f"def {name}(rows):\n    return [row.{name} for row in rows if row.{name} is not None]\n\n"
        for name in ("city", "street", "price", "owner", "floor", "rooms", "garden", "garage")
    ),
    "Chinese prose": "\u4eca\u5929\u5929\u6c14\u5f88\u597d\uff0c\u6211\u4eec\u6563\u6b65\u3002",
    "half a pair": "\ud800 is no character",
}  # fmt: skip


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS)
def test_a_loop_fails_with_its_span(text: str) -> None:
    verdict = judged(text)
    assert verdict.labels == ("loop",) and verdict.passed is False
    (problem,) = verdict.problems
    assert 0 <= problem.start < problem.end <= len(text)
    assert problem.end - problem.start > len(text) * 0.3


@pytest.mark.parametrize("text", NO_LOOPS.values(), ids=NO_LOOPS)
def test_what_does_not_loop_passes(text: str) -> None:
    assert judged(text).problems == ()


def test_the_problem_says_what_repeats() -> None:
    (problem,) = judged("It was late. " * 9).problems
    assert (problem.start, problem.end) == (0, 116)
    assert problem.message == "a cycle of 4 words and signs stands there 9 times in a row"
    (problem,) = judged(LOOPS["one sentence under every number"]).problems
    assert problem.message.startswith("but for numbers, a cycle of ")


def test_text_in_front_of_a_loop_is_not_in_its_span() -> None:
    (problem,) = judged(LOOPS["behind a story"]).problems
    assert problem.start == STORY.rindex(".")


@pytest.mark.parametrize("name", ["json", "yaml", "none"])
def test_answers_in_any_format_and_in_none_are_judged(name: str) -> None:
    example = Example(id="x", prompt=(Message("user", "?"),), format=name)
    assert applies(Loops(), example)


def hostile(size: int) -> dict[str, str]:
    fibonacci = ["a ", "b "]
    while len(fibonacci[-1]) < size:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    return {
        "one letter": "a" * size,
        "one sign": "!" * size,
        "few signs": "".join(RNG.choices("!?.,", k=size)),
        "few letters": "".join(RNG.choices("ab01 ", k=size)),
        "words": " ".join("".join(RNG.choices("abcdefgh", k=5)) for _ in range(size // 6)),
        "two words": fibonacci[-1][:size],
        "brackets": "[" * size,
        "almost a cycle": ("x " * 199 + "y ") * (size // 400),
    }


def test_the_work_grows_with_the_length_alone() -> None:
    for name, text in hostile(100_000).items():
        begun = time.process_time()
        judged(text)
        assert time.process_time() - begun < 2, name  # about 0.1 s; machines differ


@given(st.text(alphabet='ab1 ,\n\ud800\u6211{"', max_size=400))
def test_no_text_raises(text: str) -> None:
    verdict = judged(text)
    assert all(0 <= p.start < p.end <= len(text) for p in verdict.problems)


def test_rows_with_nothing_but_a_text(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    texts = [STORY, "It was late. " * 9]
    answers.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    asked = ["eval", "--completions", str(answers), "--evaluator", "loops", "--json"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    rate = json.loads(result.stdout)["loops"]["metrics"]["loop_rate"]
    assert (rate["numerator"], rate["denominator"]) == (1, 2)
