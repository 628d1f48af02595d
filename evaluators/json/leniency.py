"""Says how lenient a checker must be to let a text pass, and what named peers say of it.

    'Sure:\\n```json\\n{"a": 1}\\n```' -> failed, label needs_extraction at 14:22, counts strict 0,
        trimmed 0, fence_stripped 0, first_object 1, repaired 1, ifeval 0, promptfoo_contains_json 1

The ladder's rungs are strict, trimmed, fence_stripped, first_object and repaired. Each cuts out or
makes another text and judges it by the same strict JsonFormat. Each also accepts all that the rung
before accepts. The peers' checks are in `peers`; they are not rungs. What a lenient checker would
do with schemas is not covered.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

from pydantic import Field

from fmtharness.evaluators.json import peers
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.objects import find_objects
from fmtharness.evaluators.json.scanner import DONE, END, Scanner
from fmtharness.harness.contracts import Rate
from fmtharness.harness.formats import for_example
from fmtharness.harness.records import Completion, Example, Problem, Verdict

RUNGS: Final = ("strict", "trimmed", "fence_stripped", "first_object", "repaired")
PEERS: Final = ("ifeval", "promptfoo_is_json", "promptfoo_contains_json", "deepeval")
LABELS: Final = {
    "trimmed": ("needs_trimming", "passes once whitespace and a byte order mark are stripped"),
    "fence_stripped": ("needs_fence_stripping", "passes once its Markdown fence is removed"),
    "first_object": ("needs_extraction", "passes where the first complete value is cut out"),
    "repaired": ("needs_repair", "passes only after json-repair has rewritten it"),
    "": ("beyond_repair", "does not pass even after json-repair"),
}
"""The label and message for the first rung that a failing text passes, or for passing none."""

DEEPEST_REPAIR: Final = 100
"""A text whose brackets nest deeper is not handed to json-repair."""

_ALL: Final = dict.fromkeys((*RUNGS, *PEERS), 1)
# Python's limit on the digits of an integer, and the depth to which pydantic reads. Within these
# limits, every text that passes the strict rung passes every peer as well.
_MOST_DIGITS: Final = 4_300
_PEERS_DEPTH: Final = 200

_OPEN_FENCE: Final = re.compile(r"(`{3,}+|~{3,}+)[ \t]*+(?:[\w+.#-]++(?=[ \t]*+[\r\n{\[]))?+").match
_BRACKETS: Final = re.compile(r"[{\[(}\])]")

Span = tuple[int, int]


class JsonLeniency(JsonFormat):
    """Passes a completion that is strict JSON, and says which lenient checks let others pass.

    "{'a': 1}" -> failed, label needs_repair, counts {"strict": 0, ..., "repaired": 1, ...}

    The problem's span is the part that the first passing rung takes, else the whole text.
    """

    name: ClassVar[str] = "json_leniency"
    metric: ClassVar[str] = "leniency_strict_rate"
    formats: ClassVar[frozenset[str]] = frozenset({"json"})
    rates: ClassVar[tuple[Rate, ...]] = (
        *(Rate(f"leniency_{rung}_rate", rung) for rung in RUNGS),
        *(Rate(f"{peer}_rate", peer) for peer in PEERS),
    )

    repair_limit: int = Field(default=10_000, ge=0)
    """The longest text, in characters, that json-repair is tried on. It is not tried either on a
    text whose length times its opening brackets exceeds 100 times this limit, or whose brackets
    nest deeper than 100. Such a text counts as not repaired, and as 1 in `repair_skipped`."""

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        """Judge one completion; an Example is not needed, and may set options of the format."""
        judge: JsonLeniency = for_example(self, example)
        return judge._judged(completion)

    def _judged(self, completion: Completion) -> Verdict:
        text = completion.text
        passed = self.parse(text).ok
        if passed and self._peers_agree(text):
            return Verdict(
                id=completion.example_id, evaluator=self.name, passed=True, counts=dict(_ALL)
            )
        rung, (start, end) = ("strict", (0, len(text))) if passed else self._first_rung(text)
        counts = dict.fromkeys(RUNGS, 0)
        if rung:
            counts |= dict.fromkeys(RUNGS[RUNGS.index(rung) :], 1)
        counts["ifeval"] = int(peers.ifeval(text))
        counts["promptfoo_is_json"] = int(peers.promptfoo_is_json(text))
        counts["promptfoo_contains_json"] = int(peers.promptfoo_contains_json(text))
        counts["deepeval"] = int(peers.deepeval(text, self.root))
        if not rung and self._too_large(text):
            counts["repair_skipped"] = 1
        problems = () if passed else (Problem(*LABELS[rung], start, end),)
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=passed,
            labels=tuple(problem.label for problem in problems),
            problems=problems,
            counts=counts,
        )

    def _peers_agree(self, text: str) -> bool:
        return (
            len(text) <= _MOST_DIGITS
            and self.root == "object"
            and self.unicode_scalars
            and self.max_depth <= _PEERS_DEPTH
        )

    def _first_rung(self, text: str) -> tuple[str, Span]:
        """The first rung that a text that is not strict passes, and which part of it passes."""
        whole = 0, len(text)
        trimmed = _trim(text, whole)
        if trimmed != whole and self._takes(text, trimmed):
            return "trimmed", trimmed
        bare = _strip_fence(text, trimmed)
        if bare != trimmed and self._takes(text, bare):
            return "fence_stripped", bare
        found = self._first_root(text)
        if found and found not in (whole, trimmed, bare) and self._takes(text, found):
            return "first_object", found
        if not self._too_large(text) and self._repairs(text):
            return "repaired", whole
        return "", whole

    def taken(self, text: str) -> str | None:
        """What the first rung that lets the text pass takes of it or makes of it, which parses."""
        if self.parse(text).ok:
            return text
        rung, (start, end) = self._first_rung(text)
        if rung == "repaired":
            return peers.on_ample_stack(_repair, text)
        return text[start:end] if rung else None

    def _takes(self, text: str, span: Span) -> bool:
        return self.parse(text[span[0] : span[1]]).ok

    def _first_root(self, text: str) -> Span | None:
        """The span of the first complete object or array of the wanted kind."""
        if self.root == "object":
            return next(iter(find_objects(text)), None)
        bracket = re.compile(r"\[" if self.root == "array" else r"[\[{]")
        pos = 0
        while match := bracket.search(text, pos):
            scanner = Scanner(text, match.start())
            outcome = scanner.run()
            if outcome == DONE:
                return match.start(), scanner.pos
            if outcome == END:
                return None
            pos = max(scanner.pos, match.end())
        return None

    def _too_large(self, text: str) -> bool:
        if len(text) > self.repair_limit:
            return True
        opening = text.count("{") + text.count("[") + text.count("(")
        # json-repair may look from each bracket to the end, and recurses into it.
        return len(text) * opening > 100 * self.repair_limit or (
            opening > DEEPEST_REPAIR and _nesting(text) > DEEPEST_REPAIR
        )

    def _repairs(self, text: str) -> bool:
        try:
            repaired = peers.on_ample_stack(_repair, text)
        except RecursionError:
            return False
        return repaired not in ("", "{}", "[]", '""') and self.parse(repaired).ok


def _trim(text: str, span: Span) -> Span:
    """Without the whitespace that str.strip knows, and without one byte order mark."""
    piece = text[span[0] : span[1]]
    bare = piece.strip().removeprefix("\ufeff").lstrip()
    start = span[0] + piece.find(bare)
    return start, start + len(bare)


def _strip_fence(text: str, span: Span) -> Span:
    """Without the one Markdown fence around it and the language that the fence may name."""
    piece = text[span[0] : span[1]]
    fence = _OPEN_FENCE(piece)
    if not fence:
        return span
    end = len(piece.rstrip(fence[1][0]))
    if len(piece) - end < len(fence[1]) or end < fence.end():
        return span
    return _trim(text, (span[0] + fence.end(), span[0] + end))


def _nesting(text: str) -> int:
    """How deep the brackets nest, whether or not they are in a string."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(text):
        depth = depth + 1 if bracket in "{[(" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def _repair(text: str) -> str:
    """What json-repair makes of the text; "" if it fails.

    Raises RecursionError if it needs more stack.
    """
    from json_repair import repair_json

    try:
        return repair_json(text)
    except RecursionError:
        raise
    except Exception as error:  # Assertions inside it also fail on some texts.
        if isinstance(error.__cause__, RecursionError):
            raise error.__cause__ from None
        return ""
