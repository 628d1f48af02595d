"""Rows as tools and people really write them: nothing is lost, mangled or learned by mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fmtharness.generators import jsonl
from fmtharness.generators.jsonl import Rows
from fmtharness.harness.dataset import Source, examples, rows
from fmtharness.harness.dataset.doctor_text import faults
from fmtharness.harness.dataset.fix import write_mended
from fmtharness.harness.errors import DataError
from fmtharness.harness.records import Message
from tests.test_dataset_forms import ASK, OSLO, USER, one, read, refused, said, write

ASKED = {"role": "user", "content": ASK}
COLUMNS = "prompt-completion:prompt=question,completion=answer"
FENCED = f"```json\n{OSLO}\n```"


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        ({"question": ASK, "answer": OSLO}, COLUMNS),
        ({"input": ASK, "output": OSLO}, "prompt-completion:prompt=input,completion=output"),
        ({"Prompt": ASK, "Target": OSLO}, "prompt-completion:prompt=Prompt,completion=Target"),
        ({"instruction": ASK, "response": OSLO}, "alpaca:output=response"),
        ({"conversation": [ASKED, said(OSLO)]}, "sharegpt:conversations=conversation"),
        ({"prompt": ASK, "response": OSLO}, "prompt-completion:completion=response"),
        ({"text": ASK, "label": OSLO}, "prompt-completion:prompt=text,completion=label"),
    ],
)
def test_an_error_says_how_to_name_the_columns_and_that_works(
    raw: dict[str, Any], form: str, tmp_path: Path
) -> None:
    assert f'say form = "{form}"' in refused(tmp_path, raw)
    example = one(tmp_path, raw, form=form)
    assert (example.prompt, example.completion) == ((USER,), OSLO)
    assert Rows(file="rows.jsonl", form=form).form == form


def test_columns_with_a_context(tmp_path: Path) -> None:
    raw = {"instruction": "Where?", "context": "Ada is in Oslo.", "response": OSLO, "category": "x"}
    form = "alpaca:output=response,input=context"
    assert f'say form = "{form}"' in refused(tmp_path, raw)
    assert one(tmp_path, raw, form=form).prompt[0].content == "Where?\n\nAda is in Oslo."


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("prompt-completion:promt=question", "have no key 'promt', did you mean 'prompt'?"),
        ("prompt-completion:prompt", "'prompt' is not key=value"),
        ("prompt-completion:prompt=4", "prompt = 4 names no column"),
        ("prompt-completoin:prompt=question", "did you mean 'prompt-completion'?"),
        ("prompt-completion:prompt=query,completion=answer", "it lacks query"),
    ],
)
def test_mistakes_in_the_names_of_columns(form: str, words: str, tmp_path: Path) -> None:
    assert words in refused(tmp_path, {"question": ASK, "answer": OSLO}, form=form)


def test_a_prompt_beside_an_empty_answer_is_a_prompt_alone(tmp_path: Path) -> None:
    assert one(tmp_path, {"prompt": ASK, "response": None}).completion is None
    answered = {"prompt": ASK, "response": OSLO}
    assert one(tmp_path, answered, form="prompt").completion is None


def test_a_target_that_is_data_is_written_by_its_format(tmp_path: Path) -> None:
    trip = {"from": "Oslo", "to": "Rome", "seats": [1, None], "name": "Zoë"}
    example = one(tmp_path, {"prompt": ASK, "completion": trip})
    assert example.completion == json.dumps(trip, ensure_ascii=False)
    assert example.value == trip
    assert one(tmp_path, {"instruction": ASK, "output": {"a": 1}}, format="yaml").target == "a: 1"
    calls = {"name": "book", "arguments": {"nights": 4}}
    assert one(tmp_path, {"prompt": ASK, "completion": calls}, format="tool_call").value == calls
    as_list = {"prompt": ASK, "completion": [{"a": 1}]}
    assert one(tmp_path, as_list, format="json:root=array").completion == '[{"a": 1}]'
    assert "which format json does not write (json does not hold" in refused(tmp_path, as_list)
    assert "format none takes only a text" in refused(tmp_path, as_list, format="none")


def test_data_in_a_table_of_columns_is_refused(tmp_path: Path) -> None:
    """A parquet file does not say which keys a row lacks."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"prompt": [ASK], "completion": [{"a": 1}]}), path)
    with pytest.raises(DataError, match=r"row 1: the target is data \(.*write it as a text"):
        [*rows(Source(str(path)))]


