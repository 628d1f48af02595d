"""`fmtharness eval` on a user's rows, with and without targets, and over several arms."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from fmtharness.harness import plugins
from fmtharness.harness.cli import main
from fmtharness.harness.commands.arms import Arm, of_options
from fmtharness.harness.contracts import ModelOptions, Options
from fmtharness.harness.errors import UserError
from fmtharness.harness.judging.statistics import mcnemar
from fmtharness.harness.plugins import Registered
from fmtharness.harness.records import Completion, Example
from tests.tiny import tiny_model

GOOD, BAD, FENCED = '{"a": 1}', '{"a": 1,}', "```json\n{}\n```"
TICKET = {"type": "object", "required": ["city"]}


class Canned(Options):
    """A backend that gives what the adapter's file `answers` says, and without one bad JSON."""

    name: ClassVar[str] = "canned"
    max_new_tokens: int = 128

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        texts = json.loads((adapter / "answers").read_text()) if adapter else [BAD]
        for at, asked in enumerate(examples):
            text = texts[at % len(texts)]
            error = "too long" if text is None else None
            yield Completion(
                example_id=asked.id,
                text=text or "",
                finish_reason="error" if error else "stop",
                error=error,
            )


@pytest.fixture(autouse=True)
def _canned(fakes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known: Any = plugins.registry()["backends"]
    known["canned"] = Registered("backends", "canned", "fmtharness", Canned)
    monkeypatch.chdir(tmp_path)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, arguments)])


def asked(*arguments: object) -> Result:
    return call("--set", "eval.backend=canned", *arguments)


def refused(*arguments: object) -> str:
    done = call(*arguments)
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr.removeprefix("error: ").rstrip()


def jsonl(name: str, rows: Sequence[Any]) -> Path:
    Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return Path(name)


def texts(name: str, **by_id: str) -> Path:
    return jsonl(name, [{"id": key, "text": text} for key, text in by_id.items()])


def prompts(count: int = 4) -> Path:
    return jsonl("prompts.jsonl", [{"prompt": f"JSON number {n}, please."} for n in range(count)])


def example(name: str, target: str | None = GOOD, **more: Any) -> dict[str, Any]:
    row = {"id": name, "prompt": [{"role": "user", "content": name}], "format": "json", **more}
    if target is not None:
        row["completion"] = target
    if target is not None and target.startswith("{") and target != BAD:
        row["value"] = json.loads(target)
    return row


def adapter(name: str, *answers: str | None) -> Path:
    folder = Path(name)
    folder.mkdir(parents=True)
    (folder / "answers").write_text(json.dumps(answers))
    return folder


def rows_of(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def notes(done: Result) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("note: ")]


# --- rows without targets


