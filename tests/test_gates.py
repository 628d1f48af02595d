"""Gate files: what they may say, every fault in a sentence, and what becomes of each item."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.harness import plugins
from fmtharness.harness.config import load_config
from fmtharness.harness.contracts import Options
from fmtharness.harness.errors import ConfigError
from fmtharness.harness.gates.gate_file import (
    Bounds,
    GateOptions,
    ModelSource,
    Regression,
    read_gate,
)
from fmtharness.harness.gates.outcome import Outcome
from fmtharness.harness.gates.outcomes import WORST, judge_gate
from fmtharness.harness.judging.statistics import mcnemar, rate
from fmtharness.harness.plugins import Registered
from fmtharness.harness.records import Completion, Example, Message, write_records
from fmtharness.harness.run import stages
from fmtharness.harness.run.folder import RunFolder
from fmtharness.harness.trained_on import TrainedOn
from tests.fakes import FAKE_CONFIG, ROOT, Echo, example

GOOD, BAD = '{"a": 1}', '{"a": 1,}'
SUCCESS = "json_strict.format_success_rate"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gates lie in a folder that is not the current one, so that relative paths are put to use."""
    (tmp_path / "gates").mkdir()
    monkeypatch.chdir(tmp_path)


def gate_file(text: str) -> Path:
    path = Path("gates/answers.fmt.toml").absolute()
    path.write_text(text, encoding="utf-8")
    return path


def judged(text: str) -> dict[str, Outcome]:
    """What becomes of each item of the gate with this text."""
    gate = read_gate(gate_file(text))
    found = judge_gate(gate)
    assert list(found) == gate.items
    return found


def rows(texts: Sequence[str], name: str = "rows.jsonl", first: int = 0) -> None:
    """Completions of the Examples e0, e1, ..."""
    completions = [
        Completion(example_id=f"e{place}", text=text) for place, text in enumerate(texts, first)
    ]
    write_records(Path("gates", name), completions)


def examples(n: int, name: str = "examples.jsonl", value: Any = None) -> None:
    write_records(Path("gates", name), [example(f"e{place}", value) for place in range(n)])


SOURCE = 'completions = "rows.jsonl"\n'
THRESHOLD = "[thresholds.json_strict]\nformat_success_rate = { min = 0.5 }\n"


# What a file may say


