"""Chat templates: the model's own or that of the config, and the text that they make of messages.

    set_template(tokenizer, options)    with model.chat_template, chat_template_kwargs and the date
    chat_text(tokenizer, example.prompt, example.tools)
        "<|user|>Name a city as JSON.<|assistant|>"

What the config says is written in front of the template, so that it goes wherever the template
goes, such as into the adapter's folder:

    {% set enable_thinking = enable_thinking if enable_thinking is defined else False %}
    {% macro strftime_now(format) %}{{ {'%d %b %Y': '29 Nov 2026'}[format] ... }}{% endmacro %}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.errors import ModelError
from fmtharness.harness.files import near_miss
from fmtharness.harness.progress import say
from fmtharness.harness.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHATML_END = "<|im_end|>"
CHATML = (
    "{{% for m in messages %}}<|im_start|>{{{{ m.role }}}}\n{{{{ m.content }}}}"
    "{{{{ {end} if m.role == 'assistant' else '<|im_end|>' }}}}\n{{% endfor %}}"
    "{{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
)
PLAIN = (
    "{% for m in messages %}"
    "{% if m.role == 'assistant' %}Answer:\n{{ m.content }}{{ eos_token }}"
    "{% elif m.role == 'system' %}{{ m.content }}"
    "{% else %}{{ 'Prompt' if m.role == 'user' else 'Tool' }}:\n{{ m.content }}{% endif %}"
    "{{ '\n\n' }}{% endfor %}{% if add_generation_prompt %}Answer:\n{% endif %}"
)
LAYOUTS = ("chatml", "plain")
"""What model.chat_template may name instead of a file, for base models."""
CLOCK = "strftime_now"
"""The function that transformers gives templates to write today's date."""
PINNED = re.compile(rf"{{% macro {CLOCK}\(format\) %}}.*{{% endmacro %}}\n")
"""The line in front of a template whose clock has been stopped."""
FORMAT = re.compile(r"""(['"])([^'"{}\n]*%[-#]?[A-Za-z][^'"{}\n]*)\1""")
"""A text in quotes that may be the format of a date, such as '%d %b %Y'."""
_noted: set[tuple[str, str]] = set()
"""Templates, and what has been said of them; an adapter's folder has that of its base again."""


def set_template(tokenizer: PreTrainedTokenizerBase, options: ModelOptions) -> None:
    """Give the tokenizer the template that the options ask for.

    A template that writes today's date gets that of `model.template_date`, else today's, from now
    on. Raises ModelError for a file that cannot be read, and for a template that does not work.
    """
    path = options.chat_template
    if path is None:
        template = _own(tokenizer)
    else:
        template = _laid_out(tokenizer, options) if str(path) in LAYOUTS else _read(path)
    if template is None:
        return
    where = str(path) if path else f"model {options.name!r}"
    told = options.template_date
    if told and PINNED.search(template):  # it is that of an adapter's folder
        line = _pinned(template, date.fromisoformat(told))
        template = PINNED.sub(lambda _: line, template, count=1)
    elif CLOCK in template and not PINNED.search(template):
        day = date.fromisoformat(told) if told else date.today()
        if not told:
            what = f"its chat template writes the date, which is {day} for this command"
            note(where, template, what)
        template = _pinned(template, day) + template
    for name in options.chat_template_kwargs:
        if not re.search(rf"\b{re.escape(name)}\b", template):
            note(where, template, f"its chat template does not use {name}")
    lines = [
        f"{{% set {name} = {name} if {name} is defined else {value!r} %}}\n"
        for name, value in options.chat_template_kwargs.items()
    ]
    if not template.startswith("".join(lines)):  # the template of an adapter's folder has them
        template = "".join(lines) + template
    tokenizer.chat_template = template
    if path is not None:
        _render(tokenizer, [Message("user", "?")], generation_prompt=True, where=where)


