"""Think tags: apart from the answer, closed by targets, truncated if unclosed, and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import structs

from fmtharness.harness.cli import main
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine import templates
from fmtharness.harness.engine.encoding import (
    encode_example,
    encode_prompt,
    stop_token,
    text_of,
    think_tag_of,
    token_ids,
)
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.parity import certify
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.reasoning import PAIRS, Split, split, think_tags
from fmtharness.harness.engine.templates import chat_text, set_template
from fmtharness.harness.formats import DEFAULT_FORMAT, for_value, options_of
from fmtharness.harness.judging.rows import read_rows
from fmtharness.harness.judging.tally import Tally, tally
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.matching import leaves
from fmtharness.harness.options import build
from fmtharness.harness.plugins import registry
from fmtharness.harness.records import (
    BrokenRow,
    Completion,
    Example,
    Message,
    Verdict,
    read_records,
    write_records,
)
from fmtharness.harness.report.comparison import Answered, rates_side_by_side
from fmtharness.harness.report.tables import metrics_json, metrics_table
from fmtharness.harness.testing.sample_values import plain_values
from tests.fakes import completed_in_order, example
from tests.taught import taught
from tests.tiny import TEMPLATE, tiny_config, tiny_tokenizer

HEAD = "{% if add_generation_prompt %}<|assistant|>"
QWEN = TEMPLATE.replace(
    HEAD,
    HEAD + "{% if enable_thinking is defined and not enable_thinking %}"
    r"{{ '<think>\n\n</think>\n\n' }}{% endif %}",
)
"""Thinks unless it is told not to, by an empty pair in the generation prompt."""
DEEPSEEK = TEMPLATE.replace(HEAD, HEAD + r"{{ '<think>\n' }}").replace(
    "{{ m.content }}", "{{ m.content.split('</think>')[-1] }}"
)
"""Always thinks: the generation prompt opens the tag. Earlier thoughts are cut out."""
SMOLLM = TEMPLATE.replace(
    HEAD,
    "{% set flags = messages | map(attribute='content') | join %}"
    "{% set thinks = enable_thinking | default(true) and '/no_think' not in flags %}"
    + HEAD
    + r"{% if not thinks %}{{ '<think>\n\n</think>\n' }}{% endif %}",
)
"""Thinks unless an argument or a flag in the messages says no."""
MAGISTRAL = TEMPLATE.replace("{{ m.content }}", "{{ m.content.split('[/THINK]')[-1] }}")
THINK = PAIRS[0]


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_noted", set())


@pytest.mark.parametrize(
    ("text", "begun", "found"),
    [
        ("{}", False, Split(None, "{}", False)),
        ("<think>\nso\n</think>\n\n{}", False, Split("so", "{}", False)),
        ("\n<think>so</think>{}", False, Split("so", "{}", False)),
        ("<think></think>{}", False, Split("", "{}", False)),
        ("so\n</think>\n\n{}", True, Split("so", "{}", False)),
        ("<think>so</think>\n{}", True, Split("so", "{}", False)),
        ("\n</think>\r\n\r\n{}", True, Split("", "{}", False)),
        ("<think>a</think>\n\n\n a: 1", False, Split("a", "\n a: 1", False)),
        ("<think>a</think> {}", False, Split("a", " {}", False)),
        ("<think>a</think><think>b</think>{}", False, Split("a", "<think>b</think>{}", False)),
        ("<think>{}", False, Split(None, "<think>{}", True)),
        ("{}", True, Split(None, "{}", True)),
        ("", True, Split(None, "", True)),
        ("", False, Split(None, "", False)),
        ("Hm. <think>a</think>{}", False, Split(None, "Hm. <think>a</think>{}", False)),
        ('{"a": "<think>b</think>"}', False, Split(None, '{"a": "<think>b</think>"}', False)),
        ("a</think>{}", False, Split(None, "a</think>{}", False)),
        ("<think>a<think>b</think>c</think>{}", False, Split("a<think>b", "c</think>{}", False)),
        ('<think>{"a": "</think>"}</think>{}', False, Split('{"a": "', '"}</think>{}', False)),
        ("<think>a</think>", False, Split("a", "", False)),
        ("<think>a</think>\n\n```json\n{}", False, Split("a", "```json\n{}", False)),
        ("</think>{}", True, Split("", "{}", False)),
        ("<THINK>a</THINK>{}", False, Split(None, "<THINK>a</THINK>{}", False)),
        ("<think", False, Split(None, "<think", False)),
    ],
)
def test_a_pair_at_the_beginning_is_apart_from_the_answer(
    text: str, begun: bool, found: Split
) -> None:
    assert split(text, THINK, begun=begun) == found


@pytest.mark.parametrize("tags", PAIRS)
def test_what_models_call_their_tags(tags: Any) -> None:
    assert think_tags(f"{{{{ '{tags.open}' }}}}") == tags
    assert think_tags(f"{{{{ m.content.split('{tags.close}') }}}}") == tags
    assert think_tags(f"{{# no {tags.open} here #}}" + TEMPLATE) is None
    text = f"{tags.open}so{tags.close}{{}}"
    assert split(text, tags) == Split("so", "{}", False)


def test_templates_without_tags_have_none() -> None:
    assert think_tags(TEMPLATE) is None
    assert think_tags(None) is None
    assert [think_tags(each) for each in (QWEN, DEEPSEEK, SMOLLM)] == [THINK] * 3


def prepared(template: str, **kwargs: Any) -> Any:
    tokenizer = tiny_tokenizer(template)
    set_template(tokenizer, ModelOptions(chat_template_kwargs=kwargs))
    return tokenizer


@pytest.mark.parametrize(
    ("template", "kwargs", "asked", "end"),
    [
        (QWEN, {}, "Go.", "<|assistant|>"),
        (QWEN, {"enable_thinking": False}, "Go.", "<|assistant|><think>\n\n</think>\n\n"),
        (SMOLLM, {}, "Go.", "<|assistant|>"),
        (SMOLLM, {"enable_thinking": False}, "Go.", "<|assistant|><think>\n\n</think>\n"),
        (SMOLLM, {}, "Go. /no_think", "<|assistant|><think>\n\n</think>\n"),
        (MAGISTRAL, {}, "Go.", "<|assistant|>"),
        (DEEPSEEK, {}, "Go.", "<|assistant|><think>\n"),
        (DEEPSEEK, {}, "Is <think> a tag? <think>", "<|assistant|><think>\n"),
    ],
)
def test_targets_are_answers(template: str, kwargs: Any, asked: str, end: str) -> None:
    """The empty pair is the prompt's; only a tag that the prompt leaves open is the label's."""
    tokenizer = prepared(template, **kwargs)
    asks = structs.replace(example(), prompt=(Message("user", asked),))
    row = encode_example(tokenizer, asks, stop_token(tokenizer))
    prompt = row.ids[: row.prompt_length]
    assert prompt == encode_prompt(tokenizer, asks.prompt)
    assert tokenizer.decode(prompt).endswith(end)
    closed = "\n</think>\n\n" if template == DEEPSEEK else ""
    assert tokenizer.decode(row.ids[row.prompt_length :]) == f'{closed}{{"a": 1}}<|end|>'
    found = split(tokenizer.decode(row.ids[row.prompt_length : -1]), THINK, begun=bool(closed))
    assert found == Split("" if closed else None, '{"a": 1}', False)
    assert certify(tokenizer, [asks], [row], {}, backend="local")["examples"] == 1


def test_a_target_with_thoughts_of_its_own_is_closed_by_them() -> None:
    tokenizer = prepared(DEEPSEEK)
    own = Example(
        id="0",
        prompt=(Message("user", "Go."),),
        completion='I see.\n</think>\n\n{"a": 1}',
        format="json",
    )
    opens = structs.replace(own, completion=f"<think>\n{own.target}")
    mentions = structs.replace(example(), completion='{"a": "</think>"}', value={"a": "</think>"})
    closed = f"\n</think>\n\n{mentions.target}"
    for each, labels in ((own, own.target), (opens, own.target), (mentions, closed)):
        row = encode_example(tokenizer, each, stop_token(tokenizer))
        assert tokenizer.decode(row.ids[row.prompt_length : -1]) == labels
        certify(tokenizer, [each], [row], {}, backend="local")


def test_tags_that_are_special_tokens_are_kept() -> None:
    """Also in a target that opens them, after a prompt that does not."""
    for template, own in (
        (QWEN, "<think>\nSo.\n</think>\n\n{}"),
        (DEEPSEEK, "So.\n</think>\n\n{}"),
    ):
        tokenizer = prepared(template)
        tokenizer.add_special_tokens({"additional_special_tokens": [*THINK]})
        asks = Example(id="0", prompt=(Message("user", "Go."),), completion=own, format="json")
        row = encode_example(tokenizer, asks, stop_token(tokenizer))
        labels = row.ids[row.prompt_length : -1]
        assert tokenizer.convert_tokens_to_ids(THINK.close) in labels
        found = split(text_of(tokenizer, labels), THINK, begun=template == DEEPSEEK)
        assert found == Split("So.", "{}", False)
        assert certify(tokenizer, [asks], [row], {}, backend="local")["stop_token"] == "<|end|>"
        assert bool(think_tag_of(tokenizer, row.ids[: row.prompt_length])) is (template == DEEPSEEK)


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows some answers, to prompts with and without an open tag."""
    tokenizer = tiny_tokenizer(QWEN)
    answers = {
        "thinks": '<think>\nSo.\n</think>\n\n{"a": 1}<|end|>',
        "answers": '{"a": 1}<|end|>',
        "unclosed": '<think>\n{"a": 1}<|end|>',
    }
    pairs = [
        (encode_prompt(tokenizer, (Message("user", asked),)), token_ids(tokenizer, answer))
        for asked, answer in answers.items()
    ]
    opens = encode_prompt(prepared(DEEPSEEK), (Message("user", "thinks"),))
    pairs.append((opens, token_ids(tokenizer, 'So.\n</think>\n\n{"a": 1}<|end|>')))
    row = encode_example(prepared(DEEPSEEK), asking("trained")[0], stop_token(tokenizer))
    pairs.append((row.ids[: row.prompt_length], row.ids[row.prompt_length :]))
    return taught(tmp_path_factory.mktemp("thinker"), tokenizer, pairs)