def test_items_stand_in_the_order_of_the_file() -> None:
    gate = read_gate(
        gate_file(
            SOURCE
            + """
            data = "examples.jsonl"
            evaluators = ["json_strict:root=any"]
            [thresholds.json_match]
            exact_match_rate = { min = 0.9 }
            [thresholds.json_strict]
            format_success_rate = { min_low = 0.93, min = 0.97 }
            [regression]
            against = "main.jsonl"
            max_drop = { json_strict = 0.01, extras = 0 }
            """
        )
    )
    assert gate.items == [
        "scored",
        "answered",
        "json_match.exact_match_rate.min",
        "json_strict.format_success_rate.min",
        "json_strict.format_success_rate.min_low",
        "regression.json_strict.max_drop",
        "regression.extras.max_drop",
    ]
    strict = {evaluator.name: evaluator for evaluator in gate.evaluators}["json_strict"]
    assert strict.root == "any"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("completions = ", "not TOML: Invalid value (at end of document)"),
        ("treshold = 1\n", "has no key 'treshold', did you mean 'thresholds'?"),
        ("completions = 3\n" + THRESHOLD, "completions = 3: Input should be a valid string"),
        ("thresholds = 3\n" + SOURCE, "thresholds = 3: Input should be an object"),
        (THRESHOLD, "set exactly one of completions, run and [model]; found none"),
        (
            SOURCE + 'run = "outputs/quick"\n' + THRESHOLD,
            "set exactly one of completions, run and [model]; found completions and run",
        ),
        (SOURCE + 'arm = "base"\n' + THRESHOLD, "has the key 'arm', which needs run"),
        (
            'run = "outputs/quick"\ndata = "examples.jsonl"\n' + THRESHOLD,
            "has the key 'data', but a run has its own Examples; remove one of the two",
        ),
        (SOURCE, "has no threshold; add [thresholds.json_strict] or [regression]"),
        (SOURCE + "[thresholds]\n", "has no threshold; add"),
        (
            SOURCE + "[thresholds.json_strict]\n",
            "[thresholds.json_strict] must be a table of rates",
        ),
        (
            SOURCE + "thresholds.json_strict = 1\n",
            "[thresholds.json_strict] must be a table of rates",
        ),
        (
            SOURCE + "[thresholds.json_strit]\nformat_success_rate = { min = 1 }",
            "[thresholds]: no evaluator is called 'json_strit', did you mean 'json_strict'?",
        ),
        (
            SOURCE + '[thresholds."json_strict:root=any"]\nformat_success_rate = { min = 1 }',
            "no evaluator is called 'json_strict:root=any', did you mean 'json_strict'?",
        ),
        (
            SOURCE + "[thresholds.json_strict]\nformat_succes_rate = { min = 1 }",
            "[thresholds.json_strict] has no rate 'format_succes_rate', "
            "did you mean 'format_success_rate'?",
        ),
        (
            SOURCE + "[thresholds.json_strict]\nwit = { min = 1 }",
            "[thresholds.json_strict] has no rate 'wit'; it has format_success_rate",
        ),
        (
            SOURCE + "[thresholds.json_strict]\nformat_success_rate = 0.9",
            "[thresholds.json_strict] format_success_rate = 0.9: write { min = ... }",
        ),
        (
            SOURCE + "[thresholds.json_strict]\nformat_success_rate = {}",
            "format_success_rate: no bound is set; set at least one of min, max, min_low, max_high",
        ),
        (
            SOURCE + "[thresholds.json_strict]\nformat_success_rate = { min = 97 }",
            "format_success_rate min = 97: Input should be less than or equal to 1",
        ),
        (
            SOURCE + "[thresholds.json_strict]\nformat_success_rate = { min = true }",
            "format_success_rate min = true: Input should be a valid number",
        ),
        (
            SOURCE + "[thresholds.json_strict]\nformat_success_rate = { min = nan }",
            "format_success_rate min = NaN: Input should be",
        ),
        (
            SOURCE + "[thresholds.json_strict]\nformat_success_rate = { min_lo = 0.9 }",
            "format_success_rate has no key 'min_lo', did you mean 'min_low'?",
        ),
        (
            SOURCE + "[thresholds.json_strict]\nformat_success_rate = { min_low = 0.9, max = 0.8 }",
            "format_success_rate: no rate can satisfy both min_low and max",
        ),
        (
            SOURCE + 'evaluators = ["json_strict:rot=any"]\n' + THRESHOLD,
            "evaluators: 'json_strict:rot=any': json_strict has no key 'rot', did you mean 'root'?",
        ),
        (
            SOURCE + 'evaluators = ["extras"]\n' + THRESHOLD,
            "evaluators: 'extras' has no threshold; remove it",
        ),
        (
            SOURCE + 'evaluators = ["json_strict", "json_strict:root=any"]\n' + THRESHOLD,
            "evaluators: 'json_strict' is given twice",
        ),
        (
            SOURCE + "[thresholds.json_match]\nexact_match_rate = { min = 0.9 }",
            "evaluator 'json_match' compares with Examples: set data to their file",
        ),
        (THRESHOLD + "[model]\nnam = 'x'", "[model] has no key 'nam', did you mean 'name'?"),
        (THRESHOLD + "[model]\nnum_prompts = 0", "[model] num_prompts = 0: Input should be"),
        (SOURCE + "[regression]\n", "[regression] lacks the key 'against'"),
        (
            SOURCE + "[regression]\nagainst = 'main'\nmax_drop = {}",
            "[regression] max_drop = {}: Dictionary should have at least 1 item",
        ),
        (
            SOURCE + "[regression]\nagainst = 'main'\nmax_drop = { json_strict = 2 }",
            "[regression] max_drop.json_strict = 2: Input should be less than or equal to 1",
        ),
        (
            SOURCE + "[regression]\nagainst = 'main'\nmax_drop = { json_strit = 0.1 }",
            "[regression] max_drop: no evaluator is called 'json_strit', did you mean",
        ),
        (
            SOURCE + "[regression]\nagainst = 'main'\nalpha = 0\nmax_drop = { json_strict = 0 }",
            "[regression] alpha = 0: Input should be greater than 0",
        ),
    ],
)
def test_a_fault_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_gate(gate_file(text), "sub/answers.fmt.toml")
    lines = str(caught.value).splitlines()
    assert all(line.startswith("sub/answers.fmt.toml") for line in lines)
    assert sum(sentence in line for line in lines) == 1, lines


