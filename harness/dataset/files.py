"""Files of rows, of every kind: JSON Lines, JSON, CSV, TSV, YAML, parquet, a dataset of the hub.

[*raw_rows("rows.csv")]   [(2, {"prompt": "Oslo?", "completion": "{}"}), ...]

A row has the number of its line, from 1; in an array, a parquet file or a dataset, its place there.
Lines are read one at a time; JSON arrays and YAML are read whole.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from fmtharness.harness.errors import DataError, UserError
from fmtharness.harness.files import near_miss, quick_digest
from fmtharness.harness.records import decode, numbered_lines
from fmtharness.harness.text import first_line

HUB = "hf:"
HUB_NAME = re.compile(
    r"hf:(?P<name>[^:@]+)(?:@(?P<revision>[^:]+))?(?::(?P<config>[^:]+))?:(?P<split>[^:]+)"
)
KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".yaml", ".yml")
PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".tar")
_NAMES_DELIMITER = re.compile(r"sep=(.)\r?\n?")
_CHAT = re.compile(r"\[\s*\{\s*(['\"])(?:role|content|from|value)\1\s*:\s*['\"\[]")
"""How a list of chat messages begins, as JSON or as Python writes it."""
LONGEST_CELL = 2**31 - 1
SAMPLE = 65_536
"""How many bytes decide which encoding a file is in."""
_BOMS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_Raw = tuple[int, Any]


def raw_rows(name: str) -> Iterator[_Raw]:
    """The rows of a file or a dataset, each with its line or place, as plain data.

    Raises DataError for what cannot be read, and UserError where a library is missing.
    """
    if name.startswith(HUB):
        return _of_hub(name)
    path = Path(name)
    suffix = path.suffix.lower()
    if suffix in PACKED:
        raise DataError(f"{name}: it is packed ({suffix}); unpack it first")
    if suffix == ".parquet":
        return _of_parquet(path)
    _check_encoding(path)
    if suffix in (".csv", ".tsv"):
        return _of_table(path, "\t" if suffix == ".tsv" else None)
    if suffix in (".yaml", ".yml"):
        return _inside(name, _yaml(path))
    return _of_json(path)


def unit_of(name: str) -> str:
    """What a row's number counts: lines of a file, or rows."""
    lines = not name.startswith(HUB) and Path(name).suffix.lower() not in (
        ".json",
        ".yaml",
        ".yml",
        ".parquet",
    )
    return "line" if lines else "row"


def fingerprint(name: str) -> str:
    """What tells whether the rows have changed: a file's hash, or the fingerprint of a dataset."""
    if name.startswith(HUB):
        return str(_dataset(name)._fingerprint)
    return quick_digest(Path(name)) if Path(name).is_file() else ""


def _of_json(path: Path) -> Iterator[_Raw]:
    """JSON Lines, or one JSON document, whatever the file is called."""
    if not _is_lines(path):
        try:
            document = decode(_ANY, _bytes(path))
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error
        yield from _inside(str(path), document)
        return
    for number, line in numbered_lines(path):
        try:
            yield number, decode(_ANY, line)
        except ValueError as error:
            if "UTF-8" in str(error):
                raise _not_utf_8(path) from error
            raise DataError(f"{path}, line {number}: {error}") from error


def are_json_lines(name: str) -> bool:
    """Whether the rows are JSON Lines, which a decoder of their records can read itself."""
    path = Path(name)
    others = (*KINDS[3:], *PACKED)
    return path.is_file() and path.suffix.lower() not in others and _is_lines(path)


def _is_lines(path: Path) -> bool:
    """Whether a file is JSON Lines and not one JSON document; an empty one is."""
    lines = numbered_lines(path)
    _, first = next(lines, (0, b"{}"))
    if path.suffix.lower() != ".json":
        return first.lstrip()[:1] != b"["
    return first.lstrip()[:1] != b"[" and _is_json(first) and next(lines, None) is not None


_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder(object)


def _is_json(line: bytes) -> bool:
    try:
        decode(_ANY, line)
    except ValueError:
        return False
    return True


def _bytes(path: Path) -> bytes:
    return path.read_bytes().removeprefix(codecs.BOM_UTF8)


