"""The generator `jsonl`: a user's own rows, from files of any form that `harness/dataset` reads.

    next(Rows(file="rows.jsonl").generate("train", 1, Random(7)))
        ->  Example(id="1", prompt=(Message("user", "Where is Ada?"),),
                    completion='{"city": "Oslo"}', format="json", value={"city": "Oslo"})

A split without a file of its own is taken out of the training rows, by a hash of the seed and the
prompt: an equal prompt lies in the same split, however many rows are added.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Annotated, ClassVar, NamedTuple, Self

import msgspec
from pydantic import Field, field_validator, model_validator

from fmtharness.harness.config import ALL
from fmtharness.harness.contracts import Options, Split
from fmtharness.harness.dataset import Row, Source, reader, rows
from fmtharness.harness.dataset.files import HUB, fingerprint
from fmtharness.harness.dataset.keys import form_and_columns
from fmtharness.harness.dataset.reader import normalised, where
from fmtharness.harness.errors import DataError, UserError
from fmtharness.harness.files import (
    LARGE,
    atomic_file,
    cache_folder,
    digest,
    file_digest,
    sweep,
)
from fmtharness.harness.options import build
from fmtharness.harness.progress import say
from fmtharness.harness.records import NO_FORMAT, Example
from fmtharness.harness.schemas import Schema, load_schema, names_code

Share = Annotated[float, Field(ge=0, lt=1)]
COMPARED: Mapping[Split, tuple[Split, ...]] = {"train": ("dev", "eval"), "dev": ("eval",)}
"""The splits that must hold none of a split's prompts."""
SCHEMA_JUDGE = "json_schema"

# pydantic's BaseModel has an old method `schema`, which the option of that name hides.
warnings.filterwarnings("ignore", message='Field name "schema" in "Rows" shadows')


