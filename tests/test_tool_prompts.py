"""Tools, calls and their results in prompts: given to the chat template, in training and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine import templates
from fmtharness.harness.engine.encoding import encode_example, stop_token
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.parity import certify
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.templates import chat_text, set_template
from fmtharness.harness.errors import ParityError
from fmtharness.harness.records import Completion, Example, Message, ids_digest
from tests.fakes import completed_in_order
from tests.tiny import TEMPLATE, tiny_model, tiny_tokenizer

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "weather", "arguments": {"city": "Oslo"}},
}
TALK = (
    Message("system", "Use JSON."),
    Message("user", "How warm is Oslo?"),
    Message("assistant", "", tool_calls=(CALL,)),
    Message("tool", '{"celsius": 4}', tool_call_id="call00001", name="weather"),
)
EXAMPLE = Example(
    id="0",
    prompt=TALK,
    completion='{"celsius": 4}',
    format="json",
    value={"celsius": 4},
    tools=(TOOL,),
)
WRITES = (
    "{% if tools %}<|system|>{% for t in tools %}{{ t | tojson }}{% endfor %}<|end|>{% endif %}"
    "{% for m in messages %}<|{{ 'user' if m.role == 'tool' else m.role }}|>"
    "{% if m.role == 'tool' %}{{ m.name }} {{ m.tool_call_id }}: {% endif %}{{ m.content }}"
    "{% for c in m.tool_calls %}<call>{{ c.function.name }} {{ c.function.arguments | tojson }}"
    "</call>{% endfor %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
REFUSES = TEMPLATE.replace(
    "{% for m in messages %}",
    "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}"
    "{% endif %}",
)


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_noted", set())


def test_a_template_is_given_tools_calls_and_results(capsys: pytest.CaptureFixture[str]) -> None:
    text = chat_text(tiny_tokenizer(WRITES), TALK, (TOOL,))
    assert text.startswith('<|system|>{"type": "function", "function": {"name": "weather", ')
    assert text.endswith(
        "<|system|>Use JSON.<|end|><|user|>How warm is Oslo?<|end|>"
        '<|assistant|><call>weather {"city": "Oslo"}</call><|end|>'
        '<|user|>weather call00001: {"celsius": 4}<|end|><|assistant|>'
    )
    assert capsys.readouterr().err == ""
    assert "weather" not in chat_text(tiny_tokenizer(WRITES), TALK[:2], ())


def test_training_and_generation_see_the_same_tools() -> None:
    tokenizer = tiny_tokenizer(WRITES)
    row = encode_example(tokenizer, EXAMPLE, stop_token(tokenizer))
    text = tokenizer.decode(row.ids[: row.prompt_length])
    assert text == chat_text(tokenizer, TALK, (TOOL,))
    fed = {
        "0": Completion(
            example_id="0", text="", prompt_sha256=ids_digest(row.ids[: row.prompt_length])
        )
    }
    assert certify(tokenizer, [EXAMPLE], [row], fed, backend="local")["compared"] == 1
    without = encode_example(tokenizer, structs.replace(EXAMPLE, tools=()), stop_token(tokenizer))
    ids = without.ids[: without.prompt_length]
    fed = {"0": structs.replace(fed["0"], prompt_sha256=ids_digest(ids))}
    with pytest.raises(ParityError, match="it leaves the tools out"):
        certify(tokenizer, [EXAMPLE], [row], fed, backend="local")


def test_a_tool_that_the_tokenizer_has_no_token_for_is_refused() -> None:
    """Its definition stands in the template's own text."""
    tokenizer = tiny_tokenizer(WRITES, without="_", unk="<unk>")
    plain = structs.replace(EXAMPLE, id="1", prompt=TALK[:2], tools=())
    named = {"type": "function", "function": {"name": "get_weather"}}
    other = structs.replace(plain, id="2", tools=(named,))
    rows = [encode_example(tokenizer, each, stop_token(tokenizer)) for each in (plain, other)]
    with pytest.raises(ParityError, match=r"Example 2: .* it has no token for '_'"):
        certify(tokenizer, [plain, other], rows, {}, backend="local")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (TEMPLATE, ["the tools", "the calls of tools"]),
        (WRITES.replace("{% if tools %}", "{% if false %}"), ["the tools"]),
        (WRITES.replace("m.tool_calls", "[]"), ["the calls of tools"]),
        (
            WRITES.replace("in messages", "in messages if m.role != 'tool'"),
            ["the results of tools"],
        ),
        (WRITES.replace("{{ m.content }}", "{{ m.content | tojson }}"), []),
    ],
)
def test_what_a_template_leaves_out_is_said_once(
    template: str, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = tiny_tokenizer(template)
    names = ({"type": "function", "function": {"name": "forecast"}},)
    for _ in range(2):
        chat_text(tokenizer, TALK, names)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("does not write ")[2] for line in lines] == said


def test_a_conversation_with_tools_that_is_refused_has_no_answer(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    (model / "chat_template.jinja").write_text(REFUSES)
    plain = structs.replace(EXAMPLE, id="1", prompt=TALK[:2], tools=())
    with Patches() as patches:
        loaded = load_model(ModelOptions(name=str(model)), patches)
        first, second = completed_in_order(loaded, [EXAMPLE, plain], max_new_tokens=2, batch_size=2)
    assert first.finish_reason == "error"
    assert first.error is not None
    assert "the chat template fails: no tools here" in first.error
    assert second.error is None


def test_a_model_with_a_template_for_tools_uses_it_for_tools(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    for end in ("", "\n", "{# over #}\n"):
        tokenizer: Any = tiny_tokenizer()
        tokenizer.chat_template = {"default": "\n" + TEMPLATE + end, "tool_use": WRITES + end}
        expected = [
            tokenizer.apply_chat_template(
                [{"role": m.role, "content": m.content} for m in TALK[:2]],
                tools=tools,
                tokenize=False,
                add_generation_prompt=True,
            )
            for tools in (None, [TOOL])
        ]
        set_template(tokenizer, ModelOptions())
        found = [chat_text(tokenizer, TALK[:2], tools) for tools in ((), (TOOL,))]
        assert found == expected
        tokenizer.save_pretrained(tmp_path)
        saved: Any = AutoTokenizer.from_pretrained(tmp_path)
        assert [chat_text(saved, TALK[:2], tools) for tools in ((), (TOOL,))] == expected


def test_tools_are_no_argument_of_the_config() -> None:
    with pytest.raises(ValueError, match="'tools' is no variable that a template can be given"):
        ModelOptions(chat_template_kwargs={"tools": True})
