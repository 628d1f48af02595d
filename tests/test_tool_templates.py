"""Templates of the kinds of Qwen, Llama, Mistral, Hermes and DeepSeek write calls, each its way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from fmtharness.harness.dataset import Source, rows
from fmtharness.harness.engine import templates
from fmtharness.harness.engine.encoding import encode_example, stop_token
from fmtharness.harness.engine.parity import certify
from fmtharness.harness.engine.templates import chat_text
from fmtharness.harness.errors import ModelError
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import build
from fmtharness.harness.records import Completion, Example
from tests.tiny import tiny_tokenizer

GO = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
QWEN = (
    "{% if tools %}<|system|>{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif"
    " %}{% for t in tools %}{{ '\n' ~ t | tojson }}{% endfor %}<|end|>{% endif %}"
    "{% for m in messages %}{% if m.role == 'tool' %}{% if loop.first or "
    "messages[loop.index0 - 1].role != 'tool' %}<|user|>{% endif %}<tool_response>\n"
    "{{ m.content }}\n</tool_response>{% if loop.last or messages[loop.index0 + 1].role != 'tool'"
    " %}<|end|>{% endif %}{% elif m.role != 'system' or not tools %}<|{{ m.role }}|>"
    "{{ m.content }}{% for c in m.tool_calls or [] %}{% if c.function %}{% set c = c.function %}"
    "{% endif %}{{ '\n' }}<tool_call>\n"
    '{"name": "{{ c.name }}", "arguments": '
    "{% if c.arguments is string %}{{ c.arguments }}{% else %}{{ c.arguments | tojson }}{% endif %}"
    "}\n</tool_call>{% endfor %}<|end|>{% endif %}{% endfor %}" + GO
)
"""Tools in the system turn, calls in tags, results in one user turn."""
LLAMA = (
    "{% for m in messages %}{% if m.tool_calls %}{% if m.tool_calls | length != 1 %}"
    "{{ raise_exception('only single calls') }}{% endif %}<|assistant|>"
    '{"name": "{{ m.tool_calls[0].function.name }}", "parameters": '
    "{{ m.tool_calls[0].function.arguments | tojson }}}<|end|>{% elif m.role == 'tool' %}"
    "<|user|>ipython: {{ m.content | tojson if m.content is mapping else m.content }}<|end|>"
    "{% else %}<|{{ m.role }}|>{% if m.role == 'user' and tools and loop.index0 == 1 %}"
    "{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}{{ m.content }}<|end|>{% endif %}"
    "{% endfor %}" + GO
)
"""Tools in the first user turn, one call at a time, with the key "parameters"."""
MISTRAL = (
    "{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
    "{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls is not none %}"
    "[TOOL_CALLS] [{% for c in m.tool_calls %}{% if not c.id is defined or c.id | length != 9 %}"
    "{{ raise_exception('ids have nine characters') }}{% endif %}"
    '{{ (c.function | tojson)[:-1] }}, "id": "{{ c.id }}"}'
    "{{ ', ' if not loop.last }}{% endfor %}]<|end|>{% elif m.role == 'tool' %}[TOOL_RESULTS]"
    '{"content": {{ m.content }}, "call_id": "{{ m.tool_call_id }}"}[/TOOL_RESULTS]{% else %}'
    "<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}{% endfor %}" + GO
)
"""Calls as an array, which must have ids of nine letters and digits."""
ARGUMENTS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls %}"
DEEPSEEK = ARGUMENTS + "{{ c.function.name + '\n' + c.function.arguments }}{% endfor %}<|end|>"
DEEPSEEK += "{% endfor %}" + GO
"""Adds the arguments to a text, and fails if they are no text."""
TILDE = DEEPSEEK.replace("+", "~")
"""Writes arguments that are no text as Python would."""

TOOL = {"type": "function", "function": {"name": "warm", "parameters": {"type": "object"}}}
OSLO = {"id": "call00001", "function": {"name": "warm", "arguments": '{"city": "Åre", "n": 1}'}}
RIGA = {"id": "call00002", "function": {"name": "warm", "arguments": {"city": "Riga"}}}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How warm?"},
    {"role": "assistant", "content": None, "tool_calls": [OSLO, RIGA]},
    {"role": "tool", "tool_call_id": "call00001", "content": {"celsius": 4, "at": "Åre"}},
    {"role": "tool", "tool_call_id": "call00002", "content": [{"type": "text", "text": "7"}]},
]


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_noted", set())


def read(tmp_path: Path, messages: list[dict[str, Any]], spec: str | None = None) -> Example:
    """The one row of a file of messages, whose last is the target."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": messages, "tools": [TOOL]}))
    [row] = rows(Source(str(path), None, spec, None, None))
    return row.example


