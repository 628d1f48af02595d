r"""What is wrong with a target as text, whatever its format.

[*faults('{"a": "Caf\u00c3\u00a9"}', "Where is the Café?", "json", ())]
-> [("damaged_text", 10, 12, "'Ã©' is what UTF-8 makes of a letter if it is read as Latin-1")]

What the prompt holds, too, may be copied from there and is no fault.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

Fault = tuple[str, int, int, str]
"""A check, the span, and a message."""

MARKERS: Final = (
    "<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>",
    "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>", "<|end_of_text|>",
    "<|python_tag|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|return|>",
    "<|call|>", "<|start|>", "<|message|>", "<|channel|>", "<|eot|>", "<|header_start|>",
    "<|header_end|>", "<|endofprompt|>", "<|END_OF_TURN_TOKEN|>", "<|START_OF_TURN_TOKEN|>",
    "<|CHATBOT_TOKEN|>", "<|USER_TOKEN|>", "<|end_of_role|>", "<|start_of_role|>",
    "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>",
    "<start_of_turn>", "<end_of_turn>", "<turn|>", "<|turn>", "<bos>", "<eos>", "<pad>", "<unk>",
    "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]",
    "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "</s>", "<think>", "</think>", "<|endofturn|>",
    "[gMASK]", "<sop>", "<extra_id_0>", "<reserved_special_token_0>",
)  # fmt: skip
"""Stop tokens and turn markers of the templates in use."""
TURNS: Final = re.compile(
    r"<\|im_start\|>\s*\w|<\|start_header_id\|>|<start_of_turn>|\[/INST\]|<\|turn>\w|"
    r"<｜Assistant｜>|<\|START_OF_TURN_TOKEN\|>|<\|assistant\|>|<\|start_of_role\|>"
)
"""What opens a turn: a prompt that holds it has already gone through a template."""
UNFILLED: Final = re.compile(
    r"(?<!\$)\{\{-?\s*[A-Za-z_][\w.]*\s*(?:\|[^{}]{0,40})?-?\}\}|\{%-?\s*\w+"
)
_DAMAGED: Final = re.compile(
    "\ufffd|[ÃÂ][\u0080-\u00bf]|â€[\u0080-\u00bf™œ\u0153\u2122\u02dc\u201c\u201d\u00a6]|"
    "ï»¿|Ð[\u0080-\u00bf°-¿]Ñ|ðŸ[\u0080-\u00bf˜™]"
)
_INVISIBLE: Final = re.compile(
    "[\u200b\u2060\ufeff\u00ad\u202a-\u202e\u2066-\u2069\x7f-\x84\x86-\x9f]"
)
_LOOKALIKE: Final = re.compile(
    "(?<![^\\W_])[A-Za-z]*(?:[A-Za-z][\u0400-\u04ff]|[\u0400-\u04ff][A-Za-z])[A-Za-z\u0400-\u04ff]*"
)
_ENTITY: Final = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,5}|#x[0-9a-fA-F]{2,4});|<br ?/?>")
_STANDS_FOR: Final = (
    r"(?P<it>TODO|FIXME|TBD|XXXX+|\.\.\.|…|[Ll]orem ipsum[^\"'\n]*|"
    r"<(?:your|insert|enter|placeholder|value|name here)\b[^>\n]{0,40}>|"
    r"\[(?:your|insert|enter|placeholder)\b[^\]\n]{0,40}\]|your[_ -]\w+[_ -]here)"
)
_IN_JSON: Final = re.compile(rf'"\s*{_STANDS_FOR}\s*"')
_IN_CSV: Final = re.compile(rf'(?:^|[,;\t])[ "]*{_STANDS_FOR}[ "]*(?:$|[,;\t\r])', re.MULTILINE)
_ELSEWHERE: Final = re.compile(
    rf"(?:^|[>|]|[:=-][ \t])[ \t]*(?P<quote>[\"']?)[ \t]*{_STANDS_FOR}[ \t]*(?P=quote)[ \t]*"
    r"(?:$|[<|\r])",
    re.MULTILINE,
)
"""A placeholder that is a whole value; an ellipsis within prose does not count."""
_PLACEHOLDERS: Final = {
    **dict.fromkeys(("json", "jsonl", "json_array", "tool_call"), _IN_JSON),
    "csv": _IN_CSV,
}
_REFUSAL: Final = re.compile(
    r"\bas an? (?:AI|artificial intelligence)(?: language)? model\b"
    r"|\bas an? (?:AI|artificial intelligence)(?: assistant)?,? I\b"
    r"|\bas a (?:large )?language model\b"
    r"|\A\s*I(?:'|’)?m sorry, (?:but )?I (?:can(?:'|’)?t|cannot|am unable)\b"
    r"|\bI (?:cannot|can(?:'|’)?t) (?:assist|help) with (?:that|this)\b",
    re.IGNORECASE,
)
_DIGITS: Final = re.compile(r"(?<![\w.])-?\d+\.\d*(?:0{8,}|9{8,})\d{0,3}(?!\d)")
_TAG: Final = re.compile(r"</[a-zA-Z]\w{0,12}>")
_OF_MARKUP: Final = re.compile(r"html|xml|markup|escape|web ?page", re.IGNORECASE)
_OF_TEMPLATES: Final = re.compile(
    r"template|jinja|ansible|helm\b|handlebars|mustache|liquid|placeholder|playbook|github action",
    re.IGNORECASE,
)
_TO_DO: Final = re.compile(r"\bto[ -]?do\b|fix ?me|kanban|backlog", re.IGNORECASE)
"""What a prompt that asks for such a text says."""
_ANY_ASCII: Final = (
    "{{", "{%", "&", "<br", "TODO", "FIXME", "TBD", "XXXX", "...", "orem ipsum", "<", "[your",
    "[insert", "[enter", "[placeholder", "your_", "your-", "your ", "anguage model", "orry",
    "annot ", "an't", "s an AI", "s an art", "s a AI", "00000000", "99999999", "\x7f",
)  # fmt: skip
"""Strings of which each check on ASCII needs one; most targets hold none."""
_MEANS: Final = {
    "damaged_text": "{0!r} is what a wrong decoding leaves",
    "invisible_characters": "{1} is not visible",
    "lookalike_letters": "{0!r} has Latin and Cyrillic letters in one word",
    "html_entities": "{0!r} is HTML's writing of a character",
    "unfilled_template": "{0!r} was not filled in",
    "placeholder_value": "{0!r} stands for a value",
    "refusal": "{0!r} is no answer",
    "float_digits": "{0} comes from a rounding error",
}


@functools.cache
def markers(more: tuple[str, ...] = ()) -> re.Pattern[str]:
    """The markers, and those of a tokenizer, as a pattern."""
    known = sorted({*MARKERS, *(each for each in more if len(each) > 2)}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, known)))


def faults(target: str, prompt: str, form: str, more: tuple[str, ...]) -> Iterator[Fault]:
    """What is wrong with the target, one fault of each kind; `more` are a tokenizer's markers."""
    if ("<" in target or "[" in target or more) and (found := _marker(target, prompt, more)):
        yield "template_markers", *found.span(), f"{found[0]} is a marker of a chat template"
    plain = target.isascii()
    if not plain:
        yield from _first("damaged_text", _DAMAGED, target, prompt)
        yield from _first("invisible_characters", _INVISIBLE, target, prompt)
        yield from _first("lookalike_letters", _LOOKALIKE, target, prompt)
    if plain and not any([word in target for word in _ANY_ASCII]):  # noqa: C419 - faster
        return
    if plain:
        yield from _first("invisible_characters", _INVISIBLE, target, prompt)
    if form not in ("xml", "html", "markdown_table") and not _TAG.search(target):
        yield from _first("html_entities", _ENTITY, target, prompt, _OF_MARKUP)
    yield from _first("unfilled_template", UNFILLED, target, prompt, _OF_TEMPLATES)
    stands_for = _PLACEHOLDERS.get(form, _ELSEWHERE)
    yield from _first("placeholder_value", stands_for, target, prompt)
    yield from _first("refusal", _REFUSAL, target, prompt)
    yield from _first("float_digits", _DIGITS, target, prompt)


