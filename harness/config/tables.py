"""What a config holds: the options of each table, and the whole config with its components built.

    Config(name="quick", ...).tables()  ->  {"name": "quick", "seed": 0, "model": {...}, ...}

The components' own keys are the fields of their classes; those here are shared by all of a kind.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

import tomli_w
from pydantic import Field, field_validator

from fmtharness.harness.contracts import (
    Backend,
    Evaluator,
    Generator,
    ModelOptions,
    Options,
    Trainer,
)

OUTPUTS = Path("outputs")
OWN = frozenset(
    ("adapter", "checkpoints", "completions", "data", "retention", "rounds", "tb", "verdicts")
)
"""The folders that a run writes in its own."""
ALL = sys.maxsize
"""How many Examples a generator that ends is asked for if [data] sets no number."""
SIZES = {"n_train": 800, "n_dev": 32, "n_eval": 100}
"""How many Examples a generator that has no end is asked for if [data] sets no number."""


class RunOptions(Options):
    """The keys above all tables."""

    name: str
    """Names the run's folder, `outputs/<name>`; the config file's name if not set."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Determines the data, the adapter's initial weights, and the order of training."""

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, name: str) -> str:
        if name in ("", ".", "..") or set(name) & set("/\\"):
            raise ValueError("it must be a folder name; --out takes a path")
        return name


class DataOptions(Options):
    """[data]: the keys that every generator shares; the rest are the generator's own."""

    generator: str = "tasks"
    """The generator; `fmtharness plugins` lists them."""
    n_train: int | None = Field(default=None, ge=1)
    """Examples to train on; if not set 800, or all that there are of a user's rows."""
    n_dev: int | None = Field(default=None, ge=1)
    """Examples that checkpoints are chosen on; if not set 32, or all."""
    n_eval: int | None = Field(default=None, ge=1)
    """Held-out Examples to judge on; if not set 100, or all."""
    allow: tuple[str, ...] = ()
    """Checks of `fmtharness data` that do not stop the training, such as `near_duplicates`."""


class TrainOptions(Options):
    """[train]: the trainer's name; the rest are the trainer's own keys."""

    trainer: str = "qlora"
    """The trainer; `fmtharness plugins` lists them."""
    rounds: int = Field(default=1, ge=1)
    """Trainings in a row; each but the first also learns from the answers of the one before."""
    next_round: dict[str, Any] = Field(default_factory=dict)
    """How the rounds after the first train; [train.next_round](#trainnext_round) has its keys."""


class RoundOptions(Options):
    """[train.next_round]: the trainer of each round but the first, and what it is given.

    The rest are that trainer's own keys; those that are not set are as in [train].
    """

    trainer: str = "dpo"
    """The trainer; `fmtharness plugins` lists them."""
    prompts: int = Field(default=400, ge=1)
    """Fresh training prompts that the model answers before the round."""
    max_new_tokens: int = Field(default=384, ge=1)
    """Maximum new tokens of such an answer."""
    replay: float = Field(default=1.0, ge=0)
    """Rows of the first round's to train on again, for each row that the answers gave."""


class EvalOptions(Options):
    """[eval]: what is generated and who judges; the rest are the backend's own keys."""

    backend: str = "transformers"
    """The completion backend; `fmtharness plugins` lists them."""
    arms: tuple[str, ...] = Field(default=("base", "sft"), min_length=1)
    """What is compared: `base`, `sft`, `instructed`, `few_shot`, `constrained`, `sft_constrained`,
    `repaired`, `sft_repaired`, and `server:NAME` for each [eval.servers.NAME]. The others are
    compared with the first. The run trains where an arm with `sft` is among them."""
    evaluators: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Component specs, such as `json_strict:root=any,max_depth=8`; if not set, those that the
    formats of the data imply."""
    num_prompts: int | None = Field(default=None, ge=1)
    """Use only the first so many eval Examples; all if not set."""
    n: int = Field(default=1, ge=1, le=1000)
    """Completions of each prompt, by every arm; more than 1 need a `temperature`. Prompts of
    [retention] get one."""
    dump_jsonl: Path | None = None
    """Also write prompt, target, completion and labels in one row each, for reading, to this file
    in the run's folder."""
    cache: bool = True
    """Whether a server is not asked again for what it has answered before."""
    timeout_s: float = Field(default=10.0, gt=0, le=86_400)
    """Seconds that an evaluator may take for one completion, which is unscored after that."""

    @field_validator("dump_jsonl")
    @classmethod
    def _stays_in_the_folder(cls, path: Path | None) -> Path | None:
        for each in (path, PureWindowsPath(path)) if path is not None else ():
            if each.anchor or ".." in each.parts or not each.name:
                raise ValueError("it must be a file below the run's folder, such as 'rows.jsonl'")
            if each.parts[0].lower() in OWN:
                raise ValueError(
                    f"{each.parts[0]!r} in a run's folder is the run's own; name another"
                )
        return path


class SetOptions(Options):
    """[eval.sets.NAME]: the keys of every evaluation set; the rest are its generator's own."""

    generator: str
    """The generator, such as `open_requests`; `fmtharness plugins` lists them."""
    num_prompts: int | None = Field(default=None, ge=1)
    """How many of its eval Examples each arm answers; if not set 100, or all that there are."""
    dev_prompts: int = Field(default=0, ge=0)
    """How many of its dev Examples each evaluation in training answers; with 0 the set has no say
    in which checkpoint becomes the adapter."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of an answer; those of [eval] if not set, and in training the trainer's."""
    evaluators: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Component specs; if not set, those that the generator implies."""


class ServerOptions(Options):
    """[eval.servers.NAME]: a backend beside that of [eval]; the rest are the backend's own keys."""

    backend: str = "openai"
    """The completion backend; `fmtharness plugins` lists them."""


