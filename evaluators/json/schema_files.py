"""The JSON Schemas of a folder, which a $ref may name if the user names the folder.

    documents_in(Path("schemas")).parsed.keys()
    -> {"https://schema.invalid/folder/city.json", "https://example.com/city"}

for a folder of one file, city.json, with the "$id" "https://example.com/city". All of it is read
at once, so that no $ref in a hostile schema is ever a path on the disk.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urldefrag, urljoin

from fmtharness.harness.text import one_line

HERE: Final = "https://schema.invalid/folder/"
"""The address of a schema that names none. A path that leaves the folder with .. is another one."""
_MOST_FILES: Final = 10_000
_MOST_BYTES: Final = 64 * 2**20


@dataclasses.dataclass(frozen=True)
class Documents:
    """What a $ref may name besides the schema itself, by its address, parsed."""

    digest: str = ""
    """A hash of all the rest, by which two are compared."""
    folder: Path | None = dataclasses.field(default=None, compare=False)
    base: str = dataclasses.field(default=HERE, compare=False)
    """The address that the folder has; a schema without $id stands there."""
    parsed: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    broken: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)
    """By the address of each file that is not JSON, why it is not."""

    def address(self, file: Path | None) -> str:
        """The address of a schema's file, so that its references are relative to it."""
        if self.folder is None or file is None or not _is_inside(file, self.folder):
            return self.base
        return self.base + quote(file.resolve().relative_to(self.folder.resolve()).as_posix())

    def why_not(self, reference: str, uri: str) -> str:
        """The sentence for a reference to what is not here."""
        reference = one_line(reference.removeprefix(HERE))
        if self.folder is None:
            return (
                f"its reference {reference!r} leaves the schema, and nothing is fetched; name the "
                f"folder of such files as ref_folder, or put it under $defs"
            )
        if uri in self.broken:
            return f"its reference {reference!r} names a file that is {self.broken[uri]}"
        return f"its reference {reference!r} names no JSON file in {self.folder}"


NOTHING: Final = Documents()


def documents_in(folder: Path, base: str | None = None) -> Documents:
    """The JSON files in a folder and below, by path and by $id; ValueError for no such folder.

    Links that lead out of the folder are left out.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; name the folder of the referenced schemas")
    base = HERE if base is None else base.rstrip("/") + "/"
    parsed: dict[str, Any] = {}
    broken: dict[str, str] = {}
    for path in _files(folder):
        address = base + quote(path.relative_to(folder).as_posix())
        try:
            parsed[address] = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            broken[address] = f"no JSON: {error}"
            continue
    for address, document in list(parsed.items()):
        if isinstance(document, dict) and isinstance(document.get("$id"), str):
            parsed.setdefault(urldefrag(urljoin(address, document["$id"])).url, document)
    known = json.dumps([str(folder), base, parsed, broken])
    return Documents(hashlib.sha256(known.encode()).hexdigest(), folder, base, parsed, broken)


def _files(folder: Path) -> Iterable[Path]:
    found, size = [], 0
    for path in sorted(folder.rglob("*.json")):
        if path.is_file() and _is_inside(path, folder):
            found.append(path)
            size += path.stat().st_size
            if len(found) > _MOST_FILES or size > _MOST_BYTES:
                raise ValueError(
                    f"{folder} holds more than {_MOST_FILES:,} JSON files or "
                    f"{_MOST_BYTES // 2**20} MiB of them; name a folder of schemas only"
                )
    return found


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