def test_all_faults_are_told_at_once() -> None:
    text = """
    completion = "rows.jsonl"
    evaluators = ["json_strit", "extras:x=1"]
    [thresholds.json_strict]
    format_success_rate = { mn = 0.9 }
    [thresholds.extras]
    extras_rate = { max = 2 }
    [regression]
    alfa = 1
    """
    with pytest.raises(ConfigError) as caught:
        read_gate(gate_file(text))
    told = str(caught.value)
    assert len(told.splitlines()) == 9, told
    for word in (
        "completion",
        "json_strit",
        "'x'",
        "'mn'",
        "max = 2",
        "alfa",
        "against",
        "exactly one",
    ):
        assert word in told


# What becomes of a threshold

_RATE = rate("format_success_rate", 97, 100)


@pytest.mark.parametrize("bound", list(Bounds.model_fields))
@pytest.mark.parametrize("step", [-1e-9, 0, 1e-9])
def test_a_bound_holds_up_to_its_limit(bound: str, step: float) -> None:
    rows([GOOD] * 97 + [BAD] * 3)
    subject = {"min_low": _RATE.low, "max_high": _RATE.high}.get(bound, _RATE.value)
    assert subject is not None
    limit = subject + step
    text = f"[thresholds.json_strict]\nformat_success_rate = {{ {bound} = {limit!r} }}"
    outcome = judged(SOURCE + text)[f"{SUCCESS}.{bound}"]
    is_kept = subject >= limit if bound.startswith("min") else subject <= limit
    assert is_kept == (outcome.failure == "")
    assert outcome.properties == {
        "value": 0.97,
        "numerator": 97,
        "denominator": 100,
        "low": _RATE.low,
        "high": _RATE.high,
    }


def test_several_answers_to_a_prompt_are_no_independent_draws() -> None:
    samples = [
        Completion(example_id=f"e{prompt}", text=GOOD if prompt < 8 else BAD, sample=k)
        for prompt in range(10)
        for k in range(5)
    ]
    write_records(Path("gates", "rows.jsonl"), samples)
    found = judged(SOURCE + THRESHOLD)[f"{SUCCESS}.min"].properties
    assert (found["value"], found["denominator"]) == (0.8, 50)
    of_prompts, of_draws = rate("", 8, 10), rate("", 40, 50)
    assert of_prompts.low is not None and of_draws.low is not None
    assert found["low"] < of_prompts.low < of_draws.low


