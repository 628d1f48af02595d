"""Breaks single values and keys of valid YAML, in block style or in brackets.

CORRUPTIONS["tag"]("a: Oslo\\n", Random(0))    -> "a: !!str Oslo\\n"
CORRUPTIONS["bad_escape"]("a: 1\\n", Random(0)) -> None: nothing to break that way
"""

from __future__ import annotations

from random import Random
from typing import Final

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.yaml.members import Member, is_words, line, one, replaced
from fmtharness.evaluators.yaml.scalars import Unclear, plain
from fmtharness.harness.contracts import Corruption

_OTHER_LITERALS: Final = {
    "true": ("True", "yes", "TRUE", "on", "Yes", "y"),
    "false": ("False", "no", "FALSE", "off", "No", "n"),
    "null": ("Null", "~", "NULL"),
}
_OTHER_WORDS: Final = ("yes", "No", "12:30", "2024-05-01", "0x1F", "1_000", "~", "007", "1e5", ".5")
_CONTROLS: Final = "\x00\x01\x07\x08\x0b\x0c\x1b\x1f\x7f\x85\x9d\u2028\u2029\ufeff"
_ESCAPES: Final = ("\\d", "\\'", "\\$", "\\(", "\\w", "\\.", "\\-", "\\u12", "\\x4", "\\s+", "\\:")


def _unquoted_colon(text: str, rng: Random) -> str | None:
    def fits(member: Member) -> bool:
        starts = member.value[:1].isalpha() and "\n" not in member.value
        return (
            member.style != "" and member.keyed and not member.flow and starts
            and bool(re.search(r"\w: \w", member.value)) and " #" not in member.value
        )  # fmt: skip

    quoted = one(rng, text, fits)
    if quoted:
        return replaced(text, quoted, quoted.value)
    member = one(rng, text, lambda member: is_words(member) and (member.keyed or member.flow))
    made = rng.choice(["Note", "Re", "Part2", "PS"]) + ": "
    return replaced(text, member, made + member.value) if member else None


def _unquoted_special(text: str, rng: Random) -> str | None:
    member = one(rng, text, is_words)
    if not member:
        return None
    ways = ["`{}`", "@{}", "%{}", "`{}` and more"]
    if not member.flow:
        ways += ["[{}] x", "{{{}}} x", "> {}", "| {}", ", {}"]
    return replaced(text, member, rng.choice(ways).format(member.value))


def _anchor_or_alias(text: str, rng: Random) -> str | None:
    member = one(rng, text, is_words)
    ways = ["**{}**", "*{}*", "&{}", "&id001 {}", "& {}", "* {}"]
    if not member:
        return None
    return replaced(text, member, rng.choice([*ways, "*id001"]).format(member.value))


def _unescaped_quote(text: str, rng: Random) -> str | None:
    member = one(rng, text, is_words)
    ways = ['"{}" hotel', "'it's {}'", '"the "{}" one"', "'{}' s", '"{}" (new)', "'{}'s room'"]
    return replaced(text, member, rng.choice(ways).format(member.value)) if member else None


def _ambiguous_scalar(text: str, rng: Random) -> str | None:
    def fits(member: Member) -> bool:
        if member.style:
            meant = plain(member.value)
            return isinstance(meant, Unclear) and meant.label == "ambiguous_scalar"
        return member.value in _OTHER_LITERALS

    member = one(rng, text, fits)
    if member:
        bare = member.value if member.style else rng.choice(_OTHER_LITERALS[member.value])
        return replaced(text, member, bare)
    member = one(rng, text, lambda member: not member.style)
    return replaced(text, member, rng.choice(_OTHER_WORDS)) if member else None


def _nan_or_infinity(text: str, rng: Random) -> str | None:
    member = one(rng, text, lambda m: not m.style and isinstance(plain(m.value), int | float))
    member = member or one(rng, text, lambda member: not member.style)
    new = rng.choice([".nan", ".NaN", ".inf", "-.inf", "+.Inf", "1.0e+999", "-2.5e+400"])
    return replaced(text, member, new) if member else None


def _bad_escape(text: str, rng: Random) -> str | None:
    escape = rng.choice(_ESCAPES)
    member = one(rng, text, lambda m: m.style == '"' and "\\" not in text[m.start : m.end])
    if member and member.end - member.start > 2:
        at = rng.randrange(member.start + 1, member.end - 1)
        return text[:at] + escape + text[at:]
    member = one(rng, text, is_words)
    made = rng.choice(['"{}%s"', '"%s{}"', '"{}%s and more"']) % escape
    return replaced(text, member, made.format(member.value)) if member else None


def _tag(text: str, rng: Random) -> str | None:
    kind = rng.choice(["!!str", "!!int", "!Ref", "!include", "!", "!!python/tuple", "!<tag:x.y>"])
    member = one(rng, text, lambda member: True)
    if not member:
        return None
    return text[: member.start] + kind + " " + text[member.start :]


def _raw(text: str, rng: Random, chars: str) -> str | None:
    """A raw character inside a value."""

    def fits(member: Member) -> bool:
        written = text[member.start : member.end]
        quoted = member.style != "" and "\\" not in written and "''" not in written[1:-1]
        return quoted or is_words(member)

    member = one(rng, text, fits)
    if not member:
        return None
    at = rng.randrange(member.start + 1, max(member.start + 2, member.end))
    return text[:at] + rng.choice(chars) + text[at:]


def _control_character(text: str, rng: Random) -> str | None:
    return _raw(text, rng, _CONTROLS)


def _lone_surrogate(text: str, rng: Random) -> str | None:
    return _raw(text, rng, "\ud83d\ude00\udfff")


def _missing_value(text: str, rng: Random) -> str | None:
    member = one(rng, text, lambda member: member.keyed)
    if not member:
        return None
    before = text[: member.start] if member.flow else text[: member.start].rstrip(" ")
    return before + text[member.end :]


def _complex_key(text: str, rng: Random) -> str | None:
    member = one(rng, text, lambda member: member.keyed)
    if not member:
        return None
    behind = text[member.key : member.start]
    name = behind.rstrip().removesuffix(":").rstrip()
    ways = ["12", "2024", "true", "null", "3.5", "[a, b]"]
    if not member.flow and "\n" not in behind:
        column = member.key - line(text, member)[0]
        ways += [f"? {name}\n{' ' * column}", ""]
    new = rng.choice(ways)
    return text[: member.key] + new + ": " + text[member.start :]


def _merge_key(text: str, rng: Random) -> str | None:
    member = one(rng, text, lambda member: member.keyed)
    if not member:
        return None
    if member.flow or rng.random() < 0.5:
        return text[: member.key] + "<<: " + text[member.start :]
    end = line(text, member)[1]
    column = member.key - line(text, member)[0]
    merged = rng.choice(["{a: 1}", "base", "[base, more]"])
    return f"{text[:end]}\n{' ' * column}<<: {merged}{text[end:]}"


CORRUPTIONS: Final[dict[str, Corruption]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _unquoted_colon,
        _unquoted_special,
        _unescaped_quote,
        _ambiguous_scalar,
        _nan_or_infinity,
        _bad_escape,
        _anchor_or_alias,
        _tag,
        _control_character,
        _lone_surrogate,
        _missing_value,
        _complex_key,
        _merge_key,
    )
}