def _inside(name: str, document: Any) -> Iterator[_Raw]:
    """The rows of a document: an array's, those of promptfoo's tests, or of an object's one list.

    An object that holds no such list is a row itself.
    """
    if isinstance(document, dict):
        if isinstance(document.get("tests"), str):
            raise DataError(f"{name}: its tests stand in {document['tests']}; write them here")
        if isinstance(document.get("tests"), list):
            document = [*_promptfoo(name, document)]
        elif not {"messages", "conversations", "prompt", "chosen", "vars"} & document.keys():
            lists = [each for each in document.values() if _holds_rows(each)]
            if len(lists) > 1:
                known = ", ".join(key for key, each in document.items() if _holds_rows(each))
                raise DataError(
                    f"{name}: it holds several lists of rows ({known}); keep one of them"
                )
            document = lists[0] if lists else [document]
        else:
            document = [document]
    if not isinstance(document, list):
        raise DataError(f"{name}: it holds no rows; an array of objects can be read")
    yield from enumerate(document, start=1)


def _holds_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _promptfoo(name: str, config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The tests of a promptfoo config, each with each of its prompts as `template`."""
    prompts = config.get("prompts", [])
    prompts = prompts if isinstance(prompts, list) else [prompts]
    templates = [each.get("raw", each) if isinstance(each, dict) else each for each in prompts]
    common = config.get("defaultTest")
    common = common if isinstance(common, dict) else {}
    for test in config["tests"]:
        if not isinstance(test, dict):
            raise DataError(f"{name}: a test of promptfoo is an object with vars, not {test!r:.80}")
        own = {**common, **test, "vars": {**common.get("vars", {}), **test.get("vars", {})}}
        own["assert"] = [*(common.get("assert") or ()), *(test.get("assert") or ())]
        for template in templates or [None]:
            yield own if template is None else {**own, "template": template}


def _yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(_bytes(path).decode())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        said = getattr(error, "problem", None) or first_line(error)
        raise DataError(f"{path}{line}: not YAML: {said}") from error


def _of_table(path: Path, delimiter: str | None) -> Iterator[_Raw]:
    """CSV with a header; a cell that is empty counts as absent."""
    csv.field_size_limit(LONGEST_CELL)
    named = None
    with path.open(encoding="utf-8-sig", newline="") as file:
        if delimiter is None:
            head = file.readline()
            if named := _NAMES_DELIMITER.fullmatch(head):
                delimiter = named[1]  # Excel's own first line, which has been read
            else:
                file.seek(0)
        if delimiter is None:
            delimiter = max(",;\t", key=head.count) if head.count(",") == 0 else ","
        table = csv.reader(file, delimiter=delimiter, strict=True)
        header: list[str] = []
        line = skipped = 1 + (named is not None)
        try:
            for cells in table:
                began, line = line, table.line_num + skipped
                if not any(map(str.strip, cells)):
                    continue  # Excel writes rows of delimiters below the last one
                if not header:
                    header = [cell.strip() for cell in cells]
                    if twice := {each for each in header if each and header.count(each) > 1}:
                        raise DataError(f"{path}: the column {min(twice)!r} stands there twice")
                    continue
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}, line {began}: it has {len(cells)} cells and the header "
                        f"{len(header)}; quote a cell that holds {delimiter!r} or a line break"
                    )
                row: dict[str, Any] = {}
                for name, cell in zip(header, cells, strict=True):
                    if name:  # a column without a name is a number of the row, or empty
                        row[name] = _chat_in(cell, f"{path}, line {began}", name) or cell or None
                yield began, _of_promptfoo_table(row)
        except csv.Error as error:
            raise DataError(f"{path}, line {line}: not CSV: {error}") from error
        except UnicodeDecodeError as error:  # beyond the part that was looked at first
            raise _not_utf_8(path) from error


def _chat_in(cell: str, where: str, column: str) -> list[Any] | None:
    """The chat messages that a cell holds as JSON; None for any other text."""
    found = _CHAT.match(cell)
    if found is None:
        return None
    if found[1] == "'":
        raise DataError(
            f"{where}: {column} holds messages as Python writes them, which is not JSON; write the "
            f"rows with to_json(orient='records', lines=True)"
        )
    try:
        document = decode(_ANY, cell.encode())
    except ValueError:
        return None
    return document if _holds_rows(document) else None


def _of_promptfoo_table(row: dict[str, Any]) -> dict[str, Any]:
    """A row of promptfoo's CSV, whose columns are vars and `__expected`, as a test of its own."""
    expected = [value for key, value in row.items() if key.startswith("__expected") and value]
    if not any(key.startswith("__expected") for key in row):
        return row
    test: dict[str, Any] = {
        "vars": {key: value or "" for key, value in row.items() if not key.startswith("__")}
    }
    test["assert"] = []
    for each in expected:
        kind, colon, value = each.partition(":")
        named = bool(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind))
        if each == "is-json" or (colon and named):
            test["assert"].append({"type": kind, **({"value": value.strip()} if colon else {})})
        else:
            test["assert"].append({"type": "equals", "value": each})
    return test