def test_a_failure_says_all_there_is_to_know() -> None:
    rows([GOOD, "Sure: {}", BAD, '```json\n{"a": 1,}\n```', *[BAD] * 4])
    text = "[thresholds.json_strict]\nformat_success_rate = { min = 0.5, min_low = 0.25 }"
    outcomes = judged(SOURCE + text)
    assert outcomes["scored"] == Outcome(properties={"unscored": 0})
    value, low = outcomes[f"{SUCCESS}.min"].failure, outcomes[f"{SUCCESS}.min_low"].failure
    interval = rate("", 1, 8)
    shown = f"0.125 [{interval.low:.3f}, {interval.high:.3f}] (1/8)"
    assert value.startswith(
        f"format_success_rate of json_strict is {shown}, below min = 0.5\n"
        "labels: trailing_comma 6, text_before 1, code_fence 1\n"
        "offending completions (7), worst first:\n"
        '  e3: code_fence, trailing_comma: "```json\\n{\\"a\\": 1,}\\n```"\n'
        '  e1: text_before: "Sure: {}"\n'
        '  e2: trailing_comma: "{\\"a\\": 1,}"\n'
    )
    assert "  and 2 more\n" in value
    assert value.count("\n  e") == WORST
    assert "completion e3" in value, "the worst one is diagnosed"
    assert low.startswith(
        f"format_success_rate of json_strict is {shown}, "
        f"its low end {interval.low:.6g} is below min_low = 0.25\n"
    )


def test_a_long_text_is_shortened() -> None:
    rows(["x" * 100_000])
    failure = judged(SOURCE + THRESHOLD)[f"{SUCCESS}.min"].failure
    assert f'"{"x" * 80}"... (100000 characters)' in failure
    assert len(failure) < 2000


def test_a_lone_surrogate_does_not_leave_the_gate() -> None:
    rows(['{"a": "\ud800"}'])
    failure = judged(SOURCE + THRESHOLD)[f"{SUCCESS}.min"].failure
    assert "<U+D800>" in failure
    failure.encode()


def test_the_worst_of_a_rate_of_fields_are_those_that_lack_most() -> None:
    examples(3, value={"a": 1, "b": 2, "c": 3})
    rows(['{"a": 1, "b": 2, "c": 4}', "{}", '{"a": 1, "b": 2, "c": 3}'])
    text = 'data = "examples.jsonl"\n[thresholds.json_match]\nfield_recall = { min = 0.9 }'
    failure = judged(SOURCE + text)["json_match.field_recall.min"].failure
    assert "(5/9)" in failure and "offending completions (2)" in failure
    assert failure.index("  e1: ") < failure.index("  e0: ")


def test_what_counts_against_a_ceiling_is_what_it_counts() -> None:
    rows([GOOD, f"```json\n{GOOD}\n```", f"Sure: {GOOD}"])
    text = "[thresholds.extras]\ncode_fence_rate = { max = 0.3 }"
    failure = judged(SOURCE + text)["extras.code_fence_rate.max"].failure
    assert "(1/3), above max = 0.3" in failure
    assert "offending completions (1), worst first:\n  e1: " in failure


def test_a_rate_without_a_denominator_fails() -> None:
    examples(1)
    rows(["no JSON"])
    text = 'data = "examples.jsonl"\n[thresholds.json_match]\nfield_precision = { max = 1 }'
    outcome = judged(SOURCE + text)["json_match.field_precision.max"]
    assert "field_precision of json_match has no value" in outcome.failure
    assert "'fields_predicted'" in outcome.failure
    assert outcome.properties == {"numerator": 0, "denominator": 0}


def test_what_is_unscored_fails_an_item_of_its_own(fakes: list[str]) -> None:
    rows(["boom", "x", "y"])
    found = judged(SOURCE + "[thresholds.picky]\nshort_rate = { min = 1 }")
    assert found["picky.short_rate.min"].failure == ""
    assert found["picky.short_rate.min"].properties["denominator"] == 2
    assert found["scored"].failure.startswith(
        "picky: 1 unscored, the first because picky raised RuntimeError: a bad day\n"
        'offending completions (1), worst first:\n  e0: unscored: "boom"'
    )
    assert found["scored"].properties == {"unscored": 1}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "rows.jsonl: cannot be read (No such file or directory); check the path"),
        ("", "rows.jsonl: there is no completion in it"),
        ('{"text": "{}", "id": "other"}\n', "rows.jsonl: no row's id ('other', ...)"),
    ],
)
def test_a_source_that_cannot_be_read_fails_every_item(content: str | None, sentence: str) -> None:
    if content is not None:
        Path("gates/rows.jsonl").write_text(content)
    examples(2)
    found = judged(SOURCE + 'data = "examples.jsonl"\n' + THRESHOLD)
    assert len(found) == 3
    assert all(sentence in each.failure for each in found.values())