def _marker(target: str, prompt: str, more: tuple[str, ...]) -> re.Match[str] | None:
    for found in markers(more).finditer(target):
        # <s>struck out</s> is markup, and no stop token.
        if found[0] == "</s>" and "<s>" in target[: found.start()]:
            continue
        # A text about chat templates names their markers, and so does what it is asked for.
        if found[0] in more or found[0] not in prompt:
            return found
    return None


def _first(
    check: str,
    pattern: re.Pattern[str],
    target: str,
    prompt: str,
    asked: re.Pattern[str] | None = None,
) -> Iterator[Fault]:
    for found in pattern.finditer(target):
        group = "it" if "it" in pattern.groupindex else 0
        if found[group] not in prompt:
            if asked and asked.search(prompt):
                return
            if found[group] in ("TODO", "FIXME") and _TO_DO.search(prompt):
                continue
            what = found[group]
            means = _MEANS[check].format(what[:60], f"U+{ord(what[0]):04X}")
            yield check, *found.span(group), means
            return


# The first letter of each range, and its script; signs and digits belong to none.
_RANGES: Final = (
    (0, ""), (0x41, "Latin"), (0x5B, ""), (0x61, "Latin"), (0x7B, ""), (0xC0, "Latin"),
    (0x2B0, ""), (0x370, "Greek"), (0x400, "Cyrillic"), (0x530, "Armenian"), (0x590, "Hebrew"),
    (0x600, "Arabic"), (0x700, ""), (0x900, "Devanagari"), (0x980, "Bengali"), (0xA00, "Indic"),
    (0xE00, "Thai"), (0xE80, ""), (0x10A0, "Georgian"), (0x1100, "Hangul"), (0x1200, "Ethiopic"),
    (0x1380, ""), (0x1E00, "Latin"), (0x1F00, "Greek"), (0x2000, ""), (0x3040, "Kana"),
    (0x3100, ""), (0x3400, "Han"), (0xA000, ""), (0xAC00, "Hangul"), (0xD7B0, ""),
    (0xF900, "Han"), (0xFB00, ""),
)  # fmt: skip
_STARTS: Final = [start for start, _ in _RANGES]
SCRIPTS: Final = tuple(dict.fromkeys(name for _, name in _RANGES if name))
_BITS: Final = [1 << SCRIPTS.index(name) if name else 0 for _, name in _RANGES]
_LETTER: Final = re.compile("[A-Za-z]")
_BEYOND: Final = re.compile("[^\x00-\x7f]")
MOST_LETTERS: Final = 400


def scripts(text: str) -> int:
    """Which scripts' letters it has, as bits in the order of SCRIPTS."""
    found = 1 if _LETTER.search(text) else 0
    if text.isascii():
        return found
    for char in set(_BEYOND.findall(text[:20_000])):
        found |= _BITS[bisect_right(_STARTS, ord(char)) - 1]
    return found
