"""Breaks valid YAML the way models break it; each way is named by the label it is judged with.

    CORRUPTIONS["tab_indent"]("a:\\n  b: 1\\n", Random(0)) -> "a:\\n\\tb: 1\\n"
    CORRUPTIONS["unclosed_quote"]("a: 1\\n", Random(0))   -> None: nothing to break that way

The text may be in block style, as `YamlFormat.render` writes it, or in brackets.
"""

from __future__ import annotations

from random import Random
from typing import Final

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.yaml.members import Member, flows, is_words, line, one, replaced
from fmtharness.evaluators.yaml.scalar_corruptions import CORRUPTIONS as OF_SCALARS
from fmtharness.harness.contracts import Corruption
from fmtharness.harness.surroundings import CORRUPTIONS as AROUND


def _truncated(text: str, rng: Random) -> str | None:
    spans = [(member.start, member.end)] if (member := one(rng, text, lambda m: m.style)) else []
    if collections := flows(text):
        spans.append(rng.choice(collections))
    if not spans:
        return None
    start, end = rng.choice(spans)
    return text[: rng.randrange(start + 1, end)]


def _unclosed_quote(text: str, rng: Random) -> str | None:
    last = text.rstrip().rfind("\n")
    member = one(rng, text, lambda m: m.style and m.end < last and not m.flow)
    return text[: member.end - 1] + text[member.end :] if member else None


def _duplicate_key(text: str, rng: Random) -> str | None:
    member = one(rng, text, lambda member: member.keyed)
    if not member:
        return None
    again = text[member.key : member.end]
    if member.flow:
        return text[: member.end] + ", " + again + text[member.end :]
    start, end = line(text, member)
    if rng.random() < 0.3:
        again = text[member.key : member.start] + rng.choice(["other", "1", '"x"', "[]"])
    return text[:end] + "\n" + " " * (member.key - start) + again + text[end:]