def writes_date(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template writes a date that `set_template` has pinned."""
    return PINNED.search(tokenizer.chat_template or "") is not None


def chat_text(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[dict[str, Any]] = (),
    *,
    generation_prompt: bool = True,
) -> str:
    """The messages as the template, which is given the tools, writes them.

    If the template refuses or drops the system message, it goes in front of the next user message,
    with a blank line between them; if it leaves out tools, calls or their results, a note says so.
    Raises ModelError if there is no template, or if it fails.
    """
    where = f"model {tokenizer.name_or_path!r}"
    if not tokenizer.chat_template:
        raise ModelError(
            f"{where} has no chat template, as base models have none; use an instruct model, or "
            f"choose one with --template (model.chat_template): a Jinja FILE, chatml, or plain"
        )

    written = partial(_written, tokenizer, generation_prompt=generation_prompt, where=where)
    text = written(messages, tools)
    for what, turns, given in _without_tools(messages, tools):
        with suppress(ModelError):  # a template that needs this part writes it
            if written(turns, given) == text:
                note(where, tokenizer.chat_template, f"its chat template does not write {what}")
    return text


def _written(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[dict[str, Any]],
    *,
    generation_prompt: bool,
    where: str,
) -> str:
    """The rendered messages, the system message inside the user's if it is not taken itself."""

    def render(turns: Sequence[Message]) -> str:
        return _render(tokenizer, turns, tools, generation_prompt=generation_prompt, where=where)

    folded = _folded(messages)
    if folded is None:
        return render(messages)
    try:
        text = render(messages)
    except ModelError:
        text = None
    if text is not None and _holds_system(text, messages):
        return text
    try:
        other = render(folded)
    except ModelError:
        if text is None:
            raise
        return text
    if text is not None and not _holds_system(other, messages):
        return text  # the template changes the text of messages, as by tojson
    does = "refuses" if text is None else "drops"
    what = f"its chat template {does} the system message, which goes into the user's turn"
    note(where, tokenizer.chat_template, what)
    return other


def _without_tools(
    messages: Sequence[Message], tools: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, Sequence[Message], Sequence[dict[str, Any]]]]:
    """The conversation without each part that tools have in it, and what this part is."""
    if tools:
        yield "the tools", messages, ()
    if any(turn.tool_calls for turn in messages):
        bare = [structs.replace(turn, tool_calls=()) for turn in messages]
        yield "the calls of tools", bare, tools
    if any(turn.role == "tool" for turn in messages):
        bare = [structs.replace(m, content="") if m.role == "tool" else m for m in messages]
        yield "the results of tools", bare, tools


def note(where: str, template: Any, what: str) -> None:
    """Say something about a template, once."""
    if (str(template), what) not in _noted:
        _noted.add((str(template), what))
        say(f"note: {where}: {what}")