def test_a_turn_of_weight_0_is_no_target(tmp_path: Path) -> None:
    good, bad = {**said(OSLO), "weight": 1}, {**said("Oslo!"), "weight": 0}
    assert one(tmp_path, {"messages": [ASKED, bad, ASKED, good]}).completion == OSLO
    example = one(tmp_path, {"messages": [ASKED, good, ASKED, bad]})
    assert (example.prompt, example.completion) == ((USER,), OSLO)
    example = one(tmp_path, {"messages": [ASKED, bad]})
    assert (example.prompt, example.completion) == ((USER,), None)


def test_a_bad_completion_of_kto_is_no_target(tmp_path: Path) -> None:
    good, bad = ({"prompt": ASK, "completion": OSLO, "label": label} for label in (True, False))
    assert [each.completion for each in read(tmp_path, good, bad)] == [OSLO, None]
    assert one(tmp_path, bad).rejected == OSLO


@pytest.mark.parametrize(
    "raw",
    [
        {"conversations": [ASKED], "chosen": {"from": "gpt", "value": OSLO}},
        {"instruction": ASK, "input": "", "chosen": OSLO},
    ],
)
def test_preferences_of_llama_factory(raw: dict[str, Any], tmp_path: Path) -> None:
    example = one(tmp_path, {**raw, "rejected": "no"})
    assert (example.prompt, example.completion, example.rejected) == ((USER,), OSLO, "no")


def test_a_system_prompt_is_kept_whatever_its_shape(tmp_path: Path) -> None:
    chat = [ASKED, said(OSLO)]
    for system in ("Be brief.", ["Be brief."], [{"text": "Be brief."}]):
        example = one(tmp_path, {"system": system, "messages": chat})
        assert example.prompt[0] == Message("system", "Be brief.")
    own = {"role": "system", "content": "Be brief."}
    assert len(one(tmp_path, {"system": "Be brief.", "messages": [own, *chat]}).prompt) == 2
    two = {"system": "Be long.", "messages": [own, *chat]}
    assert "it has two system prompts, one of them among the messages" in refused(tmp_path, two)


def test_roles_in_capitals_and_results_of_tools_as_data(tmp_path: Path) -> None:
    turns = [{"role": "User", "content": ASK}, {"role": "tool", "content": {"t": 3}}, said(OSLO)]
    assert one(tmp_path, {"messages": turns}).prompt == (USER, Message("tool", '{"t": 3}'))


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeffprompt;completion\r\n{ASK};{{}}\r\n;\r\n;\r\n",
        f"prompt;completion;;\r\n{ASK};{{}};;\r\n;;;\r\n",
        f"sep=;\r\nprompt;completion\r\n{ASK};{{}}\r\n",
        f",prompt,completion\n0,{ASK},{{}}\n",
        f'prompt,completion\n"[{{""role"": ""user"", ""content"": ""{ASK}""}}]",{{}}\n',
    ],
)
def test_tables_of_excel_and_pandas(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode())
    (row,) = rows(Source(str(path)))
    assert (row.example.prompt, row.example.completion) == ((USER,), "{}")
    assert row.line == text[: text.index(ASK)].count("\n") + 1


def test_messages_as_python_writes_them_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt,completion\n\"[{'role': 'user', 'content': 'Hi'}]\",{}\n")
    with pytest.raises(DataError, match="line 2: prompt holds messages as Python writes them"):
        [*rows(Source(str(path)))]


def test_asserts_of_promptfoo_add_up(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "prompts: ['{{q}}']\ndefaultTest: {assert: [{type: is-json}]}\n"
        "tests:\n - vars: {q: Hi}\n   assert: [{type: equals, value: '{}'}]\n"
    )
    (example,) = examples(Source(str(path)))
    assert (example.completion, example.tags["json_schema"]) == ("{}", {"type": "object"})
    path.write_text("prompts: [a]\ntests: file://t.yaml\n")
    with pytest.raises(DataError, match=r"its tests stand in file://t\.yaml; write them here"):
        [*examples(Source(str(path)))]