class RetentionOptions(Options):
    """[retention]: ordinary prompts that ask for no format, which a cure must leave as they were.

    The budget says which checkpoints may become the adapter. What the base itself does is never
    over it.
    """

    num_prompts: int = Field(default=80, ge=0)
    """How many of the eval prompts each arm answers; with 0 retention is not measured."""
    dev_prompts: int = Field(default=16, ge=0)
    """How many of the dev prompts each evaluation in training answers; 0: no budget is kept."""
    max_new_tokens: int = Field(default=96, ge=1)
    """Most tokens of an answer."""
    prompts: Path | None = None
    """Prompts of your own, in any form that the generator `jsonl` reads; `tags.split` in a row,
    `dev` or `eval`, else a hash of its prompt says which half it is in. The shipped ones if not
    set."""
    max_unasked_format_rate: float = Field(default=0.05, ge=0, le=1)
    """The budget's largest share of answers in a format that nobody asked for."""
    max_loop_rate: float = Field(default=0.05, ge=0, le=1)
    """The budget's largest share of answers that end in repetition."""
    max_perplexity_ratio: float = Field(default=1.05, ge=1)
    """The budget's largest perplexity of plain text, as a multiple of the base's."""

    @property
    def in_training(self) -> int:
        """How many dev prompts an evaluation in training answers."""
        return self.dev_prompts if self.num_prompts else 0


class ReportOptions(Options):
    """[report]: where the views of a run go."""

    tb_logdir: Path | None = None
    """TensorBoard logs go to `<tb_logdir>/<name>`; to `tb` in the run's folder if not set."""


@dataclasses.dataclass(frozen=True)
class EvalSet:
    """[eval.sets.NAME], built: Examples that the arms answer besides those of [data]."""

    name: str
    options: SetOptions
    generator: Generator
    evaluators: tuple[Evaluator, ...]

    def table(self) -> dict[str, Any]:
        """The resolved set as a TOML table."""
        return _dump(self.options) | _dump(self.generator)


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way of producing completions, built."""

    name: str
    backend: Backend
    tuned: bool = False
    """Whether it answers with the run's adapter."""
    prompting: Literal["", "instructed", "few_shot"] = ""
    """What its prompts have beside the Example's."""
    repairs: str = ""
    """The arm whose answers it repairs instead of asking a model."""
    server: bool = False
    """Whether its model is another than that of [model]."""

    @property
    def file(self) -> str:
        """The name of its files in a run's folder."""
        return file_of(self.name)


def file_of(arm: str) -> str:
    """The name of an arm's files in a run's folder: `server-ollama` for `server:ollama`."""
    return arm.replace(":", "-")


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole config, every component built and checked."""

    name: str
    seed: int
    model: ModelOptions
    data: DataOptions
    generator: Generator
    train: TrainOptions
    trainer: Trainer
    next_round: RoundOptions
    next_trainer: Trainer | None
    """The trainer of the rounds after the first; None if there is one round."""
    eval: EvalOptions
    backend: Backend
    evaluators: tuple[Evaluator, ...]
    report: ReportOptions
    names_evaluators: bool = dataclasses.field(compare=False)
    """Whether [eval] names them; else they are those that the formats of the data imply."""
    arms: tuple[Arm, ...]
    """What the run compares; the others with the first."""
    servers: dict[str, dict[str, Any]]
    """The resolved tables [eval.servers.NAME]."""
    sets: tuple[EvalSet, ...]
    """The evaluation sets besides the Examples of [data]."""
    retention: RetentionOptions
    keepers: tuple[Evaluator, ...]
    """Who judges the answers to prompts that ask for no format."""

    def tables(self) -> dict[str, Any]:
        """The resolved config as TOML tables, without what is unset."""
        tables: dict[str, Any] = {"name": self.name, "seed": self.seed, "model": _dump(self.model)}
        tables["data"] = _dump(self.data) | _dump(self.generator)
        tables["train"] = _dump(self.train) | _dump(self.trainer)
        tables["eval"] = _dump(self.eval) | _dump(self.backend)
        if self.servers:
            tables["eval"]["servers"] = self.servers
        if self.sets:
            tables["eval"]["sets"] = {each.name: each.table() for each in self.sets}
        tables["retention"] = _dump(self.retention)
        tables["report"] = _dump(self.report)
        return tables

    @property
    def trains(self) -> bool:
        """Whether an arm needs an adapter."""
        return any(arm.tuned for arm in self.arms)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The backends of the arms that are asked."""
        return tuple(arm.backend for arm in self.arms if not arm.repairs)

    def arm(self, name: str) -> Arm:
        """The arm of this name; one of `base` and `sft` also where it is not compared."""
        named = {each.name: each for each in self.arms}
        return named.get(name) or Arm(name, self.backend, tuned=name == "sft")

    def toml(self) -> str:
        """The resolved config as TOML text; loading it gives this config again."""
        return tomli_w.dumps(self.tables())


def _dump(options: Any) -> dict[str, Any]:
    values = options.model_dump(mode="json")
    return {key: value for key, value in values.items() if value is not None}
