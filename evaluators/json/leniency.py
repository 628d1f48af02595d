"""Says how lenient a checker must be to let a text pass, and what named peers say of it.

    'Sure:\\n```json\\n{"a": 1}\\n```' -> failed, label needs_extraction at 14:22, counts strict 0,
        trimmed 0, fence_stripped 0, first_object 1, repaired 1, ifeval 0, promptfoo_contains_json 1

The ladder's rungs are strict, trimmed, fence_stripped, first_object and repaired. Each cuts out or
makes another text and judges it by the same strict JsonFormat. Each also accepts all that the rung
before accepts. The peers' checks are in `peers`; they are not rungs. What a lenient checker would
do with schemas is not covered.
"""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field

from fmtharness.evaluators.json import peers
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.rungs import REPAIR_LIMIT, Ladder
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

_ALL: Final = dict.fromkeys((*RUNGS, *PEERS), 1)
# Python's limit on the digits of an integer, and the depth to which pydantic reads. Within these
# limits, every text that passes the strict rung passes every peer as well.
_MOST_DIGITS: Final = 4_300
_PEERS_DEPTH: Final = 200


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

    repair_limit: int = Field(default=REPAIR_LIMIT, ge=0)
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
        ladder = Ladder(lambda tried: self.parse(tried).ok, self.root, self.repair_limit)
        rung, (start, end) = ("strict", (0, len(text))) if passed else ladder.first_rung(text)
        counts = dict.fromkeys(RUNGS, 0)
        if rung:
            counts |= dict.fromkeys(RUNGS[RUNGS.index(rung) :], 1)
        counts["ifeval"] = int(peers.ifeval(text))
        counts["promptfoo_is_json"] = int(peers.promptfoo_is_json(text))
        counts["promptfoo_contains_json"] = int(peers.promptfoo_contains_json(text))
        counts["deepeval"] = int(peers.deepeval(text, self.root))
        if not rung and ladder.too_large(text):
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
