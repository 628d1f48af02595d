"""The forms that rows come in: how each is recognised, and what it holds.

recognise({"prompt": "Oslo?", "completion": "{}"})               "prompt-completion"
FORMS["prompt-completion"].read({"prompt": "Oslo?", "completion": "{}"})
    Parts(prompt=(Message("user", "Oslo?"),), answer=Message("assistant", "{}"))

A row that cannot be read raises ValueError with half a sentence; the reader adds the place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from fmtharness.harness.dataset.messages import (
    ASKS,
    asked_for,
    is_message,
    message,
    messages,
    text_of,
    tools_of,
)
from fmtharness.harness.records import Message
from fmtharness.harness.schemas import Schema

Row = dict[str, Any]


class Data(NamedTuple):
    """A target that is given as data, which its Format writes as text."""

    value: Any


@dataclass(slots=True)
class Parts:
    """What a row holds, whatever its form."""

    prompt: tuple[Message, ...]
    answer: Message | Data | None = None
    """The target as an assistant's turn, or as data."""
    rejected: Message | Data | None = None
    tools: tuple[dict[str, Any], ...] = ()
    free: bool = False
    """Whether the row says that it asks for no format."""
    schema: Schema | None = None
    tags: dict[str, Any] = field(default_factory=dict)


class Form(NamedTuple):
    """One form."""

    name: str
    title: str
    """What practitioners call it."""
    needs: tuple[str, ...]
    """The keys that each row has; a null stands for what is not known."""
    read: Callable[[Row], Parts]


def recognise(row: Row) -> str | None:
    """The name of the form whose keys the row has; None if there is none."""
    return _by_keys(tuple(row), isinstance(row.get("prompt"), list))


@lru_cache(4096)
def _by_keys(keys: tuple[str, ...], chat: bool) -> str | None:
    held = set(keys)
    if chat and {"id", "prompt", "format"} <= held:
        return "example"
    for form in FORMS.values():
        fits = set(form.needs) <= held
        if form.name == "example" or not fits:
            continue
        if form.name == "chat-request" and not REQUEST & held:
            continue
        if form.name == "lm-eval" and not {"target", "resps", "filtered_resps"} & held:
            continue
        return form.name
    return None


def fits(form: str, row: Row) -> bool:
    """Whether a row is of a form that was recognised in another row of the same file."""
    found = recognise(row)
    chats = ("messages", "chat-request")
    return found == form or (found in chats and form in chats)


REQUEST: Final = frozenset(
    {
        "model",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "response_format",
        "tool_choice",
        "seed",
        "stop",
        "n",
        "stream",
        "guided_json",
        "structured_outputs",
    }
)
"""Keys of a request for a chat completion."""


def _prompt(value: Any, row: Row, what: str = "prompt") -> tuple[Message, ...]:
    """A text as the user's turn, or a list of messages; with the row's `system` before it."""
    if isinstance(value, str):
        prompt: tuple[Message, ...] = (Message("user", value),)
    elif isinstance(value, list):
        prompt = messages(value, what)
    else:
        raise ValueError(f"{what} must be a text or a list of messages, not {value!r:.80}")
    return _with_system(prompt, row)


def _with_system(turns: tuple[Message, ...], row: Row) -> tuple[Message, ...]:
    """The turns after the row's system prompt, if it has one beside them."""
    given = row.get("system") or row.get("system_prompt")
    if not given:
        return turns
    system = text_of(given)
    if turns[0].role != "system":
        return (Message("system", system), *turns)
    if turns[0].content.strip() != system.strip():
        raise ValueError("it has two system prompts, one of them among the messages; keep one")
    return turns


def _asked(row: Row, parts: Parts) -> Parts:
    """The parts with the row's tools, schema and tags."""
    if not row.keys().isdisjoint(_EXTRAS):
        parts.tools = tools_of(row)
        parts.free, parts.schema = asked_for(row)
        tags = row.get("tags")
        if isinstance(tags, dict):
            parts.tags = {str(key): value for key, value in tags.items() if value is not None}
    return parts


_EXTRAS: Final = frozenset({"tools", "functions", "tags", *ASKS})


def _answer(value: Any, what: str) -> tuple[tuple[Message, ...], Message | Data | None]:
    """A target, and the turns that stand before it if it is a list of messages."""
    if value is None:
        return (), None
    if isinstance(value, str):
        return (), Message("assistant", value)
    if isinstance(value, dict):
        if not is_message(value):
            return (), Data(value)
        value = [value]
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a text or a list of messages, not {value!r:.80}")
    if value and not any(map(is_message, value)):
        return (), Data(value)
    *before, last = messages(value, what)
    if last.role != "assistant":
        raise ValueError(f"{what} must end with a turn of the assistant, not of {last.role!r}")
    return tuple(before), last