def test_a_broken_row_fails_the_gate_with_its_line() -> None:
    Path("gates/rows.jsonl").write_text(f'{{"text": "{{}}"}}\n{GOOD}\n')
    assert "line 2" in judged(SOURCE + THRESHOLD)["scored"].failure


# A run and a model


def make_run(folder: str, *overrides: str) -> None:
    Path("fake.toml").write_text(FAKE_CONFIG)
    with RunFolder.open(Path(folder), load_config(Path("fake.toml"), overrides=overrides)) as run:
        stages.run_all(run)


def test_a_run_is_judged_by_arm_on_its_own_examples(fakes: list[str]) -> None:
    make_run("outputs/one")
    fakes.clear()
    text = """
    run = "../outputs/one"
    {arm}
    [thresholds.json_match]
    exact_match_rate = {{ min = 1 }}
    """
    tuned, base = judged(text.format(arm="")), judged(text.format(arm='arm = "base"'))
    item = "json_match.exact_match_rate.min"
    assert not any(outcome.failure for outcome in tuned.values())
    assert tuned[item].properties["denominator"] == 4
    assert "(0/4)" in base[item].failure and "eval-0: " in base[item].failure
    assert base["scored"].failure == ""
    nowhere = judged(text.format(arm='arm = "sfd"'))
    assert "completions/sfd.jsonl: cannot be read" in nowhere["scored"].failure
    assert fakes == [], "nothing is generated"


def test_a_model_answers_once_for_all_items(fakes: list[str]) -> None:
    Path("gates/fake.toml").write_text(FAKE_CONFIG)
    examples(5)
    found = judged(
        """
        data = "examples.jsonl"
        [model]
        config = "fake.toml"
        num_prompts = 3
        [thresholds.json_strict]
        format_success_rate = { max = 0 }
        [thresholds.extras]
        extras_rate = { min = 1 }
        """
    )
    assert not any(outcome.failure for outcome in found.values())
    assert found["extras.extras_rate.min"].properties["denominator"] == 3
    assert fakes == ["complete base"]


def test_an_adapter_is_asked_by_the_backend_of_the_config_not_of_its_own(fakes: list[str]) -> None:
    make_run("outputs/one")
    told = TrainedOn(
        base="smollm2-135m-instruct",
        quantization="none",
        precision="float32",
        template_sha256="",
        stop_token="",
        backend="gone",
    )
    Path("gates/fake.toml").write_text(FAKE_CONFIG)
    Path("outputs/one/adapter/fmtharness.json").write_bytes(msgspec.json.encode(told))
    fakes.clear()
    named = 'config = "fake.toml"\nadapter = "../outputs/one/adapter"\nnum_prompts = 2\n'
    found = judged(f"[model]\n{named}{THRESHOLD}")
    assert found[f"{SUCCESS}.min"].properties["value"] == 1
    assert found[f"{SUCCESS}.min"].properties["denominator"] == 2
    assert fakes == ["complete sft"]


