"""The generator `tasks`: task families, made exacting, tempting or broken, in any Format.

    next(Tasks().generate("train", 1, Random(7)))
        ->  Example(id="train-0", prompt=(Message("user", "Extract city, ..."),),
                    completion='{"city": "Oslo", ...}', format="json", value={...}, tags={...})

Example i comes from `Dice(f"{root}/{split}/{i}")`: it depends on the seed, the split and i alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from generators.bad_outputs import break_answer
from generators.context import Abilities, Context, Strictness, abilities
from generators.dice import Dice
from generators.families import FAMILIES
from generators.requests import demand, last_word
from generators.temptations import tempt
from harness.contracts import Format, Options, Split
from harness.errors import PluginError, UserError
from harness.plugins import component, did_you_mean
from harness.records import Example

Probability = Annotated[float, Field(ge=0, le=1)]
Level = Literal["easy", "medium", "hard", "mixed"]
LEVELS: tuple[Strictness, ...] = ("easy", "medium", "hard")


class Tasks(Options):
    """Task families with temptations and broken answers, in any output format."""

    name: ClassVar[str] = "tasks"

    format: str = "json"
    """The Format that is asked for."""
    families: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Task families and their weights; where it is empty, all that the Format can hold, equally."""
    hard_negative_prob_train: Probability = 0.3
    """How often a training prompt tempts the answer out of the format."""
    hard_negative_prob_eval: Probability = 0.3
    """The same for evaluation prompts."""
    fix_bad_output_prob_train: Probability = 0.15
    """How often a training prompt shows a broken answer and asks for the corrected one."""
    fix_bad_output_prob_eval: Probability = 0.0
    """The same for evaluation prompts."""
    quote_prob: Probability = 0.3
    """How often a source quotes its texts, so that they can be copied token by token."""
    train_strictness: Level = "mixed"
    """How exacting training requests are; `mixed` draws one of the three for each Example."""
    eval_strictness: Level = "hard"
    """The same for evaluation requests."""

    @field_validator("format")
    @classmethod
    def _format_exists(cls, name: str) -> str:
        try:
            component("formats", name)
        except UserError as error:
            raise ValueError(str(error)) from error
        return name

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
    def _families_fit(self) -> Self:
        """A family that is asked for by name must fit the Format."""
        can = abilities(component("formats", self.format)())
        misfits = [
            name
            for name, weight in self.families.items()
            if weight and not FAMILIES[name].shapes & can.shapes
        ]
        if misfits:
            raise ValueError(
                f"format {self.format!r} holds {', '.join(sorted(can.shapes))} and nothing that "
                f"the families {', '.join(misfits)} ask for; leave them out"
            )
        if not self._weights(can):
            raise ValueError(f"format {self.format!r} holds no shape that a family asks for")
        return self

    def generate(self, split: Split, n: int, rng: Random) -> Iterator[Example]:
        """Yield n Examples of a split."""
        target: Format = component("formats", self.format)()
        can = abilities(target)
        weights = self._weights(can)
        root = rng.getrandbits(64)
        for i in range(n):
            yield self._example(split, i, Dice(f"{root}/{split}/{i}"), target, can, weights)

    def _weights(self, can: Abilities) -> dict[str, float]:
        weights = self.families or dict.fromkeys(FAMILIES, 1.0)
        return {name: weights[name] for name in weights if FAMILIES[name].shapes & can.shapes}

    def _example(
        self,
        split: Split,
        i: int,
        dice: Dice,
        target: Format,
        can: Abilities,
        weights: dict[str, float],
    ) -> Example:
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
        strictness: Strictness = dice.choice(LEVELS) if level == "mixed" else level
        tempted, broken = dice.chance(tempting), dice.chance(breaking)
        quoted = dice.chance(self.quote_prob)
        context = Context(split, dice, target, can, strictness, quoted)

        draft = FAMILIES[dice.weighted(weights)].make(context)
        completion = target.render(draft.value)
        parsed = target.parse(completion)
        if not parsed.ok:
            raise PluginError(
                f"format {target.name!r} does not parse what it rendered: {completion!r} "
                f"({parsed.problems[0].message}); narrow its shapes or mend its parser"
            )
        kind = break_answer(context, draft, completion) if broken else None
        demand(context, draft)
        kinds = tempt(context, draft) if tempted else []
        last_word(context, draft)

        return Example(
            id=f"{split}-{i}",
            prompt=draft.messages(),
            completion=completion,
            format=target.name,
            value=parsed.value,
            tags={
                "family": draft.family,
                "shape": draft.shape,
                "schema": draft.schema,
                "strictness": strictness,
                "hard_negatives": kinds,
                "bad_outputs": [kind] if kind else [],
                "templates": context.templates,
            },
        )