class Rows(Options):
    """Your own rows: TRL, messages, ShareGPT, alpaca, requests and others, in files or on the hub.

    Set `file`, or `train_file`; of the latter the dev and eval rows are taken, too, unless they
    have files. A file is .jsonl, .json, .csv, .tsv, .parquet or .yaml, or `hf:owner/name:split`.
    """

    name: ClassVar[str] = "jsonl"
    sized: ClassVar[bool] = True

    file: str | None = None
    """Rows that are divided between train, dev and eval by a hash of their prompts."""
    train_file: str | None = None
    """Rows to train on."""
    dev_file: str | None = None
    """Rows to choose checkpoints on; without it, `dev_share` of the training rows."""
    eval_file: str | None = None
    """Rows that the tables are about; without it, `eval_share` of the training rows."""
    dev_share: Share = 0.1
    """The share of the training rows that is dev, if there is no `dev_file`."""
    eval_share: Share = 0.2
    """The share of the training rows that is eval, if there is no `eval_file`."""
    form: str | None = None
    """The form of the rows, such as `messages`, or with other names of its columns
    `prompt-completion:prompt=question,completion=answer`; recognised if not set."""
    format: str | None = None
    """The Format of the targets, such as `yaml` or `json:root=array`, or `none`; if not set that of
    the row, else JSON."""
    schema: str | None = None  # type: ignore[assignment]
    """A JSON Schema for all targets: a file, or a Pydantic model as `package.module:Model`."""
    limit: int | None = Field(default=None, ge=1)
    """Read only the first so many rows of each file."""
    allow_overlap: bool = False
    """Whether files may share prompts; else a prompt in two splits is an error."""

    @field_validator("form")
    @classmethod
    def _form_exists(cls, form: str | None) -> str | None:
        if form is not None:
            form_and_columns(form)
        return form

    @field_validator("format")
    @classmethod
    def _format_exists(cls, spec: str | None) -> str | None:
        try:
            if spec not in (None, NO_FORMAT):
                build("formats", spec)
        except UserError as error:
            raise ValueError(str(error)) from error
        return spec

    @model_validator(mode="after")
    def _has_rows(self) -> Self:
        if (self.file is None) == (self.train_file is None):
            raise ValueError("set one of file and train_file")
        if self.dev_share + self.eval_share >= 1:
            raise ValueError("dev_share and eval_share leave nothing to train on; lower them")
        return self

    @property
    def formats(self) -> tuple[str, ...]:
        """The names of the formats that the rows are in; read from them unless `format` is set."""
        self._schema()
        names = self._facts.formats
        return tuple(name for name in names if name != NO_FORMAT)

    @property
    def evaluators(self) -> tuple[str, ...]:
        """The judge of schemas, if a row that asks for JSON has one."""
        facts = self._facts
        return (SCHEMA_JUDGE,) if self.schema is not None or facts.schemas else ()

    @property
    def inputs(self) -> dict[str, str]:
        """What tells whether datasets of the hub and a schema in code have changed."""
        found = {name: fingerprint(name) for name in self._names if name.startswith(HUB)}
        if names_code(self.schema):
            found["schema"] = digest(self._schema())
        return found

    def generate(self, split: Split, n: int, rng: Random) -> Iterator[Example]:
        """Yield the first n rows of a split, in their order.

        Raises DataError for a row that cannot be read, a prompt that is in another split, too, a
        training row without a target, and if the split has no row.
        """
        root = rng.getrandbits(64)
        elsewhere = {} if self.allow_overlap else self._elsewhere(split, root)
        source = self._source(split)
        self._say_where_from(split)
        count = 0
        for row in itertools.islice(self._rows(split, root), n):
            key = _key(row)
            if key in elsewhere:
                raise DataError(
                    f"{where(source, row.line)}: its prompt is also that of {elsewhere[key]}; "
                    f"remove one of them, or set allow_overlap = true"
                )
            if split == "train" and row.example.completion is None:
                raise DataError(
                    f"{where(source, row.line)}: it has no answer, and one is needed to train on "
                    f"it; remove the row"
                )
            count += 1
            yield row.example
        if not count:
            raise DataError(self._why_empty(split))
        if count < n < ALL:
            say(f"{source.name}: there are {count:,} rows for {split}, and n_{split} is {n:,}")

    @property
    def _main(self) -> str:
        return self.file or self.train_file or ""

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._file(split) for split in ("train", "dev", "eval")))

    def _own(self, split: str) -> str | None:
        """The file of dev or eval alone; None if the split is taken out of the main file."""
        return {"dev": self.dev_file, "eval": self.eval_file}.get(split)

    def _file(self, split: str) -> str:
        return self._own(split) or self._main

    def _source(self, split: Split, schema: Schema | None = None) -> Source:
        return Source(self._file(split), self.form, self.format, schema, self.limit)

    def _schema(self) -> Schema | None:
        return None if self.schema is None else load_schema(self.schema, "schema")

    @property
    def _facts(self) -> _Facts:
        sources = tuple(
            Source(name, self.form, self.format, None, self.limit) for name in self._names
        )
        return _facts_of(sources, tuple(fingerprint(name) for name in self._names))

    def _rows(self, split: Split, root: int, *, parse: bool = True) -> Iterator[Row]:
        found = rows(self._source(split, self._schema()), parse=parse)
        if self._own(split):
            return found
        return (row for row in found if self._split_of(row, root) == split)

    def _split_of(self, row: Row, root: int) -> Split:
        """The split of a training row: its prompt's place in the unit interval decides."""
        at = int.from_bytes(sha256(f"{root}/".encode() + _key(row)).digest()[:8]) / 2**64
        if at < self.eval_share:
            return "train" if self.eval_file else "eval"
        if at < self.eval_share + self.dev_share:
            return "train" if self.dev_file else "dev"
        return "train"

    def _elsewhere(self, split: Split, root: int) -> dict[bytes, str]:
        """The prompts of the splits with which this one must share none, and where they stand.

        Splits that are taken out of the main file share none by construction.
        """
        found: dict[bytes, str] = {}
        for other in COMPARED.get(split, ()):
            if self._own(other) or self._own(split):
                source = self._source(other)
                for row in self._rows(other, root, parse=False):
                    found.setdefault(_key(row), f"{where(source, row.line)} ({other})")
        return found

    def _say_where_from(self, split: Split) -> None:
        if self.train_file and split != "train" and not self._own(split):
            share = self.dev_share if split == "dev" else self.eval_share
            say(
                f"{self.train_file}: {share:.0%} of the prompts are {split}, chosen by a hash, "
                f"since there is no {split}_file"
            )

    def _why_empty(self, split: Split) -> str:
        name = self._file(split)
        if self._own(split):
            return f"{name}: there is no row in it"
        if split == "train":
            return f"{name}: no row is left to train on; lower dev_share and eval_share"
        share = self.dev_share if split == "dev" else self.eval_share
        return (
            f"{name}: none of its rows falls into {split} with {split}_share = {share:g}; raise "
            f"it, add rows, or set {split}_file"
        )


class _Facts(NamedTuple):
    """What the rows of some files ask for."""

    formats: tuple[str, ...]
    schemas: bool
    """Whether one that asks for JSON has a JSON Schema."""


@lru_cache(64)
def _facts_of(sources: tuple[Source, ...], fingerprints: tuple[str, ...]) -> _Facts:
    """What the rows ask for; for large files it is kept in the cache, since each command asks."""
    paths = [Path(each.name) for each in sources]
    if sum(each.stat().st_size for each in paths if each.is_file()) < LARGE:
        return _counted(sources)
    code = {each.name: file_digest(each) for each in Path(reader.__file__).parent.glob("*.py")}
    asked = [(each.form, each.format, each.limit) for each in sources]
    kept = cache_folder() / "facts" / digest([asked, fingerprints, code])
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(kept.read_bytes(), type=_Facts)
    say(f"{', '.join(each.name for each in sources)}: all rows are read once, for their formats")
    found = _counted(sources)
    sweep(kept.parent)
    with suppress(OSError, UserError), atomic_file(kept) as temporary:
        temporary.write_bytes(msgspec.json.encode(found))
    return found


def _counted(sources: tuple[Source, ...]) -> _Facts:
    formats: dict[str, None] = {}
    schemas = False
    for row in itertools.chain.from_iterable(rows(source, parse=False) for source in sources):
        formats[row.example.format] = None
        schemas |= row.example.format == "json" and "json_schema" in row.example.tags
    return _Facts(tuple(formats), schemas)


def _key(row: Row) -> bytes:
    """A short hash of the normalised prompt."""
    return sha256(normalised(row.example.prompt).encode("utf-8", "surrogatepass")).digest()[:16]