def asking(*prompts: str) -> list[Example]:
    return [structs.replace(example(each), prompt=(Message("user", each),)) for each in prompts]


def completed(model: Path, examples: list[Example], template: str = QWEN) -> list[Completion]:
    path = model / "mine.jinja"
    path.write_text(template)
    options = ModelOptions(name=str(model), precision="fp32", chat_template=path)
    with Patches() as patches:
        loaded = load_model(options, patches)
        return completed_in_order(loaded, examples, max_new_tokens=48, batch_size=4)


def test_a_model_that_thinks(thinker: Path) -> None:
    first, second, third = completed(thinker, asking("thinks", "answers", "unclosed"))
    assert (first.reasoning, first.text, first.unclosed) == ("So.", '{"a": 1}', False)
    assert (second.reasoning, second.text, second.unclosed) == (None, '{"a": 1}', False)
    assert (third.reasoning, third.unclosed) == (None, True)
    assert (third.text, third.finish_reason) == ('<think>\n{"a": 1}', "stop")
    assert first.completion_tokens == len('<think>\nSo.\n</think>\n\n{"a": 1}')


def test_a_model_whose_prompt_opens_the_tag(thinker: Path) -> None:
    """And what is trained there: an answer without a thought."""
    found, trained = completed(thinker, asking("thinks", "trained"), DEEPSEEK)
    assert (found.reasoning, found.text, found.unclosed) == ("So.", '{"a": 1}', False)
    assert (trained.reasoning, trained.text, trained.unclosed) == ("", '{"a": 1}', False)