@pytest.mark.parametrize(
    ("target", "form", "prompt"),
    [
        ('{"t": "to be continued: ..."}', "json", "?"),
        ('{"t": "one, two, ..., ten"}', "json", "?"),
        ("t: one, two, ..., ten\n", "yaml", "?"),
        ('t: "He said: ..."\n', "yaml", "?"),
        ('{"status": "TODO"}', "json", "It is still to do."),
        ("env:\n  A: ${{ secrets.TOKEN }}\n", "yaml", "?"),
        ('- name: "{{ item }}"\n', "yaml", "Write an Ansible task."),
        ('{"reply": "I\'m sorry, but I can\'t find your order."}', "json", "?"),
        ('{"job": "She works as an AI researcher"}', "json", "?"),
        ('{"html": "<p>Tom &amp; Jerry</p>"}', "json", "?"),
        ('{"html": "Tom &amp; Jerry"}', "json", "Escape it for HTML: Tom & Jerry"),
        ("| a |\n|---|\n| x<br>y |\n", "markdown_table", "?"),
        ('{"a": "Llama 2 has [INST]"}', "json", "Which models have [INST]?"),
        ('{"a": "<b>bold</b>"}', "json", "?"),
    ],
)
def test_what_is_no_fault_of_a_target(target: str, form: str, prompt: str) -> None:
    assert [*faults(target, prompt, form, ())] == []


@pytest.mark.parametrize(
    ("target", "form", "check"),
    [
        ('{"name": "..."}', "json", "placeholder_value"),
        ("name: ...\nb: 1\n", "yaml", "placeholder_value"),
        ("name: 'TBD'\n", "yaml", "placeholder_value"),
        ("a,b\n1,TODO\n", "csv", "placeholder_value"),
        ("<a>...</a>", "xml", "placeholder_value"),
        ('{"a": "{{ name }}"}', "json", "unfilled_template"),
        ("I'm sorry, but I can't do that.", "json", "refusal"),
        ('{"a": "As an AI language model, I cannot"}', "json", "refusal"),
        ('{"a": "Tom &amp; Jerry"}', "json", "html_entities"),
        ('{"a": "uses [INST]"}', "json", "template_markers"),
    ],
)
def test_what_still_is_one(target: str, form: str, check: str) -> None:
    assert [each[0] for each in faults(target, "?", form, ())] == [check]


def test_a_marker_of_the_model_is_a_fault_though_the_prompt_has_it() -> None:
    found = [*faults('{"a": "[INST]"}', "Say [INST].", "json", ("[INST]",))]
    assert [each[0] for each in found] == ["template_markers"]


def test_the_fix_mends_the_target_and_not_its_double(tmp_path: Path) -> None:
    body = {"messages": [ASKED, said(FENCED)], "metadata": {"raw": FENCED}}
    path = write(tmp_path / "rows.jsonl", {"custom_id": "a", "body": body})
    assert write_mended(Source(path), tmp_path / "out.jsonl").counts == {"fenced_target": 1}
    mended = json.loads((tmp_path / "out.jsonl").read_text())["body"]
    assert mended["messages"][-1]["content"] == OSLO
    assert mended["metadata"]["raw"] == FENCED


def test_a_large_file_is_read_once_for_its_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "LARGE", 0)
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "rows.jsonl"
    write(path, {"prompt": ASK, "completion": OSLO, "schema": {"type": "object"}})
    given = Rows(file=str(path))
    assert given.formats == ("json",)
    jsonl._facts_of.cache_clear()
    counted = jsonl._counted
    monkeypatch.setattr(jsonl, "_counted", lambda sources: pytest.fail("read again"))
    assert (given.formats, given.evaluators) == (("json",), ("json_schema",))
    monkeypatch.setattr(jsonl, "_counted", counted)
    write(path, {"prompt": ASK, "completion": OSLO}, {"prompt": "b", "completion": ""})
    assert given.evaluators == ()
