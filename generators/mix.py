"""The generator `mix`: Examples of several generators, by weights, in one data set.

    [data.mix.own]
    generator = "jsonl"
    file = "rows.jsonl"
    weight = 3
    [data.mix.tasks]
    generator = "tasks"

    Mix(mix=...).generate("train", 4, Random(7))  ->  ids own/1, own/4, tasks/train-0, own/5

Which source Example i is of comes from a hash of the seed, the split and i alone.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, ClassVar, Self, get_args

import msgspec
from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from fmtharness.generators.dice import Dice
from fmtharness.harness.config import ALL, SIZES
from fmtharness.harness.contracts import Generator, Options, Split
from fmtharness.harness.errors import UserError
from fmtharness.harness.options import PLACED, check
from fmtharness.harness.plugins import component
from fmtharness.harness.records import Completion, Example

SPLITS: tuple[Split, ...] = get_args(Split)
Complete = Callable[[Sequence[Example], int], Iterator[Completion]]
"""What a run gives to a generator that wants a model's Completions."""
BIND = "with_completions"
AHEAD = 1
"""How many Examples of a source are read before they are drawn."""
BLOCK = 1024
"""How many Examples are first asked of a generator without an end, where no number is set."""


class Part(Options):
    """[data.mix.NAME]: the keys of every source; the rest are its generator's own."""

    generator: str
    """The generator; `fmtharness plugins` lists them."""
    weight: float = Field(default=1.0, gt=0)
    """How often it is drawn, relative to the others."""
    splits: tuple[Split, ...] = Field(default=SPLITS, min_length=1)
    """The splits that it has Examples for."""


class Mix(Options):
    """Several sources with weights, each a table `[data.mix.NAME]` with a generator's keys.

    For train, a source that has run out starts again; without `n_train` it ends when each row of
    the user's has come once. In dev and eval no row comes twice. Ids begin with the source's name.
    """

    name: ClassVar[str] = "mix"

    mix: dict[str, dict[str, Any]] = Field(min_length=1)
    """The sources by name: `generator`, `weight` (1 if not set), `splits` (such as `["train"]`; all
    if not set), and the generator's own keys."""
    _parts: dict[str, tuple[Part, Any]] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _build(self) -> Self:
        faults: list[str] = []
        for name, table in self.mix.items():
            part, generator, wrong = _built(table, f"[data.mix.{name}]")
            faults += wrong
            if "/" in name or not name:
                faults.append(f"[data.mix] {name!r}: a name without '/' begins the Examples' ids")
            if part is not None and generator is not None:
                self._parts[name] = part, generator
        for split in SPLITS if not faults else ():
            if not any(split in part.splits for part, _ in self._parts.values()):
                faults.append(f"[data.mix]: no source has {split!r} among its splits")
        if faults:
            raise PydanticCustomError(PLACED, "{lines}", {"lines": "\n".join(faults)})
        return self

    @property
    def parts(self) -> dict[str, Generator]:
        """The generators by the sources' names."""
        return {name: generator for name, (_, generator) in self._parts.items()}

    @property
    def sized(self) -> bool:
        """Whether a source has only so many Examples, so that an end can be found."""
        return any(_is_sized(each) for each in self.parts.values())

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats of all sources; none if one of them does not say its own."""
        each = [getattr(generator, "formats", ()) for generator in self.parts.values()]
        return tuple(dict.fromkeys(itertools.chain.from_iterable(each)))

    @property
    def evaluators(self) -> tuple[str, ...]:
        """What the sources imply besides the evaluators of their formats."""
        each = [getattr(generator, "evaluators", ()) for generator in self.parts.values()]
        return tuple(dict.fromkeys(itertools.chain.from_iterable(each)))

    def focused(self, labels: Mapping[str, int]) -> Self:
        """The mix with each source focused on these labels, where it can be."""
        return self._each(lambda part: getattr(part, "focused", lambda _: part)(labels))

    def with_completions(self, complete: Complete) -> Self:
        """The mix with a run's model for the sources that ask one."""
        return self._each(lambda part: getattr(part, BIND, lambda _: part)(complete))

    def to_be_asked(self) -> Self:
        """The mix with each source as it is where its Examples will be answered."""
        return self._each(lambda part: getattr(part, "to_be_asked", lambda: part)())

    def _each(self, change: Callable[[Any], Any]) -> Self:
        changed = self.model_copy()
        changed._parts = {name: (part, change(each)) for name, (part, each) in self._parts.items()}
        return changed

    def generate(self, split: Split, n: int, rng: Random) -> Iterator[Example]:
        """Yield n Examples, or, for `ALL`, until each row of each source has come once."""
        root = rng.getrandbits(64)
        again = split == "train"
        asked = dict.fromkeys(self._parts, n)
        if again and n != ALL:  # no source is used up, so it is known how often each is drawn
            weights = {name: part.weight for name, (part, _) in self._parts.items()}
            weights = {
                name: weights[name] for name in weights if split in self._parts[name][0].splits
            }
            drawn = Counter(Dice(f"{root}/{split}/{i}").weighted(weights) for i in range(n))
            asked = {name: drawn[name] + AHEAD for name in weights}
        streams = {
            name: _Stream(name, generator, split, asked[name], f"{root}/{name}", again=again)
            for name, (part, generator) in self._parts.items()
            if split in part.splits
        }
        if n == ALL and not any(each.sized for each in streams.values()):
            n = SIZES[f"n_{split}"]  # no source of this split has an end
        for i in itertools.count() if n == ALL else range(n):
            waiting = [each for each in streams.values() if each.sized and not each.done]
            going = {
                name: self._parts[name][0].weight
                for name, each in streams.items()
                if again or not each.done
            }
            if not going or (n == ALL and not waiting):
                return
            chosen = Dice(f"{root}/{split}/{i}").weighted(going)
            yield streams[chosen].take()