def test_without_tags_in_the_template_the_text_is_judged_whole(thinker: Path) -> None:
    found = completed(thinker, asking("thinks"), TEMPLATE)[0]
    assert (found.reasoning, found.unclosed) == (None, False)
    assert found.text == '<think>\nSo.\n</think>\n\n{"a": 1}'


def test_thoughts_that_are_cut_off_are_told(
    thinker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Patches() as patches:
        loaded = load_model(ModelOptions(name=str(thinker), precision="fp32"), patches)
        found = completed_in_order(loaded, asking("thinks"), max_new_tokens=9, batch_size=1)
    assert (found[0].text, found[0].unclosed) == ("<think>\nS", True)
    assert found[0].finish_reason == "length"
    said = "completions are cut off inside think tags; raise max_new_tokens"
    assert said in capsys.readouterr().err


def answered(name: str) -> Example:
    """An Example in this format whose target is right."""
    tested: Any = build("formats", name)
    value = next(each for each in plain_values(tested) if leaves(each))
    bound: Any = for_value(tested, value)
    return Example(
        id="0",
        prompt=(Message("user", "Go."),),
        completion=bound.render(value),
        format=name,
        value=value,
        format_options=options_of(bound),
    )


@pytest.mark.parametrize("name", sorted(registry()["formats"]))
def test_an_unclosed_tag_is_truncated_in_every_format(name: str) -> None:
    """Also where the thought by itself is a right answer."""
    asked = answered(name)
    rendered = asked.target
    evaluators = [build("evaluators", f"{name}_strict"), build("evaluators", f"{name}_match")]
    thought = Completion(example_id=asked.id, text=rendered, finish_reason="stop")
    for whole in judge(evaluators, {asked.id: asked}, [thought]):
        assert whole.passed
    for text in (rendered, ""):
        unclosed = structs.replace(thought, text=text, unclosed=True)
        for verdict in judge(evaluators, {asked.id: asked}, [unclosed]):
            assert (verdict.passed, verdict.labels) == (False, ("truncated",))
            assert [(p.start, p.end) for p in verdict.problems] == [(len(text), len(text))]
            assert not verdict.counts.get("fields_correct")
            assert verdict.evaluator == f"{name}_strict" or verdict.counts["fields_expected"] > 0


def test_what_other_evaluators_make_of_an_unclosed_tag() -> None:
    asked = example()
    text = 'Hm: {"a": 1} or {"a": 2}?'
    row = Completion(example_id=asked.id, text=text, finish_reason="stop", unclosed=True)
    specs = ("extras", "duplicate_json_objects", "json_leniency")
    evaluators = [build("evaluators", each) for each in specs]
    extras, duplicates, leniency = judge(evaluators, {asked.id: asked}, [row])
    assert {each.labels for each in (extras, duplicates, leniency)} == {("truncated",)}
    assert (extras.passed, duplicates.passed, leniency.passed) == (True, True, False)
    assert (extras.counts["truncated"], extras.counts["empty"]) == (1, 0)
    assert extras.counts["text_before"] == duplicates.counts["objects"] == 0
    failed = structs.replace(row, error="no answer", finish_reason="error", unclosed=False)
    assert [each.passed for each in judge(evaluators, {asked.id: asked}, [failed])] == [None] * 3


ROWS = [
    Completion(example_id="0", text='{"a": 1}', reasoning="So."),
    Completion(example_id="1", text='{"a": 1}', reasoning=""),
    Completion(example_id="2", text="Hm", unclosed=True),
    Completion(example_id="3", text="", finish_reason="error", error="refused"),
]


def counted(rows: list[Completion]) -> tuple[list[Any], list[Verdict], Tally]:
    evaluators = [build("evaluators", f"{DEFAULT_FORMAT}_strict")]
    verdicts = list(judge(evaluators, {}, rows))
    return evaluators, verdicts, tally(evaluators, verdicts, None, rows)


def test_the_rate_of_reasoning() -> None:
    evaluators, verdicts, sums = counted(ROWS)
    rate = sums.reasoning()
    assert rate is not None
    assert (rate.name, rate.numerator, rate.denominator) == ("reasoning_rate", 2, 3)
    assert sums.named()["reasoning_rate"] == rate
    assert "completions  reasoning_rate" in metrics_table(sums)
    document: Any = metrics_json(sums)
    assert document["completions"]["metrics"]["reasoning_rate"]["numerator"] == 2
    halves = [counted(ROWS[:1])[2], counted(ROWS[1:])[2]]
    halves[0].merge(halves[1])
    assert halves[0].reasoning() == rate
    base = Answered(ROWS, verdicts)
    plain = [structs.replace(each, reasoning=None, unclosed=False) for each in ROWS]
    assert "reasoning_rate" in rates_side_by_side(evaluators, base, base)
    _, verdicts, sums = counted(plain)
    assert sums.reasoning() is None
    assert "reasoning" not in metrics_table(sums)
    assert "completions" not in metrics_json(sums)
    assert "reasoning" not in rates_side_by_side(
        evaluators, Answered(plain, verdicts), Answered(plain, verdicts)
    )


def test_rows_with_reasoning_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows: list[dict[str, Any]] = [
        {"text": "{}", "reasoning": "So."},
        {"text": "{}", "reasoning_content": "So."},
        {"text": "{}", "reasoning_content": ""},
        {"text": "{}", "reasoning": None, "reasoning_content": None},
        {"text": "{}", "reasoning": {"effort": "low"}},
        {"text": None, "reasoning_content": "So", "finish_reason": "length"},
        {"text": "", "reasoning_content": "So", "finish_reason": "length"},
        {"text": "", "reasoning": "So", "finish_reason": "stop"},
        {"text": "", "finish_reason": "length"},
        {"text": None},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = list(read_rows(path))
    found = [each for each in read if isinstance(each, Completion)]
    assert [each.reasoning for each in found] == ["So.", "So.", None, None, None, *["So"] * 3, None]
    assert [each.unclosed for each in found] == [False] * 5 + [True, True, False, False]
    assert isinstance(read[-1], BrokenRow)
    dump = tmp_path / "dump.jsonl"
    command = ["eval", "--completions", str(path), "--json", "--dump-jsonl", str(dump)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 3, done.output
    document = json.loads(done.stdout)
    assert document["completions"]["metrics"]["reasoning_rate"]["numerator"] == 5
    assert document["json_strict"]["labels"] == {"truncated": 2, "empty": 2}
    assert json.loads(dump.read_text().splitlines()[0])["reasoning"] == "So."


def test_own_files_of_completions_are_judged_the_same_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_records(path, ROWS)
    again = [each for each in read_rows(path) if isinstance(each, Completion)]
    assert [structs.replace(each, arm="replay") for each in ROWS] == again


def test_a_run_whose_prompts_open_the_tag(tmp_path: Path) -> None:
    """The model never closes it, so that nothing is an answer; training begins as inference."""
    config = tiny_config(tmp_path)
    (tmp_path / "model" / "chat_template.jinja").write_text(DEEPSEEK)
    out = tmp_path / "out"
    chosen = ["--set", "train.num_train_epochs=1", "--set", "data.n_train=8"]
    done = CliRunner().invoke(main, ["run", str(config), "--out", str(out), *chosen])
    assert done.exit_code == 0, done.output
    assert "reasoning_rate" in done.stdout
    assert done.stderr.count("cut off inside think tags") == 1
    base = list(read_records(out / "completions" / "base.jsonl", Completion))
    assert all(each.unclosed for each in base)
    verdicts = list(read_records(out / "verdicts" / "base.jsonl", Verdict))
    assert {each.labels for each in verdicts} == {("truncated",)}
    trained = json.loads((out / "manifest.json").read_text())["stages"]["train"]
    assert trained["certificate"]["compared"] == 4
    logged = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert any("eval/reasoning_rate" in row for row in logged)


def test_a_run_with_thinking_off_begins_as_inference_does(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    (tmp_path / "model" / "chat_template.jinja").write_text(QWEN)
    out = tmp_path / "out"
    off = ["--set", "model.chat_template_kwargs.enable_thinking=false"]
    off += ["--set", "train.num_train_epochs=1", "--set", "data.n_train=8"]
    done = CliRunner().invoke(main, ["train", str(config), "--out", str(out), *off])
    assert done.exit_code == 0, done.output
    trained = json.loads((out / "manifest.json").read_text())["stages"]["train"]
    assert trained["certificate"]["compared"] == 4
    template = (out / "adapter" / "chat_template.jinja").read_text()
    saved = tiny_tokenizer(template)
    assert chat_text(saved, (Message("user", "x"),)).endswith("<think>\n\n</think>\n\n")
