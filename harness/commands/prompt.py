"""`fmtharness prompt`: one prompt, the answer of each arm, and its Verdicts.

    [*ask(messages_of("Give a JSON object with the key city.", None), ...)]
    -> [Answer(Completion(text='{"city": "Oslo"}', arm="base", ...), 1.9, Checked("base", ...))]

Nothing is written, and the run's folder is only read.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from fmtharness.harness.commands import check as checking
from fmtharness.harness.commands.arms import (
    ADAPTER,
    BASE,
    TUNED,
    Arm,
    configs_of,
    named_once,
    of_adapters,
)
from fmtharness.harness.commands.check import Checked
from fmtharness.harness.config import OUTPUTS, QUICK
from fmtharness.harness.errors import UserError
from fmtharness.harness.formats import DEFAULT_FORMAT
from fmtharness.harness.judging import limit
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.records import Completion, Example, Message
from fmtharness.harness.report.diagnostics import diagnosis
from fmtharness.harness.requirements import loads_models
from fmtharness.harness.run.sources import completions_by
from fmtharness.harness.text import MOST_OF_A_TEXT, cut, did_you_mean, one_line

HOW = (
    'name a PROMPT, such as "Give a JSON object with the key city.", or pipe one into this command'
)


class Answer(NamedTuple):
    """What one arm wrote, in how many seconds, and the Verdicts on it."""

    completion: Completion
    seconds: float
    loaded: bool
    """Whether a model was loaded in this time."""
    checked: Checked


def text_of(argument: str | None, stdin: BinaryIO | None) -> str:
    """The argument; without one, or for `-`, standard input without its last line break.

    Raises UserError if there is none.
    """
    if argument is None and (stdin is None or stdin.isatty()):
        raise UserError(f"there is no prompt: {HOW}")
    text = argument or ""
    if argument in (None, "-"):
        text = checking.sources(["-"], (), (), stdin)[0].text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise UserError(f"the prompt is empty: {HOW}")
    return text


def messages_of(text: str, system: str | None) -> tuple[Message, ...]:
    """The chat messages: the prompt, after the system message if there is one."""
    before = (Message("system", system),) if system is not None else ()
    return (*before, Message("user", text))


def ask(
    messages: tuple[Message, ...],
    *,
    arms: str | None,
    adapters: Sequence[Path],
    out: Path | None,
    model: str | None,
    evaluators: Sequence[str],
    formats: Sequence[str],
    schema: str | None,
    max_new_tokens: int | None,
    overrides: Sequence[str],
) -> Iterator[Answer]:
    """Yield each arm's answer with its Verdicts, one arm after the other.

    Raises UserError before the first for options that do not fit, and for a model or an adapter
    that is not there.
    """
    judges = checking.evaluators(evaluators, formats, schema)
    chosen = _arms(arms, adapters, out)
    like = _adapter_of(out) if out and not adapters else None
    configs = configs_of(chosen, None, overrides, model, max_new_tokens, like=like)
    limit.limit(configs[chosen[0].name].eval.timeout_s)
    asked = formats[0].partition(":")[0] if formats else DEFAULT_FORMAT
    example = Example(id="prompt", prompt=messages, format=asked)
    for arm in chosen:
        config = configs[arm.name]
        name = TUNED if arm.adapter else BASE
        began = time.perf_counter()
        [found] = completions_by(config.backend, config.model, arm.adapter, [example], arm=name)
        seconds = time.perf_counter() - began
        completion = msgspec.structs.replace(found, arm=arm.name)
        verdicts = tuple(judge(judges, {}, [completion]))
        checked = Checked(arm.name, completion.text, verdicts)
        loads = loads_models(config.backend)
        yield Answer(completion, seconds, loads, checked)
        if loads:
            gc.collect()  # a model must be gone before the next is loaded


def _arms(names: str | None, adapters: Sequence[Path], out: Path | None) -> list[Arm]:
    """The arms that are named, and those of --adapter."""
    of_options = of_adapters(adapters)
    if names is None:
        if out is None:
            return named_once(of_options) or [Arm(BASE)]
        names = f"{BASE},{TUNED}"
    arms: list[Arm] = []
    for name in filter(None, (each.strip() for each in names.split(","))):
        if name not in (BASE, TUNED):
            near = did_you_mean(name, [BASE, TUNED])
            raise UserError(
                f"--arms {name!r} is neither base nor sft{near}; name it with --adapter"
            )
        if name == BASE:
            arms.append(Arm(BASE))
        elif len(of_options) == 1:
            arms.append(of_options.pop())
        else:
            arms.append(Arm(TUNED, _adapter_of(out)))
    if not arms:
        raise UserError("--arms names none; name base, sft or both")
    return named_once([*arms, *of_options])


def _adapter_of(out: Path | None) -> Path:
    """The adapter of the run in this folder, or in the default one.

    Raises UserError if it has none.
    """
    run = out or OUTPUTS / Path(QUICK).stem
    if not (run / ADAPTER).is_dir():
        raise UserError(
            f"{run}: it has no adapter for the arm sft; `fmtharness run` trains one, --out names "
            f"another run, and --adapter the folder of an adapter"
        )
    return run / ADAPTER


def shown(answer: Answer, *, color: bool, encoding: str) -> str:
    """The arm, its tokens, seconds and finish reason; reasoning; text; each Verdict's diagnosis."""
    completion = answer.completion
    tokens = completion.completion_tokens
    heading = [
        "" if tokens is None else f"{tokens} token{'' if tokens == 1 else 's'}",
        f"{answer.seconds:.1f} s{' with loading' if answer.loaded else ''}",
        f"finish_reason {completion.finish_reason}" if completion.finish_reason else "",
    ]
    name = one_line(completion.arm)
    parts = [f"== {name}: {', '.join(filter(None, heading))}"]
    if completion.reasoning:
        parts.append(f"reasoning, not judged:\n{cut(completion.reasoning, MOST_OF_A_TEXT)}")
        parts.append("answer:")
    parts.append(cut(completion.text, MOST_OF_A_TEXT))
    parts += [
        diagnosis(completion.text, verdict, name=name, color=color, encoding=encoding)
        for verdict in answer.checked.verdicts
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def as_json(messages: Sequence[Message], answers: Sequence[Answer]) -> dict[str, Any]:
    """The prompt, and each arm's answer with its Verdicts as `check --json` has them."""
    arms = []
    for answer, checked in zip(
        answers, checking.report_json(answer.checked for answer in answers), strict=True
    ):
        completion = answer.completion
        arms.append(
            {
                "arm": completion.arm,
                "text": completion.text,
                "reasoning": completion.reasoning,
                "unclosed": completion.unclosed,
                "finish_reason": completion.finish_reason,
                "error": completion.error,
                "prompt_tokens": completion.prompt_tokens,
                "completion_tokens": completion.completion_tokens,
                "seconds": round(answer.seconds, 3),
                "verdicts": checked["verdicts"],
            }
        )
    return {"prompt": msgspec.to_builtins(messages), "arms": arms}