class _Stream:
    """The Examples of one source, one after the other."""

    def __init__(
        self, name: str, generator: Any, split: Split, n: int, seed: str, *, again: bool
    ) -> None:
        self.name, self.generator, self.split, self.n, self.seed = name, generator, split, n, seed
        self.again = again
        self.sized = _is_sized(generator)
        self.round = 1
        self.done = False
        """Whether each Example has come once."""
        self.examples = self._begin()
        self.next = next(self.examples, None)
        if self.next is None:
            raise UserError(
                f"[data.mix.{name}]: it has no Example for {split}; leave {split} out of its splits"
            )

    def take(self) -> Example:
        """The next Example, under the source's name; the first again after the last."""
        assert self.next is not None
        taken, repeated = self.next, f"#{self.round}" if self.round > 1 else ""
        self.next = next(self.examples, None)
        if self.next is None:
            self.done = True
            if self.again:
                self.round += 1
                self.examples = self._begin()
                self.next = next(self.examples)
        return msgspec.structs.replace(taken, id=f"{self.name}/{taken.id}{repeated}")

    def _begin(self) -> Iterator[Example]:
        if self.sized or self.n != ALL:
            asked = ALL if self.sized else self.n
            yield from self.generator.generate(self.split, asked, Random(self.seed))
            return
        begin, end = 0, BLOCK
        while True:  # a plugin may make a list of as many as it is asked for
            more = self.generator.generate(self.split, end, Random(self.seed))
            yield from itertools.islice(more, begin, None)
            begin, end = end, 2 * end


def _is_sized(generator: Any) -> bool:
    return bool(getattr(generator, "sized", False))


def _built(table: Mapping[str, Any], where: str) -> tuple[Part | None, Any, list[str]]:
    """A source's own keys and its generator, or what is wrong with them."""
    own = {key: value for key, value in table.items() if key in Part.model_fields}
    part, faults = check(Part, own, where)
    if not isinstance(table.get("generator"), str):
        return part, None, faults
    try:
        found = component("generators", table["generator"])
    except UserError as error:
        return part, None, [*faults, f"{where} generator: {error}"]
    if found is Mix:
        return part, None, [*faults, f"{where} generator: a mix holds no other mix"]
    rest = {key: value for key, value in table.items() if key not in Part.model_fields}
    generator, wrong = check(found, rest, where)
    return part, generator, faults + wrong