def _tab_indent(text: str, rng: Random) -> str | None:
    indents = [match.span(1) for match in re.finditer(r"^( +)\S", text, re.MULTILINE)]
    if indents and rng.random() < 0.3:
        return re.sub(r"^ +", lambda m: "\t" * ((len(m[0]) + 1) // 2), text, flags=re.MULTILINE)
    if indents:
        start, end = rng.choice(indents)
    else:
        member = one(rng, text, lambda member: member.keyed and text[member.start - 1] == " ")
        if not member:
            return None
        start, end = member.start - 1, member.start
    return text[:start] + "\t" + text[end:]


def _bad_indentation(text: str, rng: Random) -> str | None:
    member = one(rng, text, lambda m: m.keyed and m.key > 0 and not m.flow)
    if not member:
        return None
    start = line(text, member)[0]
    if text[start] == " " and text[start : member.key].isspace() and rng.random() < 0.3:
        return text[:start] + text[start + 1 :]
    return text[:start] + " " * rng.choice([1, 1, 1, 3]) + text[start:]


def _missing_colon(text: str, rng: Random) -> str | None:
    last = text.rstrip().rfind("\n")

    def fits(member: Member) -> bool:
        # Behind a dash, the next key would be the badly indented one.
        inside = member.key > 0 and member.end < last and text[member.key - 2] != "-"
        return member.keyed and not member.flow and inside

    member = one(rng, text, fits)
    if not member:
        return None
    key = text[member.key : member.start].rstrip(": ")
    between = rng.choice([" ", " ", " = ", " - "])
    if is_words(member) and key[0] not in "\"'":
        between = rng.choice([between, ":"])
    return text[: member.key] + key + between + text[member.start :]


def _misplaced_item(text: str, rng: Random) -> str | None:
    member = one(rng, text, lambda member: member.keyed and not member.flow)
    if not member:
        return None
    start, end = line(text, member)
    if rng.random() < 0.5 or "\n" in text[member.key : member.end]:
        return text[: member.start] + "- " + text[member.start :]
    item = rng.choice(["- more", "- 1", "- name: more"])
    return f"{text[:end]}\n{' ' * (member.key - start)}{item}{text[end:]}"


def _brackets(text: str, rng: Random) -> tuple[str, int, int] | None:
    """The text with a collection in brackets, made of a value if it has none, and its span."""
    if found := flows(text):
        return text, *rng.choice(found)
    member = one(rng, text, is_words)
    if not member:
        return None
    words = member.value.split()
    made = rng.choice(
        [
            "[" + ", ".join(f'"{word}"' for word in (*words, "more")) + "]",
            f'{{"name": "{words[0]}", "kind": "more"}}',
            f'{{name: "{words[0]}", kind: "{words[-1]}"}}',
        ]
    )
    return replaced(text, member, made), member.start, member.start + len(made)


def _mismatched_bracket(text: str, rng: Random) -> str | None:
    found = _brackets(text, rng)
    if not found:
        return None
    whole, _, end = found
    other = "}" if whole[end - 1] == "]" else "]"
    return whole[: end - 1] + other + whole[end:]


def _commas(text: str, start: int, end: int) -> list[int]:
    """Where commas stand between two quoted, numeric or bracketed members."""
    scalars = re.finditer(r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(,)""", text[start:end])
    return [start + match.start(1) for match in scalars if match[1]]


def _extra_comma(text: str, rng: Random) -> str | None:
    found = _brackets(text, rng)
    if not found:
        return None
    whole, start, end = found
    places = [*_commas(whole, start, end), start + 1]
    at = rng.choice(places)
    return whole[:at] + rng.choice([",", ", "]) + whole[at:]


def _missing_comma(text: str, rng: Random) -> str | None:
    found = _brackets(text, rng)
    if not found:
        return None
    whole, start, end = found
    # Without the comma, an unquoted text would go on.
    places = [
        at
        for at in _commas(whole, start, end)
        if whole[:at].rstrip()[-1] in "\"'" and whole[at + 1 :].lstrip()[:1] in "\"'"
    ]
    if not places:
        return None
    at = rng.choice(places)
    return whole[:at] + rng.choice([" ", ""]) + whole[at + 1 :]


def too_deep(max_depth: int) -> Corruption:
    """A way to put a value into more brackets than may be open."""

    def corrupt(text: str, rng: Random) -> str | None:
        member = one(rng, text, lambda member: True)
        if not member:
            return None
        start, end = rng.choice([("[", "]"), ("{a: ", "}"), ("[", "]")])
        deep = max_depth + rng.randint(1, 3)
        return replaced(text, member, start * deep + text[member.start : member.end] + end * deep)

    return corrupt


def _multiple_roots(text: str, rng: Random) -> str:
    between = rng.choice(["\n---\n", "\n---\n\n", "\n...\n---\n", "\n\n---\n"])
    return text.removesuffix("\n") + between + text


def _comment(text: str, rng: Random) -> str | None:
    member = one(rng, text, lambda member: True)
    if not member:
        return None
    start, end = line(text, member)
    note = rng.choice(["# note", "# from the text", "#todo", "## Data", "# a: 1"])
    if not member.flow and rng.random() < 0.3:
        margin = re.match(" *", text[start:])
        return f"{text[:start]}{margin[0] if margin else ''}{note}\n{text[start:]}"
    return text[:end] + rng.choice(["  ", " "]) + note + text[end:]


def _directive(text: str, rng: Random) -> str:
    start = rng.choice(["%YAML 1.2", "%YAML 1.1", "%TAG ! tag:x.org,2000:", "%YAML 1.2 "])
    return f"{start}\n---\n{text.removeprefix('---').lstrip()}"


def _no_value(text: str, rng: Random) -> str:
    return rng.choice(
        ["I'm sorry, but I can't help with that.", "There is not enough information to answer."]
    )


def wrong_root(text: str, rng: Random) -> str | None:
    """A list of one mapping, or a mapping that holds the list."""
    if text.startswith(("- ", "[")):
        return "items:\n" + re.sub("^", "  ", text, flags=re.MULTILINE)
    if re.search(r"[|>][-+0-9]*$", text, re.MULTILINE) or text.startswith("---"):
        return None
    lines = text.rstrip("\n").split("\n")
    return "- " + "\n  ".join(lines) + "\n"


CORRUPTIONS: Final[dict[str, Corruption]] = {
    **AROUND,
    **OF_SCALARS,
    **{
        function.__name__.removeprefix("_"): function
        for function in (
            _no_value,
            _truncated,
            _unclosed_quote,
            _duplicate_key,
            _tab_indent,
            _bad_indentation,
            _missing_colon,
            _misplaced_item,
            _mismatched_bracket,
            _missing_comma,
            _extra_comma,
            _multiple_roots,
            _comment,
            _directive,
        )
    },
}