def _own(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The tokenizer's template; of several, the default one, and that for tools if there are any.

    It is one text then, since a tokenizer in an adapter's folder has one.
    """
    template: Any = tokenizer.chat_template
    if not isinstance(template, dict):
        return None if template is None else str(template)
    try:
        default = str(tokenizer.get_chat_template())
    except ValueError:
        names = ", ".join(sorted(template))
        raise ModelError(
            f"model {tokenizer.name_or_path!r} has the chat templates {names} and no default one; "
            f"name a file with model.chat_template"
        ) from None
    if not (for_tools := template.get("tool_use")):
        return default
    # Jinja drops a line break behind a tag, and the one at a template's end.
    one, other = (str(each).removesuffix("\n") for each in (for_tools, default))
    return f"{{% if tools %}}\n{one}{{% else %}}\n{other}{{% endif %}}"


def _laid_out(tokenizer: PreTrainedTokenizerBase, options: ModelOptions) -> str:
    """The template of this name, for what the tokenizer has; a note says what was assumed.

    ChatML's turns end with <|im_end|>. A base model without this token could not end its own, so
    these end with its end-of-sequence token then.
    """
    name, end = str(options.chat_template), tokenizer.eos_token
    if name == "chatml" and CHATML_END in tokenizer.get_added_vocab():
        end = CHATML_END
    if end is None:
        raise ModelError(
            f"model {options.name!r}: its tokenizer has no end-of-sequence token, with which an "
            f"answer in the layout {name} could end; name a Jinja file that ends answers with a "
            f"token of the model"
        )
    if name == "plain":
        template, marks = PLAIN, "Prompt: and Answer:"
    else:
        quoted = repr(CHATML_END) if end == CHATML_END else "eos_token"
        template, marks = CHATML.format(end=quoted), f"<|im_start|> and {CHATML_END}"
    begun = ""
    if tokenizer.bos_token and tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]:
        template, begun = "{{ bos_token }}" + template, f", behind {tokenizer.bos_token}"
    what = f"conversations are written with {marks}{begun}, and an answer ends with {end}"
    note(f"model {options.name!r}", template, f"{what} ({name})")
    return template


def _read(path: Path) -> str:
    try:
        if (text := path.read_text(encoding="utf-8")).strip():
            return text
        why = "it is empty"
    except OSError as error:
        why = f"cannot be read ({error.strerror}){near_miss(path, Path.is_file)}"
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    raise ModelError(
        f"model.chat_template = {str(path)!r}: {why}; name a Jinja file, chatml or plain"
    ) from None


def _pinned(template: str, day: date) -> str:
    """A line of Jinja that stops the template's clock, for the formats that it writes out."""
    known = {found[2]: day.strftime(found[2]) for found in FORMAT.finditer(template)}
    other = "raise_exception('the format of its date is not written out in it')"
    text = f"{known!r}[format] if format in {known!r} else {other}"
    return f"{{% macro {CLOCK}(format) %}}{{{{ {text} }}}}{{% endmacro %}}\n"


def _render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[dict[str, Any]] = (),
    *,
    generation_prompt: bool,
    where: str,
) -> str:
    """The rendered messages; calls have their arguments as JSON text if the template needs it."""

    def render(turns: list[dict[str, Any]]) -> str:
        text: Any = tokenizer.apply_chat_template(
            turns,
            tools=[*tools] or None,
            tokenize=False,
            add_generation_prompt=generation_prompt,
        )
        return str(text)

    data = [_arguments(call) for message in messages for call in message.tool_calls]
    texts = {repr(each): json.dumps(each, ensure_ascii=False) for each in data if each}
    failure: Exception | None = None
    text = ""
    try:
        text = render([_turn(message) for message in messages])
    except Exception as error:  # a template is a program, and fails in every way
        failure = error
    if texts and (failure or any(own in text and texts[own] not in text for own in texts)):
        with suppress(Exception):
            text = render([_turn(message, arguments_as_text=True) for message in messages])
            what = "its chat template takes the arguments of calls as JSON text"
            note(where, tokenizer.chat_template, what)
            return text
    if failure:
        raise _failure(where, failure) from failure
    return text


def _turn(message: Message, *, arguments_as_text: bool = False) -> dict[str, Any]:
    """The message as templates take it, with the keys of tools where it has them."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        calls = message.tool_calls
        turn["tool_calls"] = [_with_text(call) if arguments_as_text else call for call in calls]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        turn["name"] = message.name
    return turn


def _arguments(call: dict[str, Any]) -> dict[str, Any] | None:
    """A call's arguments if they are an object."""
    function = call.get("function")
    found = function.get("arguments") if isinstance(function, dict) else None
    return found if isinstance(found, dict) else None


def _with_text(call: dict[str, Any]) -> dict[str, Any]:
    """The call with its arguments as JSON text."""
    found = _arguments(call)
    if found is None:
        return call
    written = json.dumps(found, ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": written}}


def _failure(where: str, error: Exception) -> ModelError:
    line = getattr(error, "lineno", None)
    said = (str(error).strip().splitlines() or [""])[0].rstrip(".") or type(error).__name__
    at = f" in line {line}" if line else ""
    return ModelError(
        f"{where}: the chat template fails{at}: {said}; correct it, or name another file with "
        f"model.chat_template"
    )


def _folded(messages: Sequence[Message]) -> list[Message] | None:
    """The messages with each system message inside the next user message; None if there is none."""
    waiting: list[str] = []
    turns: list[Message] = []
    for message in messages:
        if message.role == "system":
            waiting.append(message.content)
        elif message.role == "user" and waiting:
            turns.append(Message("user", "\n\n".join([*waiting, message.content])))
            waiting = []
        else:
            turns.append(message)
    return turns if turns and not waiting and len(turns) < len(messages) else None


def _holds_system(text: str, messages: Sequence[Message]) -> bool:
    return all(m.content.strip() in text for m in messages if m.role == "system")