ANSWER = {"role": "assistant", "content": '{"warmest": "Riga"}'}
RESULTS = ('{"celsius": 4, "at": "Åre"}', "7")


@pytest.mark.parametrize(
    ("template", "holds"),
    [
        (
            QWEN,
            [
                "<|system|>Be brief.\n" + json.dumps(TOOL),
                '<|assistant|>\n<tool_call>\n{"name": "warm", "arguments": {"city": "Åre", "n": 1}}'
                '\n</tool_call>\n<tool_call>\n{"name": "warm", "arguments": {"city": "Riga"}}\n'
                "</tool_call><|end|>",
                "<|user|>"
                + "".join(f"<tool_response>\n{each}\n</tool_response>" for each in RESULTS)
                + "<|end|><|assistant|>",
            ],
        ),
        (
            MISTRAL,
            [
                f"[AVAILABLE_TOOLS][{json.dumps(TOOL)}][/AVAILABLE_TOOLS]<|system|>Be brief.",
                '[TOOL_CALLS] [{"name": "warm", "arguments": {"city": "Åre", "n": 1}, '
                '"id": "call00001"}, {"name": "warm", "arguments": {"city": "Riga"}, '
                '"id": "call00002"}]<|end|>',
                f'[TOOL_RESULTS]{{"content": {RESULTS[0]}, "call_id": "call00001"}}[/TOOL_RESULTS]',
                '[TOOL_RESULTS]{"content": 7, "call_id": "call00002"}[/TOOL_RESULTS]',
            ],
        ),
        (DEEPSEEK, ['<|assistant|>warm\n{"city": "Åre", "n": 1}warm\n{"city": "Riga"}<|end|>']),
        (TILDE, ['<|assistant|>warm\n{"city": "Åre", "n": 1}warm\n{"city": "Riga"}<|end|>']),
    ],
)
def test_parallel_calls_and_their_results(
    template: str, holds: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arguments as text and as data, content that is null, results that are data and parts."""
    example = read(tmp_path, [*TALK, ANSWER])
    tokenizer = tiny_tokenizer(template)
    text = chat_text(tokenizer, example.prompt, example.tools)
    for each in holds:
        assert each in text
    said = capsys.readouterr().err
    as_text = "its chat template takes the arguments of calls as JSON text"
    assert (as_text in said) is (template in (DEEPSEEK, TILDE))
    assert "calls of tools" not in said
    row = encode_example(tokenizer, example, stop_token(tokenizer))
    assert tokenizer.decode(row.ids[: row.prompt_length]) == text
    assert certify(tokenizer, [example], [row], {}, backend="local")["examples"] == 1


def test_a_template_for_single_calls(tmp_path: Path) -> None:
    one = [*TALK[:2], {**TALK[2], "tool_calls": [OSLO]}, TALK[3]]
    example = read(tmp_path, [*one, ANSWER])
    text = chat_text(tiny_tokenizer(LLAMA), example.prompt, example.tools)
    assert text == (
        f"<|system|>Be brief.<|end|><|user|>{json.dumps(TOOL)}How warm?<|end|>"
        '<|assistant|>{"name": "warm", "parameters": {"city": "Åre", "n": 1}}<|end|>'
        f"<|user|>ipython: {RESULTS[0]}<|end|><|assistant|>"
    )
    several = read(tmp_path, [*TALK, ANSWER])
    with pytest.raises(ModelError, match="the chat template fails: only single calls"):
        chat_text(tiny_tokenizer(LLAMA), several.prompt, several.tools)


def test_a_turn_with_a_text_and_calls(tmp_path: Path) -> None:
    both = {**TALK[2], "content": "Let me see."}
    example = read(tmp_path, [*TALK[:2], both, *TALK[3:], ANSWER])
    text = chat_text(tiny_tokenizer(QWEN), example.prompt, example.tools)
    assert "<|assistant|>Let me see.\n<tool_call>" in text


CALLS = [{"name": "warm", "arguments": {"city": city, **more}} for city, more in
         (("Åre", {"n": 1}), ("Riga", {}))]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "one", "two"),
    [
        (None, json.dumps(CALLS[0], ensure_ascii=False), json.dumps(CALLS, ensure_ascii=False)),
        (
            "tool_call:calls=several",
            json.dumps(CALLS[:1], ensure_ascii=False),
            json.dumps(CALLS, ensure_ascii=False),
        ),
        (
            "tool_call:syntax=hermes",
            '<tool_call>\n{"name": "warm", "arguments": {"city": "Åre", "n": 1}}\n</tool_call>',
            '<tool_call>\n{"name": "warm", "arguments": {"city": "Åre", "n": 1}}\n</tool_call>\n'
            '<tool_call>\n{"name": "warm", "arguments": {"city": "Riga"}}\n</tool_call>',
        ),
        (
            "tool_call:syntax=llama",
            '{"name": "warm", "parameters": {"city": "Åre", "n": 1}}',
            '{"name": "warm", "parameters": {"city": "Åre", "n": 1}}; '
            '{"name": "warm", "parameters": {"city": "Riga"}}',
        ),
        (
            "tool_call:syntax=mistral",
            '[TOOL_CALLS] [{"name": "warm", "arguments": {"city": "Åre", "n": 1}}]',
            '[TOOL_CALLS] [{"name": "warm", "arguments": {"city": "Åre", "n": 1}}, '
            '{"name": "warm", "arguments": {"city": "Riga"}}]',
        ),
        (
            "tool_call:syntax=mistral_args",
            '[TOOL_CALLS]warm[ARGS]{"city": "Åre", "n": 1}',
            '[TOOL_CALLS]warm[ARGS]{"city": "Åre", "n": 1}[TOOL_CALLS]warm[ARGS]{"city": "Riga"}',
        ),
        ("tool_call:syntax=python", '[warm(city="Åre", n=1)]',
         '[warm(city="Åre", n=1), warm(city="Riga")]'),
    ],
)  # fmt: skip
def test_a_target_is_written_in_the_models_own_syntax(
    spec: str | None, one: str, two: str, tmp_path: Path
) -> None:
    """From a row's tool calls; it passes its judges, and is what the labels hold."""
    evaluators = [build("evaluators", each) for each in ("tool_call_strict", "tool_call_match")]
    tokenizer = tiny_tokenizer(QWEN)
    for calls, target in (([OSLO], one), ([OSLO, RIGA], two)):
        example = read(tmp_path, [*TALK[:2], {**TALK[2], "tool_calls": calls}], spec)
        assert example.format == "tool_call"
        assert example.completion == target
        several = spec == "tool_call:calls=several" or len(calls) > 1
        assert example.value == (CALLS[: len(calls)] if several else CALLS[0])
        found = judge(
            evaluators, {example.id: example}, [Completion(example_id=example.id, text=target)]
        )
        assert [each.passed for each in found] == [True, True]
        row = encode_example(tokenizer, example, stop_token(tokenizer))
        assert tokenizer.decode(row.ids[row.prompt_length : -1]) == target


def test_a_call_that_its_format_does_not_allow_is_left_to_its_judges(tmp_path: Path) -> None:
    turn = TALK[2]
    other = read(tmp_path, [*TALK[:2], turn], "tool_call:syntax=hermes,calls=one")
    assert other.completion is not None
    assert other.completion.startswith("<tool_call>\n")
    assert other.value is UNSET
    blank = {"function": {"name": "ring", "arguments": " "}}
    none = read(tmp_path, [*TALK[:2], {**turn, "tool_calls": [blank]}])
    assert none.completion == '{"name": "ring", "arguments": {}}'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"celsius": 4}, '{"celsius": 4}'),
        ([1, "Åre"], '[1, "Åre"]'),
        (["a", "b"], "a\nb"),
        (4.5, "4.5"),
        (None, ""),
    ],
)
def test_results_that_are_data_become_json(content: Any, said: str, tmp_path: Path) -> None:
    talk = [*TALK[:3], {"role": "tool", "content": content}]
    assert read(tmp_path, [*talk, ANSWER]).prompt[-1].content == said
