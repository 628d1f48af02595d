"""`--consumers`: which real readers would take each text, and whether they read it alike.

    with Consumers([JsonStrict()], {}) as consumers:
        consumers.read([Text("1", '{"a": 9007199254740993}', {"json_strict": Judgement(True)})])
    -> [{"json_strict": {"Python json": "accepted", "JavaScript JSON.parse": "otherwise", ...}}]

Only evaluators whose Format names `consumers` take part. A reader reads a text `otherwise` if its
value is not the strict one, where the text passes, or else not the one that most readers have.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import msgspec

from fmtharness.harness.contracts import Evaluator, Format
from fmtharness.harness.errors import UserError
from fmtharness.harness.formats import Consumer, for_example
from fmtharness.harness.judging import limit
from fmtharness.harness.judging.consumers import Answer, NotInstalledError, Reader
from fmtharness.harness.judging.readings import Difference, Other, difference, undumped
from fmtharness.harness.judging.workers import Judged
from fmtharness.harness.records import Example, Verdict, decode
from fmtharness.harness.report.consumers import (
    ACCEPTED,
    CRASHED,
    OTHERWISE,
    Consumed,
)
from fmtharness.harness.text import cut

Outcomes = dict[str, dict[str, str]]
"""What each reader made of a text, by evaluator and reader."""
STARTED_TOGETHER: Final = 4
_UNKNOWN: Any = object()
"""Stands for a value that a reader does not report."""


class Judgement(msgspec.Struct):
    passed: bool | None = None
    labels: tuple[str, ...] = ()


class Text(msgspec.Struct):
    """A text and what the evaluators say of it: what a row of --dump-jsonl has of it."""

    id: str
    text: str
    verdicts: dict[str, Judgement]


class _Scored(msgspec.Struct):
    id: str
    evaluator: str
    passed: bool | None


_TEXTS: Final = msgspec.json.Decoder(Text)
_SCORED: Final = msgspec.json.Decoder(_Scored)


class Consumers:
    """The readers of all formats that the evaluators judge, each started once."""

    def __init__(self, evaluators: Sequence[Evaluator], examples: Mapping[str, Example]) -> None:
        self.examples = examples
        self.judges: dict[str, Any] = {each.name: each for each in evaluators if _reads(each)}
        if not self.judges:
            raise UserError(
                "--consumers asks the readers of a format, and no evaluator here judges one that "
                "has any; name one with --evaluator, such as json_strict"
            )
        self.found = {name: Consumed() for name in self.judges}
        self.readers: dict[Consumer, Reader | None] = {}
        self.missing: dict[Consumer, str] = {}

    def __enter__(self) -> Consumers:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self.readers.values():
            if reader:
                reader.stop()

    def next_arm(self) -> dict[str, Consumed]:
        """What was found since the last call."""
        found, self.found = self.found, {name: Consumed() for name in self.judges}
        return found

    def read(self, texts: Sequence[Text]) -> list[Outcomes]:
        """What each reader makes of each text that an evaluator scored."""
        outcomes: list[Outcomes] = [{} for _ in texts]
        for name, judge in self.judges.items():
            by_readers: dict[tuple[Consumer, ...], list[tuple[int, Any]]] = {}
            for at, text in enumerate(texts):
                verdict = text.verdicts.get(name)
                if verdict is not None and verdict.passed is not None:
                    own = for_example(judge, self.examples.get(text.id))
                    by_readers.setdefault(tuple(own.consumers()), []).append((at, own))
            for consumers, places in by_readers.items():
                for at, judged in self._read(name, consumers, places, texts):
                    outcomes[at][name] = judged
        return outcomes

    def _read(
        self,
        name: str,
        consumers: Sequence[Consumer],
        places: Sequence[tuple[int, Any]],
        texts: Sequence[Text],
    ) -> Iterator[tuple[int, dict[str, str]]]:
        with ThreadPoolExecutor(STARTED_TOGETHER) as pool:
            readers = [reader for reader in pool.map(self._started, consumers) if reader]
        sums = self.found[name]
        for consumer in consumers:
            if consumer in self.missing:
                sums.missing[consumer.name] = (self.missing[consumer], consumer.install)
        if not readers:
            return
        asked = [texts[at].text for at, _ in places]

        def answers_of(reader: Reader) -> list[Answer]:
            return [reader.read(text) for text in asked]

        with ThreadPoolExecutor(len(readers)) as pool:
            columns = [*pool.map(answers_of, readers)]
        for reader in readers:
            sums.versions[reader.consumer.name] = reader.version
        for (at, own), answers in zip(places, zip(*columns, strict=True), strict=True):
            each = [*zip((reader.consumer for reader in readers), answers, strict=True)]
            yield at, _judged(sums, texts[at], texts[at].verdicts[name], own, each)

    def _started(self, consumer: Consumer) -> Reader | None:
        if consumer not in self.readers:
            try:
                self.readers[consumer] = Reader(consumer, limit.seconds())
            except NotInstalledError as missing:
                self.readers[consumer], self.missing[consumer] = None, str(missing)
        return self.readers[consumer]


def _reads(evaluator: Any) -> bool:
    """Whether it is the strict evaluator of a Format that names readers."""
    return hasattr(evaluator, "consumers") and evaluator.name.endswith("_strict")


def _judged(
    sums: Consumed,
    text: Text,
    verdict: Judgement,
    judge: Format,
    answers: Sequence[tuple[Consumer, Answer]],
) -> dict[str, str]:
    """Count one text's answers in, and return how each reader took it."""
    passed = bool(verdict.passed)
    sums.texts += 1
    sums.passed += passed
    values: dict[bytes, Any] = {}
    outcomes: dict[str, str] = {}
    for consumer, answer in answers:
        outcomes[consumer.name] = answer.state
        if answer.state == ACCEPTED and answer.dump not in values:
            values[answer.dump] = _value(answer.dump)
    differing = _differing(values, answers, judge.parse(text.text).value if passed else _UNKNOWN)
    repeated = any("duplicate" in label for label in verdict.labels)
    for consumer, answer in answers:
        name = consumer.name
        found = differing.get(answer.dump) if answer.state == ACCEPTED else None
        if found:
            kind, path, one, other = found
            kind = "duplicate key" if repeated else kind
            outcomes[name] = OTHERWISE
            sums.kinds[name][kind] += 1
            said = f"{_short(one)} is read at {cut(path, 80)}, not {_short(other)} ({kind}), by"
            sums.case(text.id, name, kind, said)
        taken = answer.state == ACCEPTED
        if taken and not passed:
            sums.takes_failed[name] += 1
            labels = ", ".join(verdict.labels)
            sums.case(text.id, name, "takes", f"fails as {labels}, and is taken by")
        elif not taken and passed:
            sums.refuses_passed[name] += 1
            sums.case(text.id, name, "refuses", f"passes, and is refused ({answer.said}) by")
        if answer.state == CRASHED:
            sums.case(text.id, name, CRASHED, f"crashes ({answer.said}):")
        sums.outcomes[name][outcomes[name]] += 1
    return outcomes