def test_bare_prompts_are_judged_by_what_needs_no_target() -> None:
    done = asked("--data", prompts(), "--adapter", adapter("a", GOOD, BAD), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [*found] == ["json_strict", "duplicate_json_objects", "extras"]
    assert found["json_strict"]["metrics"]["format_success_rate"]["numerator"] == 2
    assert notes(done) == [
        "note: json_match is left out, since no row of prompts.jsonl has a target"
    ]
    one = asked("--data", "prompts.jsonl", "--num-prompts", "1", "--json")
    assert json.loads(one.stdout)["json_strict"]["scored"] == 1


def test_some_rows_without_a_target_are_counted() -> None:
    data = jsonl("rows.jsonl", [example("a"), example("b", None), example("c", BAD), example("d")])
    done = call("--data", data, "--completions", texts("t.jsonl", a=GOOD, b=GOOD, c="x", d=GOOD))
    assert done.exit_code == 0
    assert notes(done) == [
        "note: 1 of 4 rows have no target and 1 of 4 rows have a target that its format cannot "
        "read, which json_match leaves out"
    ]
    assert re.search(r"json_match +exact_match_rate +1\.000 .* 2/2", done.stdout)
    assert re.search(r"json_strict +format_success_rate +0\.750 .* 3/4", done.stdout)


def test_a_named_evaluator_that_no_row_suffices_for() -> None:
    rows, data = texts("t.jsonl", a=GOOD), jsonl("rows.jsonl", [example("a", None)])
    command = ["--data", data, "--completions", rows, "--evaluator", "json_match"]
    done = call(*command)
    assert done.exit_code == 2 and done.stdout == ""
    assert "error: evaluator 'json_match' compares with targets, and rows.jsonl has" in done.stderr
    done = call(*command, "--evaluator", "json_strict", "--json")
    assert [*json.loads(done.stdout)] == ["json_strict"] and len(notes(done)) == 1


def test_unread_targets_alone() -> None:
    data = jsonl("rows.jsonl", [example("a", BAD)])
    done = call("--data", data, "--completions", texts("t.jsonl", a=GOOD))
    assert notes(done)[0].endswith("no row of rows.jsonl has a target that its format can read")


def test_rows_that_ask_for_no_format() -> None:
    free = example("b", None) | {"format": "none"}
    rows = texts("t.jsonl", a=GOOD, b="Fine, thanks.")
    data = jsonl("rows.jsonl", [example("a"), free])
    done = call("--data", data, "--completions", rows, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert {each["scored"] for each in found.values()} == {1}
    assert notes(done) == ["note: 1 of 2 rows ask for no format, and are not judged"]
    assert refused("--data", jsonl("free.jsonl", [free]), "--completions", rows) == (
        "no row of free.jsonl asks for a format; name it with --format, or an evaluator with "
        "--evaluator"
    )


def test_a_row_s_own_schema_implies_its_evaluator() -> None:
    tags = {"json_schema": TICKET}
    data = jsonl("rows.jsonl", [example(name, None, tags=tags) for name in "ab"])
    rows = texts("t.jsonl", a=GOOD, b='{"city": "Oslo"}')
    found = json.loads(call("--data", data, "--completions", rows, "--json").stdout)
    assert found["json_schema"]["metrics"]["schema_valid_rate"]["numerator"] == 1
    assert found["json_strict"]["metrics"]["format_success_rate"]["numerator"] == 2
    named = call("--data", data, "--completions", rows, "--json", "--evaluator", "extras")
    assert [*json.loads(named.stdout)] == ["extras"], "who names evaluators gets these"


def test_a_schema_for_all() -> None:
    pytest.importorskip("fmtharness.harness.schemas")
    Path("ticket.json").write_text(json.dumps(TICKET))
    rows = texts("t.jsonl", a=GOOD, b='{"city": "Oslo"}')
    for more in ([], ["--data", jsonl("rows.jsonl", [example("a", None), example("b", None)])]):
        done = call("--completions", rows, "--schema", "ticket.json", "--json", *more)
        found = json.loads(done.stdout)
        assert found["json_schema"]["metrics"]["schema_valid_rate"]["numerator"] == 1
        assert found["json_strict"]["metrics"]["format_success_rate"]["numerator"] == 2
    assert "no.json" in refused("--completions", rows, "--schema", "no.json")
    own = jsonl("own.jsonl", [example(name, None, tags={"json_schema": {}}) for name in "ab"])
    for named in ([], ["--evaluator", "json_schema"]):
        done = call(
            *("--completions", rows, "--data", own, "--schema", "ticket.json", "--json"), *named
        )
        found = json.loads(done.stdout)
        assert found["json_schema"]["metrics"]["schema_valid_rate"]["numerator"] == 1
    yaml = jsonl("yaml.jsonl", [example("a", None) | {"format": "yaml"}])
    message = refused("--completions", rows, "--data", yaml, "--schema", "ticket.json")
    assert message == "--schema is for JSON, and no Example asks for it; leave it out"


def test_the_format_of_rows_and_of_texts() -> None:
    rows = texts("t.jsonl", a="a: 1", b="[")
    found = json.loads(call("--completions", rows, "--format", "yaml", "--json").stdout)
    assert found["yaml_strict"]["metrics"]["format_success_rate"]["numerator"] == 1
    data = prompts(2)
    done = asked("--data", data, "--format", "yaml", "--adapter", adapter("x", "a: 1"), "--json")
    assert json.loads(done.stdout)["yaml_strict"]["metrics"]["format_success_rate"]["value"] == 1
    for option in (["--form", "prompt"], ["--format", "yaml"]):
        assert refused(*option) == f"{option[0]} says how rows are read: name --data"


# --- arms


def test_two_adapters_and_the_base_in_one_table() -> None:
    adapter("one/adapter", GOOD, BAD, FENCED, GOOD)
    adapter("two/adapter", GOOD)
    arms = ["--arm", "base", "--adapter", "one/adapter", "--adapter", "two/adapter"]
    done = asked("--data", prompts(8), *arms)
    assert done.exit_code == 0, done.output
    table = done.stdout.split("\n\n")[0].splitlines()
    assert [line.partition(":")[0] for line in table[:3]] == ["base", "one", "two"]
    assert "no adapter" in table[0] and "adapter one/adapter" in table[1]
    rows = [re.split(r"  +", line.strip()) for line in table[3:]]
    assert rows[0] == [
        *("evaluator", "metric", "arm", "value [95%]", "change against base [95%]"),
        *("pairs", "fixed", "broken", "p (McNemar)"),
    ]
    assert rows[2][:4] == ["json_strict", "format_success_rate", "base", "0.000 [0.000, 0.324] 0/8"]
    name, value, change, *test = rows[3]
    assert (name, value.split()[-1], change.split()[0]) == ("one", "4/8", "+0.500")
    assert test == ["8", "4", "0", "0.12"]
    name, value, change, *test = rows[4]
    assert (name, value.split()[-1], change.split()[0]) == ("two", "8/8", "+1.000")
    assert test == ["8", "8", "0", "0.0078"]
    assert "one: json_strict labels: code_fence 2, trailing_comma 2" in done.stdout


def test_each_arm_and_each_change_in_json() -> None:
    one = adapter("one", GOOD, BAD, FENCED, GOOD, None)
    done = asked("--data", prompts(5), "--arm", "base", "--arm", f"mine={one}", "--json")
    assert done.exit_code == 3, "the last has no answer"
    found = json.loads(done.stdout)
    assert [*found["arms"]] == ["base", "mine"] and found["against"] == "base"
    alone = json.loads(asked("--data", "prompts.jsonl", "--adapter", one, "--json").stdout)
    assert found["arms"]["mine"] == alone
    change = found["changes"]["mine"]["json_strict"]
    expected = mcnemar([False] * 4, [True, False, False, True])
    assert change == {
        "metric": "format_success_rate",
        "pairs": 4,
        "fixed": 2,
        "broken": 0,
        "p_value": expected.p_value,
        "difference": 0.5,
        "low": expected.low,
        "high": expected.high,
    }
    assert "4 of 5 Examples have scored answers of both base and mine" in done.stderr


def test_a_rate_of_failures_changes_the_other_way() -> None:
    arms = ["--arm", "base", "--adapter", adapter("a", FENCED)]
    done = asked("--data", prompts(3), *arms, "--evaluator", "extras", "--json")
    change = json.loads(done.stdout)["changes"]["sft"]["extras"]
    assert (change["metric"], change["difference"], change["broken"]) == ("extras_rate", 1.0, 3)
    assert change["low"] < 1 and change["high"] == 1


def test_files_are_paired_by_id_and_what_one_lacks_is_left_out() -> None:
    left = texts("left.jsonl", a=BAD, b=BAD, c=GOOD, d=GOOD)
    right = texts("right.jsonl", d=BAD, b=GOOD, a=GOOD, x=GOOD)
    arms = ["--completions", left, "--completions", right, "--evaluator", "json_strict"]
    done = call(*arms, "--json")
    found = json.loads(done.stdout)
    change = found["changes"]["right"]["json_strict"]
    assert (change["pairs"], change["fixed"], change["broken"]) == (3, 2, 1)
    rates = [found["arms"][name]["json_strict"]["metrics"] for name in ("left", "right")]
    assert [rate["format_success_rate"]["numerator"] for rate in rates] == [2, 3]
    assert notes(done) == [
        "note: 3 of 5 Examples have scored answers of both left and right, and only these are "
        "paired"
    ]
    data = jsonl("rows.jsonl", [example(name, None) for name in "abcd"])
    done = call(*arms, "--data", data, "--json")
    rate = json.loads(done.stdout)["arms"]["right"]["json_strict"]["metrics"]["format_success_rate"]
    assert (rate["numerator"], rate["denominator"]) == (2, 3), "x answers none of the Examples"
    assert "note: 1 completion of right.jsonl answers none of them, and is left out" in done.stderr
    first = call(*arms, "--data", data, "--json", "--num-prompts", "2")
    assert json.loads(first.stdout)["changes"]["right"]["json_strict"]["pairs"] == 2


def test_strangers_are_left_out_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"e{n}": GOOD + " " * 900 for n in range(1500)}
    left, right = texts("left.jsonl", **many), texts("right.jsonl", **many)
    data = jsonl("rows.jsonl", [example(f"e{n}", None) for n in range(1200)])
    done = call(
        *("--completions", left, "--completions", right, "--data", data, "--json"),
        *("--processes", "2", "--evaluator", "json_strict"),
    )
    found = json.loads(done.stdout)
    assert [arm["json_strict"]["scored"] for arm in found["arms"].values()] == [1200, 1200]
    assert found["changes"]["right"]["json_strict"]["pairs"] == 1200


def test_a_file_beside_a_model() -> None:
    data = jsonl("rows.jsonl", [example(name, None) for name in "abc"])
    rows = texts("gpt.jsonl", a=GOOD, b=GOOD)
    done = asked("--data", data, "--arm", "base", "--arm", f"gpt={rows}", "--json")
    assert done.exit_code == 0, done.output
    change = json.loads(done.stdout)["changes"]["gpt"]["json_strict"]
    assert (change["pairs"], change["fixed"]) == (2, 2)
    assert "gpt: completions gpt.jsonl" in done.stderr
    assert "1 of 3 Examples of rows.jsonl have no answer in gpt.jsonl" in done.stderr


def test_rows_carry_their_arm() -> None:
    arms = ["--data", prompts(2), "--arm", "base", "--arm", f'a"b={adapter("a", GOOD)}']
    files = ["--verdicts", "v.jsonl", "--dump-jsonl", "d.jsonl", "--evaluator", "json_strict"]
    assert asked(*arms, *files).exit_code == 0
    found = [(row["arm"], row["id"], row["passed"]) for row in rows_of("v.jsonl")]
    assert found == [
        ("base", "1", False),
        ("base", "2", False),
        ('a"b', "1", True),
        ('a"b', "2", True),
    ]
    assert [(row["arm"], row["text"]) for row in rows_of("d.jsonl")][1:3] == [
        ("base", BAD),
        ('a"b', GOOD),
    ]
    assert asked("--data", "prompts.jsonl", *files).exit_code == 0
    assert [*rows_of("v.jsonl")[0]] == ["id", "evaluator", "passed", "labels", "problems", "counts"]
    assert "arm" not in rows_of("d.jsonl")[0]


def test_slices_and_finish_reasons_by_arm() -> None:
    tags = [{"family": "x"}, {"family": "y"}]
    data = jsonl("rows.jsonl", [example(str(n), tags=tags[n % 2]) for n in range(4)])
    arms = ["--arm", "base", "--adapter", adapter("a", GOOD, BAD)]
    done = asked("--data", data, *arms)
    assert re.search(
        r"family +x +0\.000 \[0\.000, 0\.658\] 0/2 +1\.000 \[0\.342, 1\.000\] 2/2\n", done.stdout
    )
    assert re.search(r"json_strict +base +stop +0 +4 +0\n +sft +stop +2 +2 +0\n", done.stdout)
    assert "family" not in asked("--data", data, *arms, "--no-slices").stdout


def test_several_formats_share_a_row_with_a_test() -> None:
    data = jsonl("rows.jsonl", [example("a", None), example("b", None) | {"format": "yaml"}])
    left, right = texts("l.jsonl", a=BAD, b="["), texts("r.jsonl", a=GOOD, b="x: 1")
    done = call("--data", data, "--completions", left, "--completions", right)
    row = re.search(r"all formats +format_success_rate +l +\S+ .*0/2\n +r +(.*)", done.stdout)
    assert row and row[1].split()[-4:] == ["2", "2", "0", "0.5"]


# --- how arms are named


def test_the_names_of_arms(tmp_path: Path) -> None:
    run = Path("outputs/hard")
    (run / "adapter").mkdir(parents=True)
    found = of_options(["base", f"hard={run}", "gpt=no.jsonl"], [Path("outputs/quick/adapter")], [])
    assert found == [
        Arm("base"),
        Arm("hard", run / "adapter"),
        Arm("gpt", completions=Path("no.jsonl")),
        Arm("sft", Path("outputs/quick/adapter"), option="--adapter"),
    ]
    several = of_options([], [run / "adapter", Path("x/hard/adapter"), Path("y")], [])
    assert [arm.name for arm in several] == ["outputs/hard", "x/hard", f"{tmp_path.name}/y"]
    assert of_options([], [], []) == [Arm("base")]
    for specs, message in {
        ("sft",): "--arm 'sft' is not NAME=base",
        ("=x",): "--arm '=x' is not NAME=base",
        ("base", "base"): "two arms are called 'base'",
    }.items():
        with pytest.raises(UserError, match=message):
            of_options(specs, [], [])
    with pytest.raises(UserError, match="is compared with itself"):
        of_options([], [Path("a"), Path("./a")], [])


def test_what_arms_refuse() -> None:
    rows = texts("t.jsonl", a=GOOD)
    message = refused("--completions", rows, "--adapter", "x")
    assert message.endswith("--arm NAME=... compares a file with a model")
    two = ["--arm", f"x={rows}", "--arm", f"y={rows}"]
    assert "loads no model" in refused(*two, "--max-new-tokens", "5")
    assert "adapter 'nope': there is no such folder" in refused("--arm", "base", "--arm", "x=nope")
    assert "nope.jsonl: cannot be read" in refused(*two, "--arm", "z=nope.jsonl")
    same = refused("--arm", f"x={rows}", "--arm", "base", "--verdicts", rows)
    assert same == "--arm and --verdicts are the same file t.jsonl; name another"


def test_a_real_model_without_targets(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = tiny_model(tmp_path / "model")
    settings = LoraConfig(r=8, lora_alpha=256, target_modules="all-linear", init_lora_weights=False)
    base: Any = AutoModelForCausalLM.from_pretrained(model)
    get_peft_model(base, settings).save_pretrained(str(tmp_path / "lora"))
    arms = ["--arm", "base", "--arm", "again=base", "--arm", "tuned=lora"]
    done = call(
        *("--data", prompts(3), "--model", model, "--max-new-tokens", "4", *arms),
        *("--json", "--dump-jsonl", "d.jsonl"),
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["changes"]["tuned"]["json_strict"]["pairs"] == 3
    texts = {
        name: [row["text"] for row in rows_of("d.jsonl") if row["arm"] == name]
        for name in found["arms"]
    }
    assert texts["base"] == texts["again"] != texts["tuned"]
