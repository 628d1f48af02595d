"""The command line: user errors as one message each, exit codes, and the shapes scripts rely on."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from fmtharness.harness.cli import main
from fmtharness.harness.records import write_records
from tests.fakes import FAKE_CONFIG, ROOT, example, fmtharness

GOOD = '{"a": 1}'


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder, so that nothing is written into the project."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(*arguments: str | Path, lines: int = 1) -> str:
    """The message of a command that must end as a user error and leave no file behind."""
    before = sorted(Path.cwd().rglob("*"))
    done = call(*arguments)
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert done.stdout == ""
    said = done.stderr.splitlines()
    assert len(said) == lines, done.stderr
    assert all(line.startswith("error: ") for line in said)
    assert sorted(Path.cwd().rglob("*")) == before
    return done.stderr


def jsonl(name: str, rows: Sequence[Any]) -> Path:
    """A file in the current folder; a str is a line as it stands."""
    path = Path(name)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def texts(*rows: Any) -> Path:
    return jsonl("rows.jsonl", [{"text": row} if isinstance(row, str) else row for row in rows])


def examples(*names: str) -> Path:
    write_records(Path("examples.jsonl"), [example(name) for name in names])
    return Path("examples.jsonl")


def rows_of(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


# --- errors of the person at the keyboard


@pytest.mark.parametrize("command", ["generate", "train", "run", "compare", "eval"])
def test_misspelled_key(command: str) -> None:
    Path("my.toml").write_text("[data]\nn_train = 5\n[train]\nlearning_rat = 2e-4\n")
    message = refused(command, "my.toml")
    for word in ("my.toml", "[train]", "'learning_rat'", "did you mean 'learning_rate'?"):
        assert word in message


def test_wrong_type() -> None:
    Path("my.toml").write_text("[data]\nn_train = 'lots'\n")
    message = refused("run", "my.toml")
    assert 'my.toml: [data] n_train = "lots"' in message and "integer" in message


def test_several_faults() -> None:
    Path("my.toml").write_text("[data]\nn_train = 'lots'\nn_evil = 3\n")
    assert "n_evil" in refused("run", "my.toml", "--set", "train.trainer=qlra", lines=3)


def test_unknown_evaluator() -> None:
    message = refused("eval", "--evaluator", "json_strit", "--completions", texts(GOOD))
    assert "no evaluator is called 'json_strit', did you mean 'json_strict'?" in message
    assert "fmtharness plugins" in message


def test_missing_files() -> None:
    texts(GOOD)
    Path("quick.toml").touch()
    assert "quik.toml: cannot be read" in refused("run", "quik.toml")
    message = refused("eval", "--completions", "no.jsonl", "--verdicts", "v.jsonl")
    assert "no.jsonl: cannot be read (No such file or directory)" in message
    assert "no.jsonl" in refused("eval", "--completions", "rows.jsonl", "--data", "no.jsonl")


def test_a_broken_line_seven_is_told_and_the_rest_stands() -> None:
    rows = jsonl("rows.jsonl", [*[{"text": GOOD}] * 6, '{"text": "x"', {"text": "x"}])
    done = call("eval", "--completions", rows, "--verdicts", "v.jsonl", "--dump-jsonl", "d.jsonl")
    assert done.exit_code == 3
    for word in ("rows.jsonl, line 7:", "not JSON", "column", '{"text": "..."}'):
        assert word in done.stderr
    assert "6/7" in done.stdout and "1 unscored" in done.stdout
    found = [row for row in rows_of("v.jsonl") if row["evaluator"] == "json_strict"]
    assert [row["passed"] for row in found] == [True] * 6 + [None, False]
    assert found[6]["id"] == "7" and "line 7" in found[6]["problems"][0]["message"]
    assert len(rows_of("d.jsonl")) == 7


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"txt": "x"}, ["line 7", "text"]),
        ({"text": 5}, ["line 7", "$.text"]),
        ({"text": "x", "id": [1]}, ["line 7", "$.id"]),
        ([1], ["line 7", "object"]),
    ],
)
def test_a_row_of_another_shape(row: Any, words: list[str]) -> None:
    rows = jsonl("rows.jsonl", [*[{"text": GOOD}] * 6, row])
    done = call("eval", "--completions", rows, "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["json_strict"]["unscored"] == 1
    for word in words:
        assert word in done.stderr


def test_of_many_broken_rows_the_first_ten_are_told() -> None:
    done = call("eval", "--completions", jsonl("rows.jsonl", ["{"] * 25))
    assert done.exit_code == 3
    assert done.stderr.count("line ") == 10
    assert "25 broken rows in all" in done.stderr


def test_a_broken_line_seven_of_the_examples() -> None:
    lines = examples(*"abcdef").read_text().splitlines()
    data = jsonl("examples.jsonl", [*lines, '{"id": "g"}'])
    message = refused("eval", "--completions", texts(GOOD), "--data", data, "--verdicts", "v.jsonl")
    assert "examples.jsonl, line 7: no Example:" in message


def test_an_old_file_survives_a_command_that_fails() -> None:
    Path("v.jsonl").write_text("old")
    foreign: list[str | Path] = ["--data", examples("elsewhere")]
    refused("eval", "--completions", texts(GOOD), *foreign, "--verdicts", "v.jsonl")
    assert Path("v.jsonl").read_text() == "old"


def test_one_file_is_not_both_read_and_written() -> None:
    rows = texts(GOOD)
    message = refused("eval", "--completions", rows, "--verdicts", rows)
    assert "--completions and --verdicts are the same file rows.jsonl" in message
    message = refused("eval", "--completions", rows, "--verdicts", "o", "--dump-jsonl", "./o")
    assert "--verdicts and --dump-jsonl are the same file" in message


def test_missing_and_repeated_answers_are_told() -> None:
    rows = jsonl("rows.jsonl", [{"id": "a", "text": GOOD}, {"id": "a", "text": GOOD}])
    done = call("eval", "--completions", rows, "--data", examples("a", "b", "c"))
    assert done.exit_code == 0
    assert "2 of 3 Examples of examples.jsonl have no answer" in done.stderr
    assert "1 Example has several answers" in done.stderr


def test_nothing_to_judge() -> None:
    message = refused("eval", "--completions", texts(), "--verdicts", "v.jsonl")
    assert "there is no completion in it" in message
    data = jsonl("examples.jsonl", [])
    assert "there is no Example in it" in refused("eval", "--data", data)


def test_an_evaluator_that_needs_examples() -> None:
    message = refused("eval", "--evaluator", "json_match", "--completions", texts(GOOD))
    assert "'json_match'" in message and "--data" in message


@pytest.mark.parametrize("option", ["--model", "--adapter", "--max-new-tokens"])
def test_completions_load_no_model(option: str) -> None:
    assert "--completions loads no model" in refused(
        "eval", "--completions", texts(GOOD), option, "5"
    )


def test_ids_that_match_no_example() -> None:
    message = refused(
        "eval", "--completions", texts(GOOD), "--data", examples("eval-0"), "--verdicts", "v.jsonl"
    )
    for word in ("rows.jsonl", "'1'", "examples.jsonl", "'eval-0'", "line number"):
        assert word in message


def test_two_examples_with_one_id() -> None:
    message = refused("eval", "--completions", texts(GOOD), "--data", examples("a", "b", "a"))
    assert "two Examples have the id 'a'" in message


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("json_strict:roof=any", "did you mean 'root'?"),
        ("json_strict:root=all", "'object', 'array' or 'any'"),
        ("json_strict:root", "'root' is not key=value"),
    ],
)
def test_an_evaluator_s_options(spec: str, word: str) -> None:
    assert word in refused("eval", "--evaluator", spec, "--completions", texts(GOOD))


def test_an_evaluator_twice() -> None:
    twice = ["--evaluator", "json_strict", "--evaluator", "json_strict:root=any"]
    assert "given twice" in refused("eval", *twice, "--completions", texts(GOOD))


@pytest.mark.parametrize("override", ["data.n_train", "data.n_tran=1", "dat.x=1", "seed.x=1"])
def test_malformed_override(override: str) -> None:
    refused("generate", "--set", override)


def test_a_place_that_cannot_be_written() -> None:
    rows = texts(GOOD)
    message = refused("eval", "--completions", rows, "--verdicts", "rows.jsonl/v.jsonl")
    assert "v.jsonl: cannot be written" in message
    assert "rows.jsonl" in refused("generate", "--out", "rows.jsonl/run")


def test_plot_errors() -> None:
    assert "outputs/quick/tb: there is no such folder; name a run's folder" in refused("plot")
    Path("events.out.tfevents.1").write_bytes(b"")
    assert "no TensorBoard scalars there" in refused("plot", "--logdir", ".")


def test_to_and_out() -> None:
    assert "--to and --out" in refused("generate", "--to", "a", "--out", "b")


def test_a_damaged_manifest() -> None:
    Path("run").mkdir()
    Path("run/manifest.json").write_text("{")
    done = call("generate", "--out", "run")
    assert done.exit_code == 2 and "choose another folder with --out" in done.stderr


def test_an_error_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = fmtharness("run", str(tmp_path / "no.toml"), path=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


# --- eval


def test_verdict_rows() -> None:
    rows = texts(
        GOOD,
        {"id": 7, "text": '{"a": 1}{"a": 1}', "finish_reason": "stop", "more": [1]},
        {"example_id": "x", "id": "y", "text": "é {'a': 1}"},
    )
    names = ["--evaluator", "duplicate_json_objects", "--evaluator", "json_strict"]
    done = call("eval", *names, "--completions", rows, "--verdicts", "deep/v.jsonl")
    assert done.exit_code == 0, done.stderr
    verdicts = rows_of("deep/v.jsonl")
    assert [(v["id"], v["evaluator"], v["passed"]) for v in verdicts] == [
        ("1", "duplicate_json_objects", True),
        ("1", "json_strict", True),
        ("7", "duplicate_json_objects", False),
        ("7", "json_strict", False),
        ("x", "duplicate_json_objects", True),
        ("x", "json_strict", False),
    ]
    keys = ["id", "evaluator", "passed", "labels", "problems", "counts"]
    for verdict in verdicts:
        assert list(verdict) == keys
        assert bool(verdict["labels"]) == bool(verdict["problems"]) == (not verdict["passed"])
        for problem in verdict["problems"]:
            assert list(problem) == ["label", "message", "start", "end"]
            assert problem["label"] in verdict["labels"]
    assert [verdict["counts"].get("objects") for verdict in verdicts[::2]] == [1, 2, 0]
    quotes = next(p for p in verdicts[5]["problems"] if p["label"] == "single_quotes")
    assert "é {'a': 1}"[quotes["start"] : quotes["end"]] == "'a'", "spans count characters"
    assert [path.name for path in Path("deep").iterdir()] == ["v.jsonl"]


def test_json_document() -> None:
    done = call("eval", "--completions", texts(GOOD, GOOD, "no", "x\ud800"), "--json")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 1
    document = json.loads(done.stdout)
    assert set(document) == {"json_strict", "duplicate_json_objects", "extras"}
    metric = document["json_strict"]["metrics"]["format_success_rate"]
    assert list(metric) == ["value", "numerator", "denominator", "low", "high"]
    assert (metric["value"], metric["numerator"], metric["denominator"]) == (0.5, 2, 4)
    assert (metric["low"], metric["high"]) == pytest.approx((0.15004, 0.84996), abs=1e-5)
    empty = document["extras"]["metrics"]["missing_keys_rate"]
    assert empty == {"value": None, "numerator": 0, "denominator": 0, "low": None, "high": None}


def test_table() -> None:
    done = call("eval", "--evaluator", "json_strict", "--completions", texts(GOOD, f"{GOOD} ok"))
    assert "format_success_rate  0.500 [0.095, 0.905]" in done.stdout
    assert "1/2" in done.stdout
    assert "json_strict labels: text_after 1" in done.stdout


def test_options_of_an_evaluator() -> None:
    rows = texts("[1]")
    for spec, value in (("json_strict", 0.0), ("json_strict:root=any,max_depth=1", 1.0)):
        done = call("eval", "--evaluator", spec, "--completions", rows, "--json")
        metrics = json.loads(done.stdout)["json_strict"]["metrics"]
        assert metrics["format_success_rate"]["value"] == value


def test_num_prompts_cuts_completions() -> None:
    done = call("eval", "--completions", texts(GOOD, GOOD, "x"), "--num-prompts", "2", "--json")
    metrics = json.loads(done.stdout)["json_strict"]["metrics"]
    assert metrics["format_success_rate"]["denominator"] == 2


def test_content_beside_format() -> None:
    rows = texts({"id": "a", "text": GOOD}, {"id": "b", "text": "{}"})
    done = call("eval", "--completions", rows, "--data", examples("a", "b", "c"), "--json")
    document = json.loads(done.stdout)
    assert document["json_strict"]["metrics"]["format_success_rate"]["numerator"] == 2
    assert document["json_match"]["metrics"]["exact_match_rate"]["numerator"] == 1


def test_a_completion_without_its_example_is_unscored() -> None:
    rows = texts({"id": "a", "text": GOOD}, {"id": "z", "text": GOOD})
    done = call("eval", "--completions", rows, "--data", examples("a"), "--verdicts", "v.jsonl")
    assert done.exit_code == 3
    assert "json_match: 1 unscored, the first because there is no Example" in done.stdout
    unscored = [row for row in rows_of("v.jsonl") if row["passed"] is None]
    assert [(row["id"], row["evaluator"]) for row in unscored] == [("z", "json_match")]


def test_slices_and_stops() -> None:
    tags = {"family": "edit", "hard_negatives": ["fence"]}
    asked = [example("a"), example("b")]
    asked[0] = msgspec.structs.replace(asked[0], tags=tags)
    asked[1] = msgspec.structs.replace(asked[1], tags={**tags, "family": "table"})
    write_records(Path("tagged.jsonl"), asked)
    rows = texts(
        {"id": "a", "text": GOOD, "finish_reason": "stop"},
        {"id": "b", "text": GOOD[:-1], "finish_reason": "length"},
    )
    command = ["eval", "--completions", str(rows), "--data", "tagged.jsonl"]
    done = call(*command)
    assert "by family [95%]" in done.stdout
    assert re.search(r"json_strict +length +0 +1 +0", done.stdout)
    assert re.search(r"family +edit +1\.000 \[0\.207, 1\.000\] +1/1", done.stdout)
    assert "dimension" not in call(*command, "--no-slices").stdout
    found = json.loads(call(*command, "--json").stdout)["json_strict"]
    assert found["stops"]["length"] == {"passed": 0, "failed": 1, "unscored": 0}
    assert found["slices"]["family"]["table"]["format_success_rate"]["denominator"] == 1
    assert found["clustered"]["format_success_rate"]["families"] == 2


@pytest.mark.usefixtures("fakes")
def test_an_evaluator_that_raises_on_one_row() -> None:
    done = call("eval", "--evaluator", "picky", "--completions", texts("a", "boom", "b"), "--json")
    assert done.exit_code == 3
    found = json.loads(done.stdout)["picky"]
    assert (found["scored"], found["unscored"]) == (2, 1)
    assert found["metrics"]["short_rate"]["denominator"] == 2


def mixed() -> tuple[Path, Path]:
    """Examples in two formats, and their answers."""
    asked = [example("a"), msgspec.structs.replace(example("b"), format="yaml", completion="a: 1")]
    write_records(Path("examples.jsonl"), asked)
    return Path("examples.jsonl"), texts(*({"id": x.id, "text": x.completion} for x in asked))


def test_every_format_of_the_examples_is_judged() -> None:
    data, rows = mixed()
    done = call("eval", "--completions", rows, "--data", data, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert {name: found[name]["scored"] for name in ("json_strict", "yaml_strict")} == {
        "json_strict": 1,
        "yaml_strict": 1,
    }


def test_a_format_that_the_config_s_evaluators_leave_out_is_told() -> None:
    data, rows = mixed()
    Path("my.toml").write_text("[eval]\nevaluators = ['json_strict']\n")
    done = call("eval", "my.toml", "--completions", rows, "--data", data)
    assert done.exit_code == 0
    assert "no evaluator of the config judges the Examples in yaml" in done.stderr


def test_an_answer_to_no_example_is_unscored_among_several_formats() -> None:
    data, _ = mixed()
    rows = texts({"id": "a", "text": GOOD}, {"id": "?", "text": GOOD})
    done = call("eval", "--completions", rows, "--data", data, "--json")
    assert done.exit_code == 3
    found = json.loads(done.stdout)
    assert (found["json_strict"]["scored"], found["json_strict"]["unscored"]) == (1, 1)
    assert (found["yaml_strict"]["scored"], found["yaml_strict"]["unscored"]) == (0, 1)


def test_a_config_of_several_formats_needs_the_examples() -> None:
    Path("my.toml").write_text("[data]\nformat = {json = 1, yaml = 1}\n")
    rows = texts(GOOD)
    assert "asks for json, yaml: name the Examples with --data" in refused(
        "eval", "my.toml", "--completions", rows
    )


def test_dump_jsonl() -> None:
    rows = texts({"id": "a", "text": "no", "finish_reason": "length"}, {"id": "q", "text": GOOD})
    call(
        "eval", "--evaluator", "json_strict", "--completions", rows, "--data", examples("a"),
        "--dump-jsonl", "dump.jsonl",
    )  # fmt: skip
    first, second = rows_of("dump.jsonl")
    assert first == {
        "id": "a",
        "prompt": [{"role": "user", "content": "What is a?"}],
        "target": GOOD,
        "text": "no",
        "finish_reason": "length",
        "verdicts": {"json_strict": first["verdicts"]["json_strict"]},
    }
    assert first["verdicts"]["json_strict"]["passed"] is False
    assert (second["prompt"], second["target"]) == (None, None)
    assert second["verdicts"]["json_strict"] == {"passed": True, "labels": []}


@pytest.mark.usefixtures("fakes")
def test_eval_asks_a_backend(fakes: list[str]) -> None:
    data = examples("a", "b", "c")
    backend = ["--set", "eval.backend=echo", "--data", str(data), "--json"]
    done = call("eval", *backend, "--num-prompts", "2", "--max-new-tokens", "5")
    assert done.exit_code == 0, done.stderr
    assert fakes == ["complete base"]
    metrics = json.loads(done.stdout)["json_strict"]["metrics"]
    assert metrics["format_success_rate"]["denominator"] == 2
    done = call("eval", *backend, "--set", "eval.num_prompts=1", "--adapter", ".")
    metrics = json.loads(done.stdout)["json_match"]["metrics"]
    assert metrics["exact_match_rate"]["numerator"] == 1
    assert metrics["exact_match_rate"]["denominator"] == 1


# --- the other commands


def test_help_lists_the_commands() -> None:
    listed = call("--help").stdout
    names = ["generate", "train", "eval", "run", "compare", "plot", "plugins", "models"]
    places = [listed.index(f"\n  {name}  ") for name in names]
    assert places == sorted(places)
    for name in names:
        done = call(name, "-h")
        assert done.exit_code == 0 and done.stdout.startswith("Usage: ")
    assert call("--version").stdout.startswith("fmtharness, version ")


def test_plugins() -> None:
    done = call("plugins")
    assert done.exit_code == 0
    assert done.stdout.split()[:4] == ["kind", "name", "distribution", "summary"]
    kinds = {line.split()[0] for line in done.stdout.splitlines()[2:]}
    assert kinds == {"format", "generator", "evaluator", "trainer", "backend"}
    document = json.loads(call("plugins", "--json").stdout)
    assert {"kind", "name", "distribution", "summary"} == set(document[0])


def test_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    shown = call("models").stdout
    assert "smollm2-135m-instruct" in shown and "nothing converted yet" in shown
    (tmp_path / "cache" / "models" / "mine-123").mkdir(parents=True)
    assert "mine-123" in call("models").stdout


def test_generate_to() -> None:
    small = ["--set", "data.n_train=5", "--set", "data.n_dev=3", "--set", "data.n_eval=4"]
    for folder in ("a", "b"):
        done = call("generate", "--to", folder, *small)
        assert (done.exit_code, done.stdout) == (0, f"wrote {folder}\n")
    names = ["dev.jsonl", "eval.jsonl", "stats.json", "stats.md", "train.jsonl"]
    assert sorted(path.name for path in Path("a").iterdir()) == names
    for name in names:
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()
    sizes = [len(rows_of(f"a/{split}.jsonl")) for split in ("train", "dev", "eval")]
    assert sizes == [5, 3, 4]
    call("generate", "--to", "c", *small, "--set", "seed=1")
    assert Path("a/train.jsonl").read_bytes() != Path("c/train.jsonl").read_bytes()


@pytest.fixture
def fake(fakes: list[str]) -> Path:
    """A config whose run is named like the default one."""
    path = Path("fake.toml")
    path.write_text(FAKE_CONFIG.replace('"fake"', '"quick"'))
    return path


def test_the_whole_job(fakes: list[str], fake: Path) -> None:
    done = call("run", fake)
    assert done.exit_code == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if "format_success_rate" in line]
    assert row.split()[1] == "0.000" and "1.000 [0.510, 1.000]" in row
    assert "run folder: outputs/quick" in done.stdout

    # Bare commands go on with the folder's own config.
    fakes.clear()
    done = call("compare", "--num-prompts", "2")
    assert done.exit_code == 0, done.stderr
    assert [name for name in fakes if name != "judge"] == []
    assert done.stdout.count("\n== eval-") == 2
    page = Path("outputs/quick/compare.md").read_text()
    by_slice = page[page.index("## By slice") : page.index("## Before and after")]
    assert "json_strict: format_success_rate, base [95%]" in by_slice
    assert "| family" in by_slice
    assert page.startswith("# quick: base against tuned") and page.count("\n### eval-") == 2
    done = call("plot")
    assert "curves.png: 1 scalars" in done.stdout
    assert Path("outputs/quick/curves.png").is_file()
    assert call("plot", "--out-png", "x/y.png").exit_code == 0
    assert Path("x/y.png").read_bytes().startswith(b"\x89PNG")


def test_out_reuses_its_config(fakes: list[str], fake: Path) -> None:
    fake.write_text(fake.read_text().replace('name = "quick"', ""))
    done = call("generate", fake, "--out", "runs/mine", "--model", "some/model")
    assert (done.exit_code, done.stdout) == (0, "wrote runs/mine/data\n")
    config = Path("runs/mine/config.toml").read_text()
    assert 'name = "mine"' in config and 'name = "some/model"' in config
    done = call("run", "--out", "runs/mine")
    assert "config: runs/mine/config.toml" in done.stderr
    assert Path("runs/mine/config.toml").read_text() == config
    assert [name for name in fakes if name != "judge"] == ["complete base", "train", "complete sft"]
    assert len(rows_of("runs/mine/data/train.jsonl")) == 6
    assert not Path("outputs").exists()


def test_run_ends_with_3_where_something_is_unscored(
    fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.fakes import Picky

    def explode(self: Picky, *arguments: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(Picky, "evaluate", explode)
    done = call("run", fake, "--set", 'eval.evaluators=["json_strict", "picky"]')
    assert done.exit_code == 3, done.stderr
    assert "short_rate" in done.stdout


def test_an_interrupt_says_how_to_go_on(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fakes import Copier

    def stop(self: Copier, *arguments: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Copier, "train", stop)
    done = call("train", fake)
    assert done.exit_code == 130
    assert "the same command goes on" in done.stderr
