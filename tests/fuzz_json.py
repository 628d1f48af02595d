"""A coverage-guided fuzz target for the judge, which pytest does not collect.

    make fuzz SECONDS=60      or: python -m tests.fuzz_json 60
    -> "stat::number_of_executed_units: 180000", or a traceback with the text that broke a promise

Every text is judged under one of many options and compared with the slow references; no evaluator
but `json_leniency`, whose repair is too slow to be fuzzed, is left out: none may raise, and the
time must be linear. The corpus stays in .fuzz/, so that the next run goes on
from there; what failed is there as crash-*, and runs again with `python -m tests.fuzz_json FILE`.
Only evaluators/ is instrumented: regular expressions and readers in C are seen from outside.
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Callable
from decimal import Decimal
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, Final

try:
    import atheris
except ImportError as missing:
    print(f"skipped: no fuzzer here ({missing}); atheris has no wheel for every Python and system")  # noqa: T201
    raise SystemExit(0) from missing

with atheris.instrument_imports(include=["evaluators"]):
    from fmtharness.evaluators.json.extras import Extras
    from fmtharness.evaluators.json.format import JsonFormat
    from fmtharness.evaluators.json.objects import DuplicateJsonObjects
    from tests.references import check

from fmtharness.harness.contracts import Evaluator
from fmtharness.harness.formats import match_evaluator
from fmtharness.harness.records import Completion, Example, Verdict
from tests.strategies import ALPHABET, PIECES

FOLDER: Final = Path(__file__).parent.parent / ".fuzz"
LONGEST: Final = 2_000
"""Bytes of an input, and characters that the slow references are asked about."""
STRICT: Final = JsonFormat()
JUDGES: Final = [
    JsonFormat.model_validate(
        {"root": root, "max_depth": depth, "unique_keys": unique, "unicode_scalars": scalars}
    )
    for root, depth, unique, scalars in product(
        ("object", "array", "any"), (1, 2, 64), (True, False), (True, False)
    )
]
STRICTLY: Final = 0
ANYTHING: Final = 2 * JUDGES.index(JsonFormat(root="any")) + 1
"""The bytes that choose the usual judge, and the one that takes any root."""
MATCH: Final[Evaluator] = match_evaluator(JsonFormat)()
EVALUATORS: Final = [Extras(), MATCH, DuplicateJsonObjects()]
VALUE: Final = {"a": 1, "b": [True, None, {"c": "x y", "é": -0.5}], "d": {}}
EXAMPLE: Final = Example(id="x", prompt=(), completion="", format="json", value=VALUE)
CORRUPTIONS: Final = sorted(STRICT.corruptions().items())
SCALARS: Final = (None, True, False, 0, -1.5, 10**20, "", "blue", "it's", '"', "\\", "}{", "😀")
KEYS: Final = ("a", "b", "", "id", "first name", '"', "é")


def from_characters(data: bytes) -> str:
    """UTF-8, with lone surrogates where three bytes spell one or a byte fits nothing."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")


def from_tokens(data: bytes) -> str:
    """A piece of JSON for each byte."""
    return "".join(PIECES[byte % len(PIECES)] for byte in data)


def from_value(data: bytes) -> str:
    """A rendered value, broken the way models break it, then at single characters."""
    choices = iter(data)

    def choice() -> int:
        return next(choices, 0)

    def value(depth: int) -> Any:
        kind = choice()
        if depth and kind % 4 == 1:
            return [value(depth - 1) for _ in range(choice() % 4)]
        if depth and kind % 4 == 2:
            return {KEYS[choice() % len(KEYS)]: value(depth - 1) for _ in range(choice() % 4)}
        return SCALARS[kind % len(SCALARS)]

    text = STRICT.render({"a": value(3), "b": value(2)})
    _, corrupt = CORRUPTIONS[choice() % len(CORRUPTIONS)]
    text = corrupt(text, Random(choice())) or text
    for at, kind, char in zip(choices, choices, choices, strict=False):
        place = (at * 256 + kind) % (len(text) + 1)
        text = text[:place] + ALPHABET[char % len(ALPHABET)] + text[place + kind % 2 :]
    return text


