"""`fmtharness new`: a package with a format or an evaluator, whose tests pass as written.

    write("format", "my-fmt", None)  ->  fmtharness-my-fmt/pyproject.toml, fmtharness_my_fmt.py, ...

The packages under templates/ are complete and named `sample`; only the name changes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from fmtharness.harness.errors import UserError
from fmtharness.harness.plugins import KINDS, registry

TEMPLATES = Path(__file__).parent / "templates"
LONGEST = 60
"""Most characters of a name, which becomes the name of files and modules."""
What = Literal["format", "evaluator"]


def write(what: What, name: str, folder: Path | None) -> list[Path]:
    """Write the package into the folder, by default `fmtharness-<name>`; returns its files.

    Raises UserError for a name that is invalid or taken, and if the folder is not empty.
    """
    taken = {known for kind in KINDS for known in registry()[kind]}
    if not re.fullmatch(r"[a-z][a-z0-9]*([_.-][a-z0-9]+)*", name) or len(name) > LONGEST:
        raise UserError(
            f"{name!r} cannot be a name: it starts with a letter and goes on with lower-case "
            f"letters and digits, with single _, - or . between them, {LONGEST} at most"
        )
    alike = [known for known in taken if _plain(known) == _plain(name) != known]
    if alike and name not in taken:
        raise UserError(
            f"{name!r} would be the same distribution as {alike[0]!r}; choose another name"
        )
    for wanted in (name, f"{name}_strict", f"{name}_match")[: 3 if what == "format" else 1]:
        if wanted in taken:
            raise UserError(f"there is a component {wanted!r} already; choose another name")
    plain = _plain(name)
    dashed = re.sub(r"[._]", "-", name)
    folder = folder or Path(f"fmtharness-{dashed}")
    try:
        taken_up = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise UserError(f"{folder}: cannot be a folder ({error.strerror})") from error
    if taken_up:
        raise UserError(f"{folder}: is there already; name another folder with --to")
    words = {
        "fmtharness-sample": f"fmtharness-{dashed}",
        "fmtharness_sample": f"fmtharness_{plain}",
        "test_sample": f"test_{plain}",
        "Sample": "".join(part.capitalize() for part in plain.split("_")),
        "sample": name,
    }
    template = TEMPLATES / what
    written = []
    for source in sorted(path for path in template.rglob("*") if _belongs(path)):
        target = folder / _renamed(str(source.relative_to(template)), words)
        text = _renamed(source.read_text(encoding="utf-8"), words)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{target}: cannot be written ({error.strerror})") from error
        written.append(target)
    return written


def _plain(name: str) -> str:
    return re.sub(r"[.-]", "_", name)


def _belongs(path: Path) -> bool:
    """Whether it is a file of the template, not one left by a tool that ran there."""
    parts = path.relative_to(TEMPLATES).parts
    return path.is_file() and not any(part.startswith((".", "__pycache__")) for part in parts)


def _renamed(text: str, words: dict[str, str]) -> str:
    return re.sub("|".join(words), lambda found: words[found[0]], text)
