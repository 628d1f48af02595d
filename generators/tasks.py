"""The generator `tasks`: task families with strictness, temptations and bad outputs, in any Format.

    next(Tasks().generate("train", 1, Random(7)))
        ->  Example(id="train-0", prompt=(Message("user", "Extract city, ..."),),
                    completion='{"city": "Oslo", ...}', format="json", value={...}, tags={...})

Example i comes from `Dice(f"{root}/{split}/{i}")`: it depends on the seed, the split and i alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

from msgspec import UNSET
from pydantic import Field, field_validator, model_validator

from fmtharness.generators.bad_outputs import break_answer
from fmtharness.generators.context import Abilities, Context, Strictness, abilities
from fmtharness.generators.dice import Dice
from fmtharness.generators.families import FAMILIES
from fmtharness.generators.layouts import ask_for_layout
from fmtharness.generators.looping import with_loop
from fmtharness.generators.requests import demand, last_word
from fmtharness.generators.temptations import tempt
from fmtharness.harness.contracts import Format, Options, Split
from fmtharness.harness.errors import PluginError, UserError
from fmtharness.harness.formats import DEFAULT_FORMAT, for_value, options_of
from fmtharness.harness.options import build, parse_spec
from fmtharness.harness.records import OPEN, Example
from fmtharness.harness.text import did_you_mean

Weight = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Level = Literal["easy", "medium", "hard", "mixed"]
MOST_DRAWS = 100
"""How often a Format may refuse the values drawn for one Example."""
LEVELS: tuple[Strictness, ...] = ("easy", "medium", "hard")


class _Target(NamedTuple):
    """A Format to ask for, what it holds, and the weights of the families that fit it."""

    format: Format
    abilities: Abilities
    families: dict[str, float]


class Tasks(Options):
    """Task families with temptations and broken answers, in any output format.

    What is set for eval holds for dev, too: dev is a sample of what eval measures.
    """

    name: ClassVar[str] = "tasks"

    format: str | dict[str, Weight] = DEFAULT_FORMAT
    """The Format that is asked for, such as `"yaml"` or `"json:root=array"`; or several and their
    weights, such as `{ json = 2, yaml = 1 }`."""
    families: dict[str, Weight] = Field(default_factory=dict)
    """Task families and their weights; if empty, all that the Format can hold, equally."""
    hard_negative_prob_train: Probability = 0.3
    """How often a training prompt tempts the answer out of the format."""
    hard_negative_prob_eval: Probability = 0.3
    """The same for dev and eval prompts."""
    fix_bad_output_prob_train: Probability = 0.15
    """How often a training prompt shows a broken answer and asks for the corrected one."""
    fix_bad_output_prob_eval: Probability = 0.0
    """The same for dev and eval prompts."""
    corruptions: dict[str, Weight] = Field(default_factory=dict)
    """How training's broken answers are broken, by the names of the Formats' corruptions and their
    weights, such as `{ truncated = 3, duplicate_key = 1 }`; if empty, in all ways equally."""
    loop_prob_train: Probability = 0.0
    """How often a training Example has a rejected answer beside the target, which repeats a part of
    it, or finds no end of an array or string, until it is cut off; trainer `dpo` learns from it."""
    quote_prob: Probability = 0.3
    """How often a source quotes its texts, so that they can be copied token by token."""
    train_strictness: Level = "mixed"
    """How exacting training requests are; `mixed` draws one of the three for each Example."""
    eval_strictness: Level = "hard"
    """The same for dev and eval requests."""

    @field_validator("format")
    @classmethod
    def _formats_exist(cls, asked: str | dict[str, float]) -> str | dict[str, float]:
        weights = {asked: 1.0} if isinstance(asked, str) else asked
        if not any(weights.values()):
            raise ValueError("at least one format needs a weight above 0")
        try:
            for spec in weights:
                build("formats", spec)
        except UserError as error:
            raise ValueError(str(error)) from error
        return asked

    @field_validator("families")
    @classmethod
    def _families_exist(cls, families: dict[str, float]) -> dict[str, float]:
        unknown = [
            f"no family is called {name!r}{did_you_mean(name, FAMILIES)}"
            for name in families
            if name not in FAMILIES
        ]
        if unknown:
            raise ValueError(f"{'; '.join(unknown)} (there are {', '.join(FAMILIES)})")
        if families and not any(families.values()):
            raise ValueError("at least one family needs a weight above 0")
        return families

    @model_validator(mode="after")
    def _corruptions_exist(self) -> Self:
        """Every corruption that is named is one of a Format that is asked for."""
        known = {n for target in self._targets().values() for n in target.format.corruptions()}
        if unknown := sorted(self.corruptions.keys() - known):
            raise ValueError(
                f"no corruption is called {unknown[0]!r}{did_you_mean(unknown[0], known)}"
            )
        return self

    def focused(self, labels: Mapping[str, int]) -> Self:
        """The same Examples, with answers broken as these labels say, by how often each came."""
        known = {n for target in self._targets().values() for n in target.format.corruptions()}
        weights = {label: float(count) for label, count in labels.items() if label in known}
        return self.model_copy(update={"corruptions": weights}) if weights else self

    @model_validator(mode="after")
    def _families_fit(self) -> Self:
        """Every family that is asked for fits a Format, and every Format holds one."""
        targets = self._targets()
        shapes = {shape for target in targets.values() for shape in target.abilities.shapes}
        misfits = [
            name
            for name, weight in self.families.items()
            if weight and not FAMILIES[name].shapes & shapes
        ]
        if misfits:
            raise ValueError(
                f"format {self.format!r} holds {', '.join(sorted(shapes))} and nothing that "
                f"the families {', '.join(misfits)} ask for; leave them out"
            )
        for spec, target in targets.items():
            if not any(target.families.values()):
                raise ValueError(f"format {spec!r} holds no shape that a family asks for")
        return self

    @property
    def formats(self) -> tuple[str, ...]:
        """The names of the formats that Examples are in."""
        return tuple(dict.fromkeys(parse_spec(spec)[0] for spec in self._weights()))

    def generate(self, split: Split, n: int, rng: Random) -> Iterator[Example]:
        """Yield n Examples of a split."""
        targets, weights = self._targets(), self._weights()
        root = rng.getrandbits(64)
        for i in range(n):
            dice = Dice(f"{root}/{split}/{i}")
            spec = dice.weighted(weights) if len(weights) > 1 else next(iter(weights))
            example = self._example(split, i, dice, targets[spec])
            again = Dice(f"{root}/{split}/{i}/loop")  # separate, so that no other draw changes
            if split == "train" and again.chance(self.loop_prob_train):
                example = with_loop(example, again)
            yield example

    def _weights(self) -> dict[str, float]:
        weights = {self.format: 1.0} if isinstance(self.format, str) else self.format
        return {spec: weight for spec, weight in weights.items() if weight}

    def _targets(self) -> dict[str, _Target]:
        asked = self.families or dict.fromkeys(FAMILIES, 1.0)
        targets = {}
        for spec in self._weights():
            target: Format = build("formats", spec)
            can = abilities(target)
            fitting = {name: asked[name] for name in asked if FAMILIES[name].shapes & can.shapes}
            targets[spec] = _Target(target, can, fitting)
        return targets

    def _example(self, split: Split, i: int, dice: Dice, asked: _Target) -> Example:
        refused = None
        for _ in range(MOST_DRAWS):
            try:
                return self._drawn(split, i, dice, asked)
            except ValueError as error:
                refused = error
        raise PluginError(
            f"format {asked.format.name!r} refuses {MOST_DRAWS} values in a row, the last because "
            f"{refused}; narrow its shapes, or let it render more"
        ) from refused

    def _drawn(self, split: Split, i: int, dice: Dice, asked: _Target) -> Example:
        if split == "train":
            level, tempting, breaking = (
                self.train_strictness,
                self.hard_negative_prob_train,
                self.fix_bad_output_prob_train,
            )
        else:
            level, tempting, breaking = (
                self.eval_strictness,
                self.hard_negative_prob_eval,
                self.fix_bad_output_prob_eval,
            )
        weights = self.corruptions if split == "train" else {}
        strictness: Strictness = dice.choice(LEVELS) if level == "mixed" else level
        tempted, broken = dice.chance(tempting), dice.chance(breaking)
        quoted = dice.chance(self.quote_prob)
        context = Context(split, dice, asked.format, asked.abilities, strictness, quoted)

        draft = FAMILIES[dice.weighted(asked.families)].make(context)
        target = for_value(asked.format, draft.value)
        completion = target.render(draft.value)
        parsed = target.parse(completion)
        if not parsed.ok:
            raise PluginError(
                f"format {target.name!r} does not parse what it rendered: {completion!r} "
                f"({parsed.problems[0].message}); narrow its shapes or mend its parser"
            )
        try:
            kind = break_answer(context, target, draft, completion, weights) if broken else None
        except ValueError as error:
            raise PluginError(
                f"format {target.name!r}: a corruption of {completion!r:.200} raised ValueError "
                f"({error}); it must return None where there is nothing to break"
            ) from error
        demand(context, target, draft)
        laid_out = ask_for_layout(context, target, draft)
        if laid_out is not target:
            completion = laid_out.render(draft.value)
        kinds = tempt(context, draft) if tempted else []
        last_word(context, draft)

        return Example(
            id=f"{split}-{i}",
            prompt=draft.messages(),
            completion=completion,
            format=target.name,
            value=UNSET if draft.open else parsed.value,
            format_options=options_of(laid_out),
            tags={
                "family": draft.family,
                "shape": draft.shape,
                "schema": draft.schema,
                "strictness": strictness,
                "hard_negatives": kinds,
                "bad_outputs": [kind] if kind else [],
                "templates": context.templates,
                **({OPEN: True} if draft.open else {}),
                **draft.tags,
            },
        )
