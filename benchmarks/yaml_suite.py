"""Judges the public YAML test suite by `yaml`: accepted with its value, refused, or rejected.

    python benchmarks/yaml_suite.py yaml-test-suite-data
    ->  tag     cases  alike  refused  rejected  unpaired  wrong ...

The folder is a checkout of the suite's branch `data`: a folder per case with in.yaml, in.json (the
value) and error (a file that marks an invalid text), and `tags`, which groups them. The judge takes
any root and comments. A text of several documents must be refused, whatever they hold. Exit code 1
where a text is accepted with another value or an invalid one is accepted, 2 where there are no
cases.
The suite is not part of this project: https://github.com/yaml/yaml-test-suite
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suites import ERROR, NOTHING, Case, exit_code, judged, told

from fmtharness.evaluators.yaml.format import YamlFormat

JUDGE = YamlFormat(root="any", comments=True)
_ID = re.compile(r"[0-9A-Z]{4}").fullmatch


def expected(folder: Path) -> Any:
    """The value of a case, NOTHING where JSON cannot hold it, or ERROR."""
    if (folder / "error").exists():
        return ERROR
    if not (folder / "in.json").exists():
        return NOTHING
    documents = list(_documents((folder / "in.json").read_text(encoding="utf-8")))
    return documents[0] if len(documents) == 1 else ERROR


def _documents(text: str) -> list[Any]:
    """The JSON values that stand one after the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while rest := re.compile(r"\s*(?=\S)").match(text, at):
        value, at = decoder.raw_decode(text, rest.end())
        found.append(value)
    return found


def tags_of(suite: Path) -> Mapping[str, list[str]]:
    """The tags of each case, by its id."""
    found: dict[str, list[str]] = {}
    for link in sorted(suite.glob("tags/*/*")):
        found.setdefault(link.name, []).append(link.parent.name)
    return found


def cases_of(suite: Path) -> list[Case]:
    """Every case of the suite, judged."""
    tags = tags_of(suite)
    folders = [path for path in suite.iterdir() if _ID(path.name)]
    texts = [path for folder in folders for path in folder.rglob("in.yaml")]
    return [
        judged(
            path.parent.relative_to(suite).as_posix(),
            tags.get(path.relative_to(suite).parts[0], ["no tag"]),
            # Bytes, since a carriage return is part of some texts.
            JUDGE.parse(path.read_bytes().decode()),
            expected(path.parent),
        )
        for path in sorted(texts)
    ]


def main() -> None:
    """Judge the checkout that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="a checkout of the suite's branch `data`")
    parser.add_argument("--show", action="store_true", help="also print what each case got")
    options = parser.parse_args()
    found = cases_of(options.folder) if options.folder.is_dir() else []
    if not found:
        parser.error(f"{options.folder} has no ????/in.yaml; name a checkout of the branch `data`")
    sys.stdout.write(told(found, "tag", shown=options.show) + "\n")
    sys.exit(exit_code(found))


if __name__ == "__main__":
    main()