def _chat(turns: tuple[Message, ...], row: Row) -> Parts:
    """A conversation: its last turn, if it is the assistant's, is the target."""
    last = turns[-1]
    if last.role != "assistant":
        return _asked(row, Parts(_prompt_of(turns, row)))
    return _asked(row, Parts(_prompt_of(turns[:-1], row), last))


def _prompt_of(turns: tuple[Message, ...], row: Row) -> tuple[Message, ...]:
    if not turns:
        raise ValueError("there is no turn before the answer")
    return _with_system(turns, row)


def _prompt_completion(row: Row) -> Parts:
    before, answer = _answer(row.get("completion"), "completion")
    prompt = (*_prompt(row["prompt"], row), *before)
    if row.get("label") is False:  # a row of TRL's KTO, whose completion is a bad one
        return _asked(row, Parts(prompt, None, answer))
    _, rejected = _answer(row.get("rejected"), "rejected")
    return _asked(row, Parts(prompt, answer, rejected))


def _preference(row: Row) -> Parts:
    before, answer = _answer(row.get("chosen"), "chosen")
    other, rejected = _answer(row.get("rejected"), "rejected")
    if other and before and other != before:
        raise ValueError("chosen and rejected may differ in their last turn only")
    turns: tuple[Message, ...] = ()
    if row.get("prompt") is not None:
        turns = _prompt(row["prompt"], row)
    elif "conversations" in row:
        turns = _with_system(messages(row["conversations"], "conversations"), row)
    elif "instruction" in row:
        turns = _alpaca({**row, "output": None}).prompt
    if turns:
        if before[: len(turns)] == turns:  # both conversations repeat the prompt
            before = before[len(turns) :]
        return _asked(row, Parts((*turns, *before), answer, rejected))
    if not before:
        raise ValueError(
            "without a prompt, chosen and rejected must be conversations that begin with it"
        )
    return _asked(row, Parts(_prompt_of(before, row), answer, rejected))


def _openai_preference(row: Row) -> Parts:
    parts = _request(row["input"])
    _, parts.answer = _answer(row["preferred_output"], "preferred_output")
    _, parts.rejected = _answer(row.get("non_preferred_output"), "non_preferred_output")
    return parts


def _messages(row: Row) -> Parts:
    turns, given = messages(row["messages"]), row["messages"]
    if isinstance(given, list) and given[-1].get("weight") == 0 and turns[-1].role == "assistant":
        learnt = [
            at
            for at, each in enumerate(given)
            if turns[at].role == "assistant" and each.get("weight") != 0
        ]
        if not learnt:  # no turn is a target
            return _asked(row, Parts(_prompt_of(turns[:-1], row)))
        turns = turns[: learnt[-1] + 1]
    return _chat(turns, row)


def _sharegpt(row: Row) -> Parts:
    return _chat(messages(row["conversations"], "conversations"), row)


def _alpaca(row: Row) -> Parts:
    instruction = text_of(row["instruction"])
    given = text_of(row.get("input"))
    prompt = [Message("user", f"{instruction}\n\n{given}" if given.strip() else instruction)]
    for turn in reversed(row.get("history") or ()):
        if not isinstance(turn, list) or len(turn) != 2:
            raise ValueError(f"history must hold pairs of instruction and answer, not {turn!r:.80}")
        prompt[:0] = [Message("user", text_of(turn[0])), Message("assistant", text_of(turn[1]))]
    _, answer = _answer(row.get("output"), "output")
    return _asked(row, Parts(_prompt_of(tuple(prompt), row), answer))


def _batch(row: Row) -> Parts:
    body = row["body"]
    if isinstance(body, str):
        body = json.loads(body)
    if not isinstance(body, dict):
        raise ValueError("body must be an object")
    return _request(body)


def _request(body: Row) -> Parts:
    """The body of a request for a chat completion, a response or a completion."""
    if "messages" in body:
        return _messages(body)
    if "input" in body:
        body = {"system": body.get("instructions"), **body}
        return _asked(body, Parts(_prompt(body["input"], body, "input")))
    if "prompt" in body:
        return _asked(body, Parts(_prompt(body["prompt"], body)))
    raise ValueError(f"a request must have messages, not only {', '.join(body) or 'nothing'}")