def _of_parquet(path: Path) -> Iterator[_Raw]:
    if not path.is_file():
        raise _missing(path)
    with _needs("pyarrow", str(path)):
        from pyarrow.parquet import ParquetFile
    try:
        batches = ParquetFile(path).iter_batches(1024)
        place = 0
        for batch in batches:
            for row in batch.to_pylist():
                place += 1
                yield place, _without_nulls(row)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not parquet: {first_line(error)}") from error


def _of_hub(name: str) -> Iterator[_Raw]:
    for place, row in enumerate(_dataset(name), start=1):
        yield place, _without_nulls(row)


@lru_cache(8)
def _dataset(name: str) -> Any:
    found = HUB_NAME.fullmatch(name)
    if found is None:
        raise DataError(
            f"{name}: a dataset of the hub is named hf:owner/name:split, such as "
            f"hf:trl-lib/tldr:train, with @REVISION behind the name or :CONFIG before the split"
        )
    with _needs("datasets", name):
        from datasets import disable_progress_bars, load_dataset
    disable_progress_bars()
    asked = {key: found[key] for key in ("split", "revision") if found[key]}
    try:
        return load_dataset(found["name"], found["config"], **asked)
    except Exception as error:  # the library raises errors of many kinds
        raise DataError(f"{name}: {first_line(error)}") from error


@contextmanager
def _needs(library: str, name: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{name}: reading it needs {library}, which is not installed: "
            f"pip install 'fmtharness[data]'"
        ) from error


def _without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """The row without the nulls inside its values.

    A column's objects all have the keys that any of them has, null where they had none.
    """
    return {key: _pruned(value) for key, value in row.items()}


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(each) for key, each in value.items() if each is not None}
    return [_pruned(each) for each in value] if isinstance(value, list) else value


def _missing(path: Path) -> DataError:
    near = near_miss(path, Path.is_file)
    why = "it is a folder" if path.is_dir() else "No such file or directory"
    at = "" if path.is_absolute() else ", which begins in the working directory"
    return DataError(f"{path}: cannot be read ({why}){near}; check the path{at}")


def _check_encoding(path: Path) -> None:
    """Raise DataError, with the encoding's name, for a file that does not begin as UTF-8."""
    if not path.is_file():
        if path.is_dir() or not path.exists():
            raise _missing(path)
        return  # a pipe is read once only
    with path.open("rb") as file:
        sample = file.read(SAMPLE)
    named = next((name for mark, name in _BOMS if sample.startswith(mark)), None)
    if named is None and 0 in sample[:4]:
        named = "UTF-32" if sample[:4].count(0) > 2 else "UTF-16"
    if named:
        raise DataError(f"{path}: it is {named}; save it as UTF-8")
    # The sample may end inside a character.
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=len(sample) < SAMPLE)
    except UnicodeDecodeError as error:
        raise _not_utf_8(path) from error


def _not_utf_8(path: Path) -> DataError:
    """The error for a file in another encoding, which is guessed from what stands there."""
    decoder, at, block = codecs.getincrementaldecoder("utf-8")(), 0, b""
    with path.open("rb") as file:
        while block := file.read(SAMPLE):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                at += error.start - (len(error.object) - len(block))
                break
            at += len(block)
    name = _guessed(block)
    likely = f" and looks like {name}" if name else ""
    how = f", for example by iconv -f {name} -t UTF-8" if name else ""
    return DataError(f"{path}: it is not UTF-8 at byte {at:,}{likely}; save it as UTF-8{how}")


def _guessed(block: bytes) -> str:
    """The name of an encoding that is not UTF-8; a library, where there is one, names the rarer."""
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", block)]
    if runs and sum(runs) / len(runs) < 1.7:  # single letters with accents among ASCII
        return "WINDOWS-1252" if re.search(rb"[\x80-\x9f]", block) else "ISO-8859-1"
    try:
        from charset_normalizer import from_bytes
    except ModuleNotFoundError:
        return ""
    best = from_bytes(block).best()
    return best.encoding.replace("_", "-").upper() if best else ""
