"""The generator `self_answers`: what the model answers freely, as rows of its own.

    "Tell me one fact about hail."
        ->  "Hail falls from clouds."                                           a retention row
    "Tell me one fact about hail. Reply with JSON and nothing else."
        ->  '{"topic": "hail", "text": "Hail falls from clouds."}'              an open row

Trained on the first, a model keeps its answers to prompts that ask for no format; the second show
it a format around content of its own. Example i depends on the seed, the split and i alone: where
an answer cannot be used, the next prompt of the same i is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from msgspec.structs import replace
from pydantic import Field, PrivateAttr, field_validator, model_validator

from fmtharness.generators.answer_objects import learnable, put, repeats, request, whole_part
from fmtharness.generators.context import Abilities, Context, abilities
from fmtharness.generators.dice import Dice
from fmtharness.generators.looping import with_loop
from fmtharness.generators.ordinary import KINDS, WRITABLE, Prompt, ordinary
from fmtharness.generators.own_prompts import OwnPrompts
from fmtharness.generators.tasks import LEVELS
from fmtharness.harness.contracts import Evaluator, Format, Options, Split
from fmtharness.harness.errors import DataError, PluginError, UserError
from fmtharness.harness.formats import DEFAULT_FORMAT, for_value, options_of
from fmtharness.harness.options import build, parse_spec
from fmtharness.harness.records import KEEPS, NO_FORMAT, OPEN, Completion, Example, Message

Weight = Annotated[float, Field(ge=0)]
Complete = Callable[[Sequence[Example], int], Iterator[Completion]]
"""Examples and the most new tokens of each, to Completions in the Examples' order."""
JUDGE = "loops"
"""The evaluator that fails an answer of degenerate repetition."""
MOST_ATTEMPTS = 40
"""How many prompts in a row may have no answer that can be used."""
NARROW, WIDE = 64, 256
"""How many prompts are asked at once, at first and later."""
PLAIN = 4
"""How many more prompts a plain text consists of."""
LEAST_CUT = 40
"""How many characters of an answer that was cut off must be whole sentences."""
USER = "user's own"


DROP, SHORTEN, KEEP = "drop", "shorten", "keep"
"""What is done with an answer that was cut off."""


class _Target(NamedTuple):
    """A Format, and what it holds."""

    format: Format
    abilities: Abilities


class _Asked(NamedTuple):
    """A prompt that was drawn for an Example, and what is to be made of its answer."""

    kind: str
    """`open`, `retention` or `plain`."""
    prompt: Prompt
    dice: Dice
    text: str = ""
    """The text of an Example that needs no answer."""


def _cut(asked: _Asked) -> str:
    """What to do with a cut-off answer: shorten content, drop an earlier turn, keep any other."""
    if asked.kind == "open":
        return SHORTEN
    return DROP if asked.prompt.follow_up else KEEP


def _given_up(errors: Sequence[str]) -> DataError:
    """Says why many prompts in a row have no answer that can be used; some have an error."""
    where, count = "[data] generator 'self_answers':", len(errors)
    if count == MOST_ATTEMPTS:
        return DataError(
            f"{where} {count} prompts in a row got no answer, the last one since {errors[-1]}; "
            "ask others, or leave the generator out for this model"
        )
    more = f" ({count} of them got none: {errors[-1]})" if errors else ""
    return DataError(
        f"{where} the model's answers to {MOST_ATTEMPTS} prompts in a row{more} are cut off or "
        "repeat themselves; raise max_new_tokens, or leave the generator out for this model"
    )


def _blank(split: Split, i: int) -> Example:
    """An Example at which the base's predictions are kept, without its text."""
    return Example(id=f"{split}-{i}", prompt=(), format=NO_FORMAT, tags={KEEPS: True})