def _bare_prompt(row: Row) -> Parts:
    return _asked(row, Parts(_prompt(row["prompt"], row)))


def _text(row: Row) -> Parts:
    return _asked(row, Parts(_prompt(row["text"], row, "text")))


def _promptfoo(row: Row) -> Parts:
    """A test: the prompt is its template with the vars filled in, or the var `prompt`."""
    given = row["vars"]
    if not isinstance(given, dict):
        raise ValueError(f"vars must be an object, not {given!r:.80}")
    template = row.get("template")
    text = given.get("prompt") if template is None else _filled(template, given)
    if isinstance(text, str) and text.lstrip().startswith(("[{", "[\n")):
        with suppress(ValueError):
            text = json.loads(text)
    if text is None:
        raise ValueError(
            "promptfoo's tests hold the prompt as vars.prompt, or stand in a file with prompts: "
            f"there are the vars {', '.join(given) or 'none'}"
        )
    parts = _asked(row, Parts(_prompt(text, row, "vars.prompt")))
    options = row.get("options")
    if isinstance(options, dict) and parts.schema is None:
        parts.free, parts.schema = asked_for(options)
    for check in row.get("assert") or ():
        kind, value = (check.get(key) for key in ("type", "value")) if check else (None, None)
        if kind == "equals" and value is not None:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            parts.answer = Message("assistant", text)
        elif kind == "is-json":
            parts.free, parts.schema = asked_for({"schema": value or {"type": "object"}})
    return parts


def _filled(template: Any, given: Mapping[str, Any]) -> str:
    if not isinstance(template, str) or template.startswith("file://"):
        raise ValueError(f"the prompt {template!r:.80} stands elsewhere; write it into this file")
    if "{%" in template or "{#" in template:
        raise ValueError(
            "the prompt's template holds more than {{names}}; only these are filled in"
        )

    def value(found: re.Match[str]) -> str:
        name = found[1].strip()
        if name not in given:
            raise ValueError(f"the prompt's template has {found[0]}, which is no var of the test")
        held = given[name]
        if isinstance(held, list):
            raise ValueError(f"the var {name!r} is a list; write one test for each of its values")
        return held if isinstance(held, str) else json.dumps(held, ensure_ascii=False)

    return re.sub(r"\{\{(.*?)\}\}", value, template)


def _lm_eval(row: Row) -> Parts:
    """A row of --log_samples: what the model was asked, and the target."""
    asked = row["arguments"]
    if isinstance(asked, dict):
        asked = asked.get("gen_args_0", next(iter(asked.values()), None))
    elif isinstance(asked, list) and asked:
        asked = asked[0]
    if isinstance(asked, dict):
        asked = asked.get("arg_0")
    elif isinstance(asked, list) and asked:
        asked = asked[0]
    if isinstance(asked, list) and len(asked) == 1 and isinstance(asked[0], str):
        asked = asked[0]
    if isinstance(asked, str) and asked.startswith("[{") and '"role"' in asked:
        asked = json.loads(asked)
    target = row.get("target")
    answer = Message("assistant", target) if isinstance(target, str) else None
    return _asked(row, Parts(_prompt(asked, row, "arguments"), answer))


def _example(row: Row) -> Parts:
    return Parts(tuple(message(each) for each in row["prompt"]))


_ALL: Final = (
    Form("example", "Examples of fmtharness", ("id", "prompt", "format"), _example),
    Form("openai-batch", "OpenAI batch requests", ("body",), _batch),
    Form("lm-eval", "samples of lm-evaluation-harness", ("doc", "arguments"), _lm_eval),
    Form("promptfoo", "promptfoo tests", ("vars",), _promptfoo),
    Form(
        "openai-preference",
        "OpenAI preference rows",
        ("input", "preferred_output"),
        _openai_preference,
    ),
    Form("preference", "TRL preference rows", ("chosen", "rejected"), _preference),
    Form(
        "prompt-completion", "TRL prompt/completion", ("prompt", "completion"), _prompt_completion
    ),
    Form("chat-request", "chat-completions requests", ("messages",), _messages),
    Form("messages", "chat messages", ("messages",), _messages),
    Form("sharegpt", "ShareGPT conversations", ("conversations",), _sharegpt),
    Form("alpaca", "alpaca instructions", ("instruction", "output"), _alpaca),
    Form("prompt", "prompts without answers", ("prompt",), _bare_prompt),
    Form("text", "texts, each a prompt", ("text",), _text),
)
FORMS: Final[Mapping[str, Form]] = {form.name: form for form in _ALL}
"""All forms by name; of those that a row fits, the first is its form."""
