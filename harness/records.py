"""The records that pass from stage to stage, one JSON object per line.

    {"id": "train-0", "prompt": [{"role": "user", "content": "..."}], "completion": "{\"a\": 1}",
     "format": "json", "value": {"a": 1}, "tags": {"family": "extract"}}

Reading is strict: a row with another shape raises a `DataError` that names the file and the line.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from fmtharness.harness.errors import DataError
from fmtharness.harness.files import atomic_file, near_miss

type_record = TypeVar("type_record")
NO_FORMAT = "none"
"""The format of an Example that asks for none; an evaluator judges answers only if it says so."""
KEEPS = "keeps"
"""The tag of an Example at which a trainer keeps what the base predicts."""
OPEN = "open"
"""The tag of an Example whose target is one of many right answers, and so no value."""
UNREAD = "target that its format can read"
FinishReason = Literal["stop", "length", "error"]


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One chat turn."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[dict[str, Any], ...] = ()
    """The calls of an assistant turn, as chat templates take them: `{"type": "function",
    "function": {"name": ..., "arguments": {...}}}`, with `id` where there is one."""
    tool_call_id: str | None = None
    """Which call a tool turn answers."""
    name: str | None = None
    """The tool that a tool turn is from."""


class Example(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing to ask of a model, with the answer it should give."""

    id: str
    prompt: tuple[Message, ...]
    completion: str | None = None
    """The target text, exactly as the model should write it; the stop token is not part of it.
    None if only the prompt is known."""
    rejected: str | None = None
    """A worse answer to the same prompt; `completion` is then the chosen one."""
    format: str
    value: Any = msgspec.UNSET
    """What `completion` means as data; a Format's `parse(completion)` gives it back. UNSET if there
    is no completion, or if its format does not parse it."""
    tools: tuple[dict[str, Any], ...] = ()
    """The tools that the chat template is given, each `{"type": "function", "function": {...}}`."""
    format_options: dict[str, Any] = {}
    """Options of the Format for this Example only, such as the pattern of a regex."""
    sample: int = 0
    """Which of several completions of its prompt a backend is asked for, from 0."""
    draw: int = 0
    """The same, counted over all Examples with this prompt, so that no two share a random answer.
    `sampled` sets it."""
    tags: dict[str, Any] = {}
    """family, shape, schema, strictness, hard_negatives and bad_outputs (lists of kinds)."""

    @property
    def target(self) -> str:
        """The completion. Raises DataError for an Example without one."""
        if self.completion is None:
            raise DataError(f"Example {self.id}: it has no completion, only a prompt")
        return self.completion


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What a model wrote for one Example; `example_id` and `sample` identify it."""

    example_id: str
    sample: int = 0
    """Which of several completions of the Example's prompt it is, from 0."""
    text: str
    """The decoded tokens without the stop token, and without what stands in `reasoning`."""
    reasoning: str | None = None
    """What stood in think tags in front of the text, if the model's chat template has such tags."""
    unclosed: bool = False
    """Whether the text ends inside think tags that nothing closes: it holds no answer."""
    finish_reason: FinishReason | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_sha256: str | None = None
    """`ids_digest` of the token ids that the backend fed to the model as the prompt."""
    interventions: int | None = None
    """Steps at which a grammar forbade the model's own choice; None without a grammar."""
    arm: str = "replay"
    error: str | None = None
    """Why there is no answer, if finish_reason is `error`; the Completion is then unscored."""
    seconds: float | None = None
    """From a server's request to the last byte of its answer; None where it is not measured."""
    first_token_seconds: float | None = None
    """From the request to the first token, if the answer was streamed."""
    cost: float | None = None
    """What the answer costs, in the currency of the backend's prices."""
    cached: bool = False
    """Whether it is the answer to an earlier request; `seconds` and `cost` are those of that."""


class BrokenRow(msgspec.Struct, frozen=True):
    """A line of a file that is not a Completion, and why; it counts as unscored."""

    line: int
    reason: str


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a text; `start` and `end` count its characters, end exclusive."""

    label: str
    message: str
    start: int
    end: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """An evaluator's judgement of one Completion."""

    id: str
    evaluator: str
    passed: bool | None
    """None if the evaluator could not score it; the one problem then says why."""
    labels: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    counts: dict[str, int] = {}


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A rate over Verdicts with its Wilson 95% interval; all None if nothing was scored."""

    name: str
    value: float | None
    numerator: int
    denominator: int
    low: float | None
    high: float | None


def ids_digest(ids: Iterable[int]) -> str:
    """The SHA-256 of token ids, written as decimal numbers with commas between them."""
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()


def read_records(path: Path, kind: type[type_record]) -> Iterator[type_record]:
    """Yield the rows of a JSONL file; blank lines are skipped.

    Raises DataError for a missing file, and for the first broken row, with its line number.
    """
    decoder = msgspec.json.Decoder(kind)
    for number, line in numbered_lines(path):
        try:
            yield decode(decoder, line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: no {kind.__name__}: {error}") from error


def decode(decoder: msgspec.json.Decoder[type_record], line: bytes) -> type_record:
    """One line as a record; a ValueError says what is wrong with it.

    If the fast reader gives up, the standard library decides: it accepts the lone surrogates that
    its own `json.dumps` writes, and says at which column the JSON breaks.
    """
    try:
        return decoder.decode(line)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_slowly(decoder, line)
    except RecursionError:
        # A new thread starts with an empty stack, so the limit does not depend on the caller.
        with ThreadPoolExecutor(1) as fresh:
            return fresh.submit(_decode_slowly, decoder, line).result()


def _decode_slowly(decoder: msgspec.json.Decoder[type_record], line: bytes) -> type_record:
    try:
        return msgspec.convert(json.loads(line.rstrip().decode()), decoder.type)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error


def wanted(example: Example) -> str:
    """What an Example without a value lacks, in a few words."""
    if example.completion is None:
        return "target"
    return "single right answer" if example.tags.get(OPEN) else UNREAD


def encode(value: Any) -> bytes:
    """A record as one line of JSON; lone surrogates, which UTF-8 cannot hold, are escaped."""
    try:
        return msgspec.json.encode(value) + b"\n"
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode() + b"\n"


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line) for every line that is not blank."""
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.strip():
                    yield number, line
    except OSError as error:
        near = near_miss(path, Path.is_file)
        raise DataError(
            f"{path}: cannot be read ({error.strerror}){near}; check the path"
        ) from error


def write_records(path: Path, records: Iterable[msgspec.Struct]) -> int:
    """Write one JSON object per line and return how many; the file appears whole or not at all."""
    count = 0
    with atomic_file(path) as temporary, temporary.open("wb") as out:
        for record in records:
            out.write(encode(record))
            count += 1
    return count