@pytest.mark.parametrize("name", ["beside", "HuggingFaceTB/SmolLM2-135M-Instruct"])
def test_a_model_may_lie_beside_the_gate(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Named(Echo):
        name: ClassVar[str] = "named"

        def complete(self, examples: Any, model: Any, adapter: Any) -> Iterator[Completion]:
            kind = "a folder" if Path(model.name).is_dir() else "no folder"
            text = f"{kind} called {Path(model.name).name}"
            yield Completion(example_id=examples[0].id, text=text)

    loaded = plugins.load(())
    loaded["backends"]["named"] = Registered("backends", "named", "tests", Named)
    monkeypatch.setattr(plugins, "registry", lambda: loaded)
    Path("gates/beside").mkdir()
    Path("gates/named.toml").write_text('[eval]\nbackend = "named"\n')
    text = f'[model]\nname = "{name}"\nconfig = "named.toml"\n{THRESHOLD}'
    said = judged(text)[f"{SUCCESS}.min"].failure
    assert ("a folder" in said) == (name == "beside")
    assert Path(name).name in said


def test_a_crash_is_told_by_every_item_and_happens_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Crashing(Options):
        name: ClassVar[str] = "crashing"

        def complete(self, examples: Any, model: Any, adapter: Any) -> Iterator[Completion]:
            raise ZeroDivisionError("out of luck")

    loaded = plugins.load(())
    loaded["backends"]["crashing"] = Registered("backends", "crashing", "tests", Crashing)
    monkeypatch.setattr(plugins, "registry", lambda: loaded)
    Path("gates/crashing.toml").write_text('[eval]\nbackend = "crashing"\n')
    found = judged('[model]\nconfig = "crashing.toml"\n' + THRESHOLD)
    assert all("ZeroDivisionError: out of luck" in each.failure for each in found.values())


@pytest.mark.model
def test_the_real_model_writes_no_json_unasked() -> None:
    write_records(
        Path("gates/examples.jsonl"),
        [
            Example(
                id="e0",
                prompt=(Message("user", "Write one short sentence about the sea."),),
                completion=GOOD,
                format="json",
                value={"a": 1},
            )
        ],
    )
    Path("gates/short.toml").write_text("[eval]\nmax_new_tokens = 8\n")
    found = judged('data = "examples.jsonl"\n[model]\nconfig = "short.toml"\n' + THRESHOLD)
    assert found["scored"].failure == ""
    assert found[f"{SUCCESS}.min"].properties["denominator"] == 1
    assert "  e0: " in found[f"{SUCCESS}.min"].failure


# A regression

DROP = "regression.json_strict.max_drop"


def regression(max_drop: float = 0.0) -> str:
    return (
        f'{SOURCE}[regression]\nagainst = "main.jsonl"\n'
        f"max_drop = {{ json_strict = {max_drop!r} }}\n"
    )


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.01, 0.1, 0.25, 1.0]),
    st.sampled_from([0.01, 0.05, 1.0]),
)
def test_a_drop_fails_where_it_is_large_and_no_chance(
    pairs: list[tuple[bool, bool]], max_drop: float, alpha: float
) -> None:
    rows([GOOD if was else BAD for was, _ in pairs], "main.jsonl")
    rows([GOOD if now else BAD for _, now in pairs])
    found = judged(regression(max_drop=max_drop) + f"alpha = {alpha}\n")
    outcome = found[DROP]
    before, after = [was for was, _ in pairs], [now for _, now in pairs]
    paired = mcnemar(before, after)
    fell = (sum(before) - sum(after)) / len(pairs)
    assert (outcome.failure != "") == (fell > max_drop and paired.p_value <= alpha)
    assert outcome.properties == {
        "before": sum(before) / len(pairs),
        "after": sum(after) / len(pairs),
        "pairs": len(pairs),
        "left_out": 0,
        "fixed": paired.fixed,
        "broken": paired.broken,
        "p_value": paired.p_value,
    }


def test_a_regression_lists_what_broke() -> None:
    rows([GOOD] * 6 + [BAD] * 4, "main.jsonl")
    rows([BAD] * 6 + [BAD] * 4)
    failure = judged(regression(max_drop=0.1))[DROP].failure
    assert failure.startswith(
        "json_strict has pass rate 0.000 (0/10), down from 0.600 (6/10) in main.jsonl: "
        "a drop of 0.6, above max_drop = 0.1; 6 broken, 0 fixed, McNemar p = 0.031, at most "
        "alpha = 0.05; 0 left out\noffending completions (6), worst first:\n  e0: trailing_comma: "
    )


def test_five_broken_alone_are_no_proof() -> None:
    rows([GOOD] * 10, "main.jsonl")
    rows([BAD] * 5 + [GOOD] * 5)
    assert judged(regression())[DROP].failure == ""
    assert judged(regression() + "alpha = 1\n")[DROP].failure != "", "alpha 1 takes the drop alone"


