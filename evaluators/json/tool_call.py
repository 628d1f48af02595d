r"""Tool calls as a Format: strict JSON, bare or between the tags that a chat template writes.

    parse('{"name": "book", "arguments": {"nights": 4}}')
    -> Parsed(value={"name": "book", "arguments": {"nights": 4}})
    parse('{"name": "book", "parameters": {}}')
    -> problems missing_arguments at 0:34, unexpected_key at 17:29
    with syntax = "llama":
    parse('{"name": "book", "parameters": {}}') -> Parsed(value={"name": "book", "arguments": {}})

The value is the same in every syntax: a call, or a list of calls. Whether the arguments fit the
tool is not checked here; the evaluator json_schema can check it for bare JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from fmtharness.evaluators.json.allowed import calls_of, schema_for
from fmtharness.evaluators.json.diagnosis import Diagnosis
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.reader import UNREAD, build
from fmtharness.evaluators.json.scanner import SPACE
from fmtharness.evaluators.json.tool_call_corruptions import corruptions
from fmtharness.evaluators.json.tool_call_faults import (
    LABELS,
    Calls,
    Rules,
    faults,
    problem,
    problems,
    problems_of_parts,
)
from fmtharness.evaluators.json.tool_call_headers import is_name_before, name_before
from fmtharness.evaluators.json.tool_call_lists import (
    diagnose_list,
    failed,
    is_the_call,
    mistakes_in,
)
from fmtharness.evaluators.json.tool_call_pairs import paired
from fmtharness.evaluators.json.tool_call_python import corruptions as corruptions_of_python
from fmtharness.evaluators.json.tool_call_python import written
from fmtharness.evaluators.json.tool_call_recovered import mendable, recovered
from fmtharness.evaluators.json.tool_call_statements import in_python, runs
from fmtharness.evaluators.json.tool_call_syntax import (
    SYNTAXES,
    TAG,
    Frame,
    Piece,
    Syntax,
    blanked,
    cut_tag,
)
from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.rendering import checked, dumped
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.formats import Consumer, for_example
from fmtharness.harness.records import Example, Problem
from fmtharness.harness.surroundings import bounded, shifted

_LINE_OF_STRING: Final = r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+(?:"|\\?\Z|(?=\n))'
"""A string; if it has no end, up to the end of its line."""
_STRING_OR_TAG: Final = re.compile(rf"{_LINE_OF_STRING}|({TAG})", re.DOTALL)
_ENOUGH: Final = 1000
"""After this many problems no further piece is judged, which bounds the time."""
_TAG: Final = re.compile(TAG).finditer


class ToolCallFormat(Options):
    """Strict JSON that calls tools: an object with `name` and `arguments`, or several of them.

    parse('[{"name": "ring", "arguments": {}}]')
    -> Parsed(value=[{"name": "ring", "arguments": {}}])
    parse('<tool_call>{"name": "ring", "arguments": {}}</tool_call>')
    -> problems tag_around at 0:11 and 44:56; with syntax = "hermes" a call

    Several calls match in any order.
    """

    name: ClassVar[str] = "tool_call"
    title: ClassVar[str] = "a tool call"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"call"})
    labels: ClassVar[Mapping[str, str]] = LABELS
    evaluators: ClassVar[tuple[str, ...]] = ("duplicate_json_objects", "extras")

    syntax: Literal["json", "hermes", "llama", "mistral", "mistral_args", "python"] = "json"
    """How calls are written: `json` bare; `hermes` each in <tool_call> tags (Qwen, Hermes, SmolLM);
    `llama` with the key "parameters", several with ; between them, <|python_tag|> before them or
    not; `mistral` an array behind [TOOL_CALLS]; `mistral_args` [TOOL_CALLS]name[ARGS]{...};
    `python` a list of calls with literals for arguments, [f(a="x"), g()] (Llama 4, BFCL)."""
    calls: Calls = "any"
    """Whether the value is one call, an array of one call or more, or either. In another syntax
    than `json`, one call with `any` is that call."""
    tools: tuple[str, ...] = ()
    """The names that may be called; without any, every name may."""
    max_depth: int = Field(default=64, ge=1)
    """How many objects and arrays may be open at once."""

    def instruction(self, value: Any) -> str:
        """One sentence that asks for one call or for several, and nothing else."""
        several = isinstance(value, list)
        keys = 'the keys "name" and "arguments"'
        if self.syntax == "python":
            kind = "tool calls" if several else "one tool call"
            what = f"a Python list of {kind} with named arguments, such as [f(a=1)],"
        elif self.syntax != "json":
            what = "tool calls, each written as" if several else "one tool call, written as"
            what = f"{what} {self._syntax.asked},"
        elif several:
            what = f"one JSON array of tool calls, each an object with {keys},"
        else:
            what = f"one tool call, a JSON object with {keys},"
        return f"Answer with {what} and nothing else."

    def render(self, value: Any) -> str:
        """The call or the calls, each on one line."""
        if self.syntax == "json":
            return checked(self, dumped(value), value)
        for fault in faults(value, Rules(calls=self.calls, tools=self.tools)):
            raise ValueError(f"{self.name} does not hold the value: {fault.message}")
        if isinstance(value, list) and len(value) == 1 and self.calls == "any":
            raise ValueError(
                f"{self.name} with syntax {self.syntax} reads a list of one call as the call; give "
                'the call itself, or set calls = "several"'
            )
        calls = value if isinstance(value, list) else [value]
        if self.syntax == "python":
            return checked(self, written(calls), value)
        key = self._syntax.rules.key
        own = [{"name": call["name"], key: call["arguments"]} for call in calls]
        return checked(self, self._syntax.write(own), value)

    def parse(self, text: str) -> Parsed:
        """The call or the list of calls, or all problems."""
        diagnosis = self.diagnose(text)
        if diagnosis.problems:
            return Parsed(problems=diagnosis.problems)
        return Parsed(diagnosis.value)

    def diagnose(self, text: str) -> Diagnosis:
        """All problems, where the calls stand with their tags, and their value."""
        if self.syntax == "python":
            rules = Rules("array", calls=self.calls, tools=self.tools)
            listed = diagnose_list(text, self._json, rules)
            return listed if listed.problems else self._found(text, listed.value)
        rules = self._syntax.rules._replace(calls=self.calls, tools=self.tools)
        if self.syntax == "json":
            return self._diagnosed(text, rules)
        bare = text[:1] in ("{", "[") and rules.root != "any" and self._is_json(text)
        frame = self._syntax.frame(text)
        if self.syntax == "mistral_args" and "(" in text and "[ARGS]" not in text:
            inner = blanked(text, [match.span() for match in _TAG(text)])
            if spoken := runs(inner, self.tools):
                return in_python(text.replace("[TOOL_CALLS]", " " * 12), spoken)
        if bare and self.syntax != "llama":
            frame = Frame([], [], opened=False)
        if not frame.opened:
            return self._untagged(text)
        found = list(frame.problems)
        read: list[Any] = []
        for piece in frame.pieces:
            if len(found) > _ENOUGH:
                break
            if not (frame.cut and piece is frame.pieces[-1] and self._blank(text, piece)):
                said, value = self._piece(text, piece, rules)
                found += said
                read.append(value)
        if frame.cut and all(each.label != "truncated" for each in found):
            found.append(problem("truncated", len(text), len(text)))
        if self.calls == "one" and len(frame.pieces) > 1:
            message = "several calls stand where one is asked for"
            span = frame.pieces[1].start, frame.pieces[-1].end
            found.append(problem("wrong_count", *span, message))
        if found:
            return failed(text, found)
        calls = [call for each in read for call in (each if isinstance(each, list) else [each])]
        plain = [{"name": call["name"], "arguments": call[rules.key]} for call in calls]
        return self._found(text, plain)

    def grammar(self, example: Example | None) -> dict[str, Any] | None:
        """The schema that constrained decoding holds bare JSON to; None in another syntax."""
        if self.syntax != "json":
            return None
        return schema_for(example, "any") or calls_of(self.tools, example, self.calls)

    def consumers(self) -> Sequence[Consumer]:
        """Readers of JSON, for calls that are JSON."""
        from fmtharness.evaluators.consumers import json_readers

        return json_readers(comparable=False) if self.syntax == "json" else ()

    def corruptions(self) -> Mapping[str, Corruption]:
        """Ways to break JSON objects and calls; each is named by the label `parse` gives it."""
        if self.syntax == "python":
            return corruptions_of_python(self.calls, self.tools, self.max_depth)
        return corruptions(self.syntax, self.calls, self.tools, self.max_depth)

    def paired(self, example: Example, predicted: Any) -> tuple[Any, Any]:
        """The Example's calls and the predicted ones, by the number of the pair they are in."""
        return paired(example.value, predicted, example.tags.get("possible_answers"))

    @property
    def _syntax(self) -> Syntax:
        return SYNTAXES[self.syntax]

    @property
    def _json(self) -> JsonFormat:
        return JsonFormat(root="any", max_depth=self.max_depth)

    def _is_json(self, text: str) -> bool:
        return self._json.parse(text).ok

    def _blank(self, text: str, piece: Piece) -> bool:
        return not text[piece.start : piece.end].strip(SPACE)

    def _diagnosed(self, text: str, rules: Rules | None) -> Diagnosis:
        """The diagnosis of a text that should be the JSON of a call and nothing else.

        Without rules it should be the JSON of a call's arguments.
        """
        judge = self._json
        diagnosis = judge.diagnose(text)
        if not diagnosis.problems:
            value = build(text) if diagnosis.value is UNREAD else diagnosis.value
            found = problems(text, value, rules) if rules else ()
            return Diagnosis(bounded(found), 0, len(text), value)
        tags = [match.span(1) for match in _STRING_OR_TAG.finditer(text) if match[1]]
        without = text
        if tags and blanked(text, tags).strip():
            without = blanked(text, tags)
            diagnosis = judge.diagnose(without)
        calls = runs(without, self.tools) if rules and "(" in without else []
        if rules and calls and not is_the_call(without, diagnosis, calls, judge, rules):
            return in_python(text, calls)
        said = [*diagnosis.problems, *(problem("tag_around", *span) for span in tags)]
        start, end = diagnosis.start, diagnosis.end
        start = end - len(without[start:end].lstrip(SPACE))
        if rules:
            missing = {each.start for each in said if each.label == "missing_value"}
            meant = list(
                shifted(self._meant(text[start:end], mistakes_in(diagnosis), rules), start)
            )
            said += [each for each in meant if each.start not in missing]
            said = name_before(without, start, end, said, self.tools)
        return Diagnosis(bounded(said), start, end)

    def _meant(self, text: str, mistakes: Set[str], rules: Rules) -> Sequence[Problem]:
        """What keeps the value of a JSON text from being a call, also where the JSON is broken.

        `mistakes` are the labels of what is broken.
        """
        if not mistakes and (parsed := self._json.parse(text)).ok:
            return problems(text, parsed.value, rules)
        if not text.startswith(("{", "[")) or not mendable(mistakes):
            return ()
        meant = recovered(text, self.max_depth)
        if meant is None:
            return ()
        lenient = JsonFormat(
            root="any", max_depth=self.max_depth, unique_keys=False, unicode_scalars=False
        )
        parsed = lenient.parse(meant.text)
        if not parsed.ok:
            return ()
        # Which tool a name in broken syntax means is not sure.
        found = problems(meant.text, parsed.value, rules._replace(tools=()))
        return [meant.source(each) for each in found]

    def _found(self, text: str, calls: list[Any]) -> Diagnosis:
        one = len(calls) == 1 and self.calls != "several"
        return Diagnosis((), 0, len(text), calls[0] if one else calls)

    def _untagged(self, text: str) -> Diagnosis:
        """The diagnosis of a text without the tag that begins a call."""
        found = self._diagnosed(text, Rules(key=self._syntax.rules.key, tools=self.tools))
        said, foreign, begin = [], None, found.start
        for each in found.problems:
            if is_name_before(text, each):
                begin = min(begin, each.start)
                if self.syntax == "mistral_args":
                    continue
            tag = text[each.start : each.end]
            if each.label != "tag_around" or tag not in self._syntax.tags:
                said.append(each)
            if each.label == "tag_around" and _right_before(text, each, found.start):
                foreign = each
        if foreign and foreign in said:
            said = [each for each in said if each is not foreign and not _closes(text, each)]
        as_python = any(each.label == "python_call" for each in said)
        if found.start < found.end and not as_python:
            tag = self._syntax.tags[0]
            message = f"no {tag} stands before the call"
            start = end = begin
            if foreign and foreign not in said:
                start, end = foreign.start, foreign.end
                message = f"{text[start:end]:.60} stands where {tag} should"
            said.append(problem("missing_tag", start, end, message))
        if cut_tag(text, self._syntax.tags) and not as_python:
            said.append(problem("truncated", len(text), len(text)))
        return Diagnosis(bounded(said), found.start, found.end)

    def _piece(self, text: str, piece: Piece, rules: Rules) -> tuple[list[Problem], Any]:
        """The problems of one piece of JSON, and its call or calls."""
        inner = text[piece.start : piece.end]
        if piece.name is None and self.syntax != "mistral_args":
            found = self._diagnosed(inner, rules)
            return list(shifted(found.problems, piece.start)), found.value
        parsed = self._json.parse(inner)
        if not parsed.ok:
            return list(shifted(self._diagnosed(inner, None).problems, piece.start)), None
        at, end = piece.name or (piece.start, piece.start)
        name = text[at:end]
        # Without a name the frame has said so.
        tools = self.tools if piece.name else ()
        said_of = problems_of_parts(name or "?", at, parsed.value, piece.start, piece.end, tools)
        return said_of, {"name": name, "arguments": parsed.value}


def in_tags(example: Example | None) -> ToolCallFormat | None:
    """The Format that an Example asks for if it is tool calls in another syntax than bare JSON."""
    if example is None or example.format != ToolCallFormat.name or not example.format_options:
        return None
    asked: ToolCallFormat = for_example(ToolCallFormat(), example)
    return None if asked.syntax == "json" else asked


def _right_before(text: str, found: Problem, start: int) -> bool:
    return found.end <= start and not text[found.end : start].strip(SPACE)


def _closes(text: str, found: Problem) -> bool:
    """Whether the problem is a tag that closes another one."""
    return found.label == "tag_around" and text[found.start : found.end].startswith(("</", "[/"))