def from_repetition(data: bytes) -> str:
    """Up to three tokens, then up to seven many times, which is where the time would grow."""
    start = from_tokens(data[1 : 1 + sum(data[:1]) % 4])
    unit = from_tokens(data[4:11])
    return start + unit * (LONGEST // max(len(unit), 1))


READINGS: Final[tuple[Callable[[bytes], str], ...]] = (
    from_characters,
    from_tokens,
    from_value,
    from_repetition,
)


def read_input(data: bytes) -> tuple[str, JsonFormat]:
    """The text and the judge that an input stands for; its first two bytes choose."""
    how, which, rest = sum(data[:1]), sum(data[1:2]), data[2:]
    judge = JUDGES[which // 2 % len(JUDGES)] if which % 2 else STRICT
    return READINGS[how % len(READINGS)](rest), judge


def judge_once(text: str, judge: JsonFormat) -> float:
    """All verdicts on a text, and the seconds of processor time that they took."""
    completion = Completion(example_id="x", text=text)
    began = time.process_time()
    parsed = judge.parse(text)
    verdicts = [evaluator.evaluate(EXAMPLE, completion) for evaluator in EVALUATORS]
    took = time.process_time() - began
    if parsed.ok:
        # Decimal knows no limit on digits, and equals the int of the same digits.
        assert json.loads(text, parse_int=Decimal) == parsed.value
    for verdict in verdicts:
        well_formed(verdict, text)
    return took


def well_formed(verdict: Verdict, text: str) -> None:
    """What holds of every evaluator's Verdict."""
    assert verdict.passed is not bool(verdict.problems)
    assert verdict.labels == tuple(dict.fromkeys(problem.label for problem in verdict.problems))
    assert all(0 <= each.start <= each.end <= len(text) for each in verdict.problems)
    assert all(count >= 0 for count in verdict.counts.values())


def grows_linearly(text: str, judge: JsonFormat) -> None:
    """Four times as much text takes no ten times as long; quadratic work would take 16 times.

    One copy and two may be judged in another way than many, for a quote in the text closes what
    the copy before opened; so four are compared with 16.
    """
    took = judge_once(4 * text, judge)
    # Whatever else runs on the machine can make one look slow, not three.
    slow = (judge_once(16 * text, judge) > 10 * took + 0.1 for _ in range(3))
    assert not all(slow), "the time is not linear"


def one_input(data: bytes) -> None:
    """Judge one text; an AssertionError shows it where a promise is broken."""
    text, judge = read_input(data)
    try:
        if len(text) <= LONGEST:
            check(text, judge)
        judge_once(text, judge)
        if zlib.crc32(data) % 16 == 0:
            grows_linearly(text, judge)
    except Exception:
        print(f"{judge!r} on\n{text!r}", file=sys.stderr)  # noqa: T201
        raise


def write_seeds(folder: Path) -> None:
    """One input for each piece, each corruption, and each way to read bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    text = STRICT.render(VALUE)
    texts = [text, f"[{text}]", "x", *PIECES]
    texts += [corrupt(text, Random(0)) or "" for _, corrupt in CORRUPTIONS]
    texts += [each + "\n" for each in texts]
    seeds = [
        bytes([0, which]) + each.encode("utf-8", "surrogatepass")
        for which in (STRICTLY, ANYTHING)
        for each in texts
    ]
    seeds += [
        bytes([how, which, *range(length)])
        for how in (1, 2, 3)
        for which in (STRICTLY, ANYTHING)
        for length in (6, 60)
    ]
    for number, seed in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(seed)


def write_dictionary(path: Path) -> None:
    """The pieces of JSON, as libFuzzer wants them."""
    words = {piece.encode("utf-8", "surrogatepass") for piece in (*PIECES, *ALPHABET)}
    lines = ["".join(f"\\x{byte:02X}" for byte in word) for word in sorted(words)]
    path.write_text("".join(f'"{line}"\n' for line in lines), encoding="ascii")


def main(argument: str) -> None:
    """Fuzz for so many seconds, or run one file again; ends the process."""
    options = [argument]
    if argument.isdigit():
        write_seeds(FOLDER / "corpus")
        write_dictionary(FOLDER / "words.txt")
        options = [
            f"-max_total_time={argument}",
            f"-max_len={LONGEST}",
            f"-dict={FOLDER / 'words.txt'}",
            f"-artifact_prefix={FOLDER}/",
            "-timeout=60",
            "-entropic_scale_per_exec_time=1",
            "-verbosity=0",
            "-print_final_stats=1",
            str(FOLDER / "corpus"),
        ]
    atheris.Setup([sys.argv[0], *options], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "60")