def test_only_what_both_sides_have_is_compared() -> None:
    rows([GOOD] * 5, "main.jsonl")
    rows([BAD] * 5, first=3)
    properties = judged(regression())[DROP].properties
    assert (properties["pairs"], properties["left_out"], properties["broken"]) == (2, 6, 2)
    rows([BAD] * 5, first=5)
    failure = judged(regression())[DROP].failure
    assert failure == "json_strict: no Example can be compared with main.jsonl; 10 left out"


def test_an_id_that_stands_for_another_example_is_left_out(fakes: list[str]) -> None:
    make_run("outputs/one")
    make_run("outputs/other", "seed=1")
    text = """
    run = "../outputs/one"
    arm = "base"
    [regression]
    against = "../outputs/{run}"
    max_drop = {{ json_strict = 0 }}
    alpha = 1
    """
    changed = judged(text.format(run="other"))[DROP]
    assert "no Example can be compared with ../outputs/other; 4 left out" in changed.failure
    same = judged(text.format(run="one"))[DROP]
    assert "4 broken, 0 fixed" in same.failure, "against the run's own sft arm"


def test_a_reference_may_be_another_arm(fakes: list[str]) -> None:
    make_run("outputs/one")
    text = """
    run = "../outputs/one"
    [regression]
    against = "../outputs/one"
    arm = "base"
    max_drop = { json_strict = 0 }
    """
    outcome = judged(text)[DROP]
    assert outcome.failure == ""
    assert (outcome.properties["before"], outcome.properties["after"]) == (0, 1)


def test_an_id_given_twice_cannot_be_paired() -> None:
    rows([GOOD] * 2, "main.jsonl")
    Path("gates/rows.jsonl").write_text('{"id": 1, "text": "{}"}\n' * 2)
    failures = {each.failure for each in judged(regression() + THRESHOLD).values()}
    [failure] = failures
    assert "answers.fmt.toml: two completions have the id '1'; [regression] pairs" in failure
    sampled = judged("samples = 2\n" + SOURCE + THRESHOLD)
    assert not any(each.failure for each in sampled.values()), "a threshold alone takes it"


def test_what_one_side_could_not_score_is_left_out(fakes: list[str]) -> None:
    rows(["x", "boom", "x"], "main.jsonl")
    rows(["x", "x", "x"])
    text = SOURCE + '[regression]\nagainst = "main.jsonl"\nmax_drop = { picky = 0 }\n'
    found = judged(text)
    assert found["regression.picky.max_drop"].properties["pairs"] == 2
    assert found["regression.picky.max_drop"].properties["left_out"] == 1
    assert found["scored"].failure == "", "the reference is not what the gate is about"


# The page

PAGE = (ROOT / "docs" / "gates.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", [GateOptions, ModelSource, Bounds, Regression])
def test_the_page_names_every_key(model: type[Options]) -> None:
    for key in model.model_fields:
        assert re.search(rf"^\| `{key}`", PAGE, re.MULTILINE), key


@pytest.mark.parametrize("sample", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_the_samples_of_the_page_are_gates(sample: str) -> None:
    assert len(read_gate(gate_file(sample)).items) > 1


def test_outcomes_survive_the_way_to_another_process() -> None:
    rows([GOOD, BAD])
    found = judged(SOURCE + THRESHOLD + '[regression]\nagainst = "rows.jsonl"\nmax_drop.extras = 0')
    again: Callable[[bytes], Any] = msgspec.json.Decoder(dict[str, Outcome]).decode
    assert again(msgspec.json.encode(found)) == found


def test_a_missing_adapter_is_told_before_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("fmtharness.harness.engine.models.load_model")
    (outcome, *_) = judged(f'[model]\nadapter = "nope"\n{THRESHOLD}').values()
    assert "nope': there is no such folder; name the folder of an adapter" in outcome.failure
