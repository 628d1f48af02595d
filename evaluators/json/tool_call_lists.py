"""The diagnosis of tool calls in the syntax `python`: a list of calls with literals for arguments.

diagnose_list("[f(a=1), g()]", JsonFormat(root="any"), Rules("array"))
-> value [{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}]
diagnose_list("f(a=1)", JsonFormat(root="any"), Rules("array")) -> problem bad_python at 0:6
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fmtharness.evaluators.json.diagnosis import Diagnosis
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.reader import UNREAD, build
from fmtharness.evaluators.json.scanner import SPACE
from fmtharness.evaluators.json.tool_call_faults import Rules, faults, problem, problems
from fmtharness.evaluators.json.tool_call_python import TAGS, translated
from fmtharness.evaluators.json.tool_call_statements import Run, around, has_list, runs
from fmtharness.evaluators.json.tool_call_syntax import TAG, blanked, cut_tag
from fmtharness.evaluators.possessive import re
from fmtharness.harness.records import Problem
from fmtharness.harness.surroundings import bounded, shifted

_TAG: Final = re.compile(TAG).finditer

_IN_JSON: Final = re.compile(r"""[\[\s]*+[{"']""").match
_NO_LIST: Final = "the calls do not stand in the [ and ] of a list"
_AROUND_CALLS: Final = frozenset(
    ["empty", "byte_order_mark", "text_before", "text_after", "code_fence", "truncated"]
)
_OF_ARGUMENTS: Final = frozenset(
    [
        "not_literal",
        "positional_argument",
        "duplicate_key",
        "bad_escape",
        "raw_control_character",
        "nan_or_infinity",
        "leading_zero",
        "bad_number",
        "unknown_tool",
        "too_deep",
    ]
)


def diagnose_list(text: str, judge: JsonFormat, rules: Rules) -> Diagnosis:
    """The diagnosis of a list of calls as Python writes them; its value is the list of calls."""
    start, end = 0, len(text)
    bare = text.strip(SPACE)
    if bare.startswith(TAGS[0]) and bare.endswith(TAGS[1]):
        start, end = text.index(TAGS[0]) + len(TAGS[0]), text.rindex(TAGS[1])
    inner = text[start:end]
    found = translated(inner, judge.max_depth)
    judged = _diagnosed_json(found.text, judge, rules)
    said = [*found.problems, *map(found.source, judged.problems)]
    if not said:
        return Diagnosis((), 0, len(text), judged.value)
    if any(each.label == "bad_python" for each in said):
        said = [each for each in said if each.label != "unknown_tool"]
    tags = [match.span() for match in _TAG(inner)]
    without = blanked(inner, tags)
    calls = runs(without, rules.tools)
    if calls and not calls[0].listed and "{" in without[: calls[0].start]:
        as_json = judge.diagnose(without)
        if as_json.start < calls[0].start and _holds_call(without, as_json, judge, Rules()):
            calls = []
    if calls and not calls[0].listed:
        said = around(inner, calls)
        said.append(problem("bad_python", calls[0].start, calls[-1].end, _NO_LIST))
        said += _in_list(inner, calls, judge, rules)
    elif len(calls) == 1 and any(each.label == "multiple_roots" for each in said):
        said = [each for each in said if each.label != "text_after" or each.end > calls[0].end]
    elif not calls and not has_list(without) and not cut_tag(inner, ("[",)):
        said = _not_in_python(inner, without, judge)
        said += [problem("tag_around", *span) for span in tags]
    return failed(text, list(shifted(said, start)))


def is_the_call(
    text: str, found: Diagnosis, calls: Sequence[Run], judge: JsonFormat, rules: Rules
) -> bool:
    """Whether the JSON of a text, not the calls in it as Python has them, is the answer."""
    if found.start == found.end or found.start > calls[-1].end:
        return _holds_call(text, found, judge, rules)
    if found.end <= calls[0].start and text[: found.start].rstrip(SPACE).endswith("="):
        return False
    return found.start < calls[0].start


def mistakes_in(found: Diagnosis) -> set[str]:
    """The labels of what is wrong inside of the JSON of a text."""
    return {
        each.label
        for each in found.problems
        if found.start <= each.start < found.end + (each.label == "truncated")
    }


def _holds_call(text: str, found: Diagnosis, judge: JsonFormat, rules: Rules) -> bool:
    if mistakes_in(found):
        return False
    parsed = judge.parse(text[found.start : found.end])
    return parsed.ok and not any(faults(parsed.value, rules))


def _not_in_python(text: str, without: str, judge: JsonFormat) -> list[Problem]:
    """The problems of a text without a list of calls: it may have them as JSON."""
    found = judge.diagnose(without)
    inner = without[found.start : found.end].strip(SPACE)
    said = [each for each in found.problems if each.label in _AROUND_CALLS]
    if inner.startswith(("{", "[")):
        start = without.index(inner[0], found.start)
        message = "the calls are written as JSON, not as Python"
        if not _IN_JSON(inner):
            message = "an element of the list is no call"
        said.append(problem("bad_python", start, start + len(inner), message))
    elif without.strip():
        message = "there is text, but no list of calls in it"
        said.append(problem("no_json", 0, len(text), message))
    elif "empty" not in [each.label for each in said]:
        said.append(problem("empty", 0, len(text)))
    return said


def _in_list(text: str, calls: Sequence[Run], judge: JsonFormat, rules: Rules) -> Iterator[Problem]:
    """What is wrong inside of calls that stand in no list."""
    for run in calls:
        if "print(" in text[run.start : run.end]:
            continue
        found = translated(f"[{text[run.start : run.end]}]", judge.max_depth)
        judged = _diagnosed_json(found.text, judge, rules)
        for each in (*found.problems, *map(found.source, judged.problems)):
            if each.label in _OF_ARGUMENTS:
                yield from shifted([each], run.start - 1)


def _diagnosed_json(text: str, judge: JsonFormat, rules: Rules) -> Diagnosis:
    """The diagnosis of the JSON that calls of Python were turned into."""
    diagnosis = judge.diagnose(text)
    if not diagnosis.problems:
        value = build(text) if diagnosis.value is UNREAD else diagnosis.value
        return Diagnosis(bounded(problems(text, value, rules)), 0, 0, value)
    inner = text[diagnosis.start : diagnosis.end]
    said = list(diagnosis.problems)
    if not mistakes_in(diagnosis) and (parsed := judge.parse(inner)).ok:
        said += shifted(problems(inner, parsed.value, rules), diagnosis.start)
    return Diagnosis(tuple(said))


def failed(text: str, found: list[Problem]) -> Diagnosis:
    """A diagnosis whose span is the text without what stands before and after the calls."""
    start = max((each.end for each in found if each.label == "text_before"), default=0)
    end = min((each.start for each in found if each.label == "text_after"), default=len(text))
    return Diagnosis(bounded(found), min(start, end), end, UNREAD)