class SelfAnswers(Options):
    """The model's own free answers: as they are, and put into objects of a format.

    The run's model answers without an adapter, by the backend of [eval]. Answers that loop are
    dropped. They are kept in the cache, where later runs find them.
    """

    name: ClassVar[str] = "self_answers"

    format: str | dict[str, Weight] = DEFAULT_FORMAT
    """The Format of the open Examples, or several and their weights, as in `tasks`."""
    retention: Weight = 1.0
    """How often an Example is an ordinary prompt with the model's answer, which has no format."""
    open: Weight = 1.0
    """How often an Example asks for an answer in the format."""
    retention_text: Literal["answers", "prompts"] = "answers"
    """What follows the prompt of such an Example: the model's answer, or the text of another
    prompt, which costs no answer. The base's predictions are kept after either, and with them the
    way in which an answer begins."""
    plain: Weight = 0.0
    """How often an Example is plain text, without a prompt and a chat template."""
    plain_text: Literal["answers", "prompts"] = "answers"
    """What plain text consists of: an answer of the model's, or a few ordinary prompts, which costs
    no answer."""
    loop_prob_train: Weight = Field(default=0.0, le=1)
    """How often an open training Example has a rejected answer that repeats a part of its own."""
    max_new_tokens: int = Field(default=96, ge=8)
    """The most tokens of an answer. A longer one is cut off, and for an open Example shortened to
    its whole sentences."""
    n_prompts: int | None = Field(default=None, ge=1)
    """The most prompts that are asked in a split; Examples then share answers. If not set, each
    Example has a prompt of its own."""
    prompts: Path | None = None
    """Your own prompts, in a file of any form that `jsonl` reads; a hash divides them between the
    splits. Each of a split's is drawn once before one is drawn twice."""
    _complete: Complete | None = PrivateAttr(default=None)
    _keeps: bool = PrivateAttr(default=True)
    """Whether the Examples that keep the base have texts."""

    @field_validator("format")
    @classmethod
    def _formats_hold_texts(cls, asked: str | dict[str, float]) -> str | dict[str, float]:
        weights = {asked: 1.0} if isinstance(asked, str) else asked
        if not any(weights.values()):
            raise ValueError("at least one format needs a weight above 0")
        for spec in weights:
            try:
                shapes = abilities(build("formats", spec)).shapes
            except UserError as error:
                raise ValueError(str(error)) from error
            if not shapes & {"record", "tree", "table", "list"}:
                raise ValueError(f"format {spec!r} holds no shape for an answer's text")
        return asked

    @model_validator(mode="after")
    def _makes_something(self) -> Self:
        if not (self.retention or self.open or self.plain):
            raise ValueError("one of retention, open and plain needs a weight above 0")
        return self

    @property
    def formats(self) -> tuple[str, ...]:
        """The names of the formats of the open Examples; none if there are only ordinary ones."""
        names = (parse_spec(spec)[0] for spec in self._weights)
        return tuple(dict.fromkeys(names)) if self.open else ()

    def with_completions(self, complete: Complete) -> Self:
        """This generator with a run's model to ask."""
        bound = self.model_copy()
        bound._complete = complete
        return bound

    def to_be_asked(self) -> Self:
        """This generator for prompts that will be answered: what keeps the base has no text."""
        bound = self.model_copy()
        bound._keeps = False
        return bound

    def generate(self, split: Split, n: int, rng: Random) -> Iterator[Example]:
        """Yield n Examples of a split; asks the model for some in advance.

        Raises UserError without a model, and DataError if it gives nothing that can be used.
        """
        root = rng.getrandbits(64)
        ready: dict[int, Example] = {}
        waiting: dict[int, int] = {}
        """The attempts made so far for each Example that has been begun."""
        errors: defaultdict[int, list[str]] = defaultdict(list)
        """Why its prompts got no answer."""
        done, begun, width = 0, 0, min(n, NARROW)
        while done < n:
            while begun < n and len(waiting) < width:
                if self._keeps or self._kind(f"{root}/{split}", begun) == "open":
                    waiting[begun] = 0
                else:
                    ready[begun] = _blank(split, begun)
                begun += 1
            # Few prompts take as long as many, so the last Examples have several asked at once.
            ahead = max(1, min(4, NARROW // 4 // max(1, len(waiting))))
            drawn = [(i, made + k) for i, made in waiting.items() for k in range(ahead)]
            asked = [self._draw(split, f"{root}/{split}", i, attempt) for i, attempt in drawn]
            for (i, attempt), each, (messages, answer) in zip(
                drawn, asked, self._answers(asked), strict=True
            ):
                if i in ready or i not in waiting:
                    continue
                waiting[i] = attempt + 1
                errors[i] += [answer.error] if answer.error else []
                text = answer.text
                if text and (made := self._example(split, i, each, messages, text)):
                    ready[i] = made
                    del waiting[i]
                elif attempt + 1 >= MOST_ATTEMPTS:
                    raise _given_up(errors[i])
            while done in ready:
                yield ready.pop(done)
                done += 1
            width = min(WIDE, 2 * width)

    @cached_property
    def _weights(self) -> dict[str, float]:
        weights = {self.format: 1.0} if isinstance(self.format, str) else self.format
        return {spec: weight for spec, weight in weights.items() if weight}

    @cached_property
    def _targets(self) -> dict[str, _Target]:
        built = {spec: build("formats", spec) for spec in self._weights}
        return {spec: _Target(target, abilities(target)) for spec, target in built.items()}

    @cached_property
    def _judge(self) -> Evaluator:
        judge: Evaluator = build("evaluators", JUDGE)
        return judge

    @cached_property
    def _own(self) -> OwnPrompts:
        assert self.prompts is not None
        return OwnPrompts(self.prompts)

    def _kind(self, root: str, i: int) -> str:
        """What Example i is, whatever the attempt, so that each kind has its weight."""
        weights = {"open": self.open, "retention": self.retention, "plain": self.plain}
        return Dice(f"{root}/{i}").weighted(weights)

    def _draw(self, split: Split, root: str, i: int, attempt: int) -> _Asked:
        """The prompt of an attempt at Example i."""
        dice, kind = Dice(f"{root}/{i}/{attempt}"), self._kind(root, i)
        opens = kind == "open"
        number = f"{i}/{attempt}" if self.n_prompts is None else str(dice.below(self.n_prompts))
        free = kind == "retention" and self.retention_text == "prompts"
        joined = kind == "plain" and self.plain_text == "prompts"
        if self.prompts is not None:
            own = self._own.of(split, self.n_prompts)
            # In turn, so that none comes twice before each has come once.
            turn = (Dice(f"{root}/own").below(len(own)) + i) % len(own)
            messages = dice.choice(own) if attempt else own[turn]
            count = PLAIN + 1 if joined else 1
            text = self._own.text(split, messages, count) if free or joined else ""
            return _Asked(kind, Prompt(messages, USER, messages[-1].content, USER), dice, text)
        kinds = WRITABLE if opens else KINDS
        drawn = Dice(f"{root}/prompt/{opens}/{number}")
        prompt = ordinary(split, drawn, kinds, turns=kind == "retention" and not free)
        if free:
            # Drawn from the prompt, so that no prompt has two answers.
            other = ordinary(split, Dice(repr(prompt.messages)), KINDS, turns=False)
            return _Asked(kind, prompt, dice, other.messages[-1].content)
        if joined:
            more = [ordinary(split, drawn, KINDS, turns=False) for _ in range(PLAIN)]
            text = "\n\n".join(each.messages[-1].content for each in (prompt, *more))
            return _Asked(kind, prompt, dice, text)
        return _Asked(kind, prompt, dice)

    def _answers(self, asked: Sequence[_Asked]) -> Iterator[tuple[tuple[Message, ...], Completion]]:
        """The messages that were answered last, and the answer; no text if it cannot be used."""
        asking = [each for each in asked if not each.text]
        answers = iter(
            self._texts([each.prompt.messages for each in asking], [_cut(each) for each in asking])
        )
        found = [
            Completion(example_id="", text=each.text) if each.text else next(answers)
            for each in asked
        ]
        again = {
            at: (
                *each.prompt.messages,
                Message("assistant", answer.text),
                Message("user", each.prompt.follow_up),
            )
            for at, (each, answer) in enumerate(zip(asked, found, strict=True))
            if answer.text and each.prompt.follow_up
        }
        later = self._texts([*again.values()], [KEEP] * len(again))
        second = dict(zip(again, later, strict=True))
        for at, each in enumerate(asked):
            yield again.get(at, each.prompt.messages), second.get(at, found[at])

    def _texts(
        self, prompts: Sequence[tuple[Message, ...]], cuts: Sequence[str]
    ) -> list[Completion]:
        """The answers, in order, each without text if it cannot be used."""
        if not prompts:
            return []
        if self._complete is None:
            raise UserError(
                "generator 'self_answers' has no model to ask; `fmtharness generate` gives it that "
                "of [model], and in Python with_completions does"
            )
        examples = [
            Example(id=str(at), prompt=prompt, format=NO_FORMAT)
            for at, prompt in enumerate(prompts)
        ]
        answers = self._complete(examples, self.max_new_tokens)
        return [
            replace(answer, text=self._usable(example, answer, cut))
            for example, answer, cut in zip(examples, answers, cuts, strict=True)
        ]

    def _usable(self, example: Example, answer: Completion, cut: str) -> str:
        """The answer's text if it does not loop, and may be used with the end it has; else ""."""
        text = answer.text.strip()
        if answer.unclosed or answer.finish_reason == "error":
            return ""
        if answer.finish_reason == "length" and cut == SHORTEN:
            text = whole_part(text)
            if len(text) < LEAST_CUT:
                return ""
        elif answer.finish_reason == "length" and cut == DROP:
            return ""
        if cut == SHORTEN and repeats(text):
            return ""
        return text if learnable(text) and self._judge.evaluate(example, answer).passed else ""

    def _example(
        self, split: Split, i: int, asked: _Asked, messages: tuple[Message, ...], text: str
    ) -> Example | None:
        """The Example of an answer; None if the Format cannot hold it."""
        prompt, dice = asked.prompt, asked.dice
        tags: dict[str, Any] = {
            "family": f"self_{asked.kind}",
            "kind": prompt.kind,
            "templates": [prompt.wording],
        }
        if asked.kind != "open":
            return Example(
                id=f"{split}-{i}",
                prompt=messages if asked.kind == "retention" else (),
                completion=text,
                format=NO_FORMAT,
                tags={**tags, KEEPS: True},
            )
        weights = self._weights
        target = self._targets[dice.weighted(weights) if len(weights) > 1 else next(iter(weights))]
        strictness = dice.choice(LEVELS)
        context = Context(split, dice, target.format, target.abilities, strictness)
        try:
            made = put(context, prompt.topic, text)
            form = for_value(target.format, made.value)
            completion = form.render(made.value)
            draft = request(context, prompt.messages[-1].content, made)
        except ValueError:
            return None
        parsed = form.parse(completion)
        if not parsed.ok:
            raise PluginError(
                f"format {form.name!r} does not parse what it rendered: {completion!r} "
                f"({parsed.problems[0].message}); narrow its shapes or mend its parser"
            )
        draft.history = [each for each in prompt.messages[:-1] if each.role != "system"]
        example = Example(
            id=f"{split}-{i}",
            prompt=draft.messages(),
            completion=completion,
            format=form.name,
            format_options=options_of(form),
            tags={
                **tags,
                OPEN: True,
                "required_keys": [],
                "shape": made.shape,
                "strictness": strictness,
                "hard_negatives": [],
                "bad_outputs": [],
                "templates": [*tags["templates"], *context.templates],
            },
        )
        looping = split == "train" and dice.chance(self.loop_prob_train)
        return with_loop(example, dice) if looping else example