def _value(dump: bytes) -> Any:
    """A dump's value; unknown if the reader reports none, or its driver wrote something invalid."""
    try:
        return _UNKNOWN if dump == b"?" else undumped(dump)
    except ValueError:
        return _UNKNOWN


def _differing(
    values: Mapping[bytes, Any], answers: Sequence[tuple[Consumer, Answer]], strict: Any
) -> dict[bytes, Difference]:
    """How each value differs from the strict one, or from what most readers have."""
    if strict is _UNKNOWN or not all(consumer.comparable for consumer, _ in answers):
        strict = _of_most(values, [a.dump for _, a in answers if a.state == ACCEPTED])
    if strict is _UNKNOWN:
        return {}
    found = {}
    for dump, value in values.items():
        if value is not _UNKNOWN and (differs := difference(value, strict)):
            found[dump] = differs
    return found


def _of_most(values: Mapping[bytes, Any], dumps: Sequence[bytes]) -> Any:
    """The value that most readers have; in a tie, the first reader's."""
    known = [dump for dump in dumps if values[dump] is not _UNKNOWN]
    if not known:
        return _UNKNOWN
    counts: dict[bytes, int] = {}
    for dump, count in Counter(known).items():
        same = (each for each in counts if difference(values[each], values[dump]) is None)
        counts[next(same, dump)] = counts.get(next(same, dump), 0) + count
    return values[max(counts, key=lambda dump: counts[dump])]


def _short(value: Any) -> str:
    """A value on one line, without showing more of a container than its size."""
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, Other):
        return cut(value.text, 60)
    if isinstance(value, int) and value.bit_length() > 1_000:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return str(int(value))  # as other readers report the same number
    return cut(json.dumps(value) if isinstance(value, str) else str(value), 60)


def consumed(parts: Iterable[Judged], consumers: Consumers | None) -> Iterator[Judged]:
    """The same parts, whose lines for --verdicts also say how each reader took the text."""
    for part in parts:
        if consumers is not None:
            _add(part, consumers)
        yield part


def _add(part: Judged, consumers: Consumers) -> None:
    texts = [decode(_TEXTS, line) for line in part.dump]
    waiting: dict[str, deque[dict[str, str]]] = {name: deque() for name in consumers.judges}
    for each in consumers.read(texts):
        for name, outcomes in each.items():
            waiting[name].append(outcomes)
    for at, line in enumerate(part.verdicts):
        verdict = decode(_SCORED, line)
        if verdict.passed is not None and waiting.get(verdict.evaluator):
            outcomes = waiting[verdict.evaluator].popleft()
            added = b',"consumers":' + msgspec.json.encode(outcomes)
            part.verdicts[at] = line.rstrip()[:-1] + added + b"}\n"


class Asked(NamedTuple):
    """How each text was taken, and the sums."""

    outcomes: list[Outcomes]
    found: dict[str, Consumed]


def of_verdicts(
    judged: Iterable[tuple[str, Sequence[Verdict]]], evaluators: Sequence[Evaluator]
) -> Asked:
    """What readers make of texts that are not in a file, each given with its Verdicts."""
    texts = [
        Text(
            verdicts[0].id,
            text,
            {each.evaluator: Judgement(each.passed, each.labels) for each in verdicts},
        )
        for text, verdicts in judged
    ]
    with Consumers(evaluators, {}) as consumers:
        return Asked(consumers.read(texts), consumers.next_arm())
