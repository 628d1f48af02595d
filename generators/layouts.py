"""How the answer is laid out, where the request says so: on one line, minified or indented.

    ask_for_layout(context, JsonFormat(), draft)  ->  JsonFormat(layout="indented")
    and the prompt ends with "Indent it by two spaces."

Only open Drafts ask for a layout, and only of a Format that has an option `layout`.
"""

from __future__ import annotations

from typing import Any

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.harness.contracts import Format

SHARES = {"": 0.68, "line": 0.08, "compact": 0.09, "indented": 0.15}
"""How often an open request asks for a layout."""
ASK: dict[str, Wording] = {
    "line": {
        "train": (
            "All of it on one line.",
            "Put everything on a single line.",
            "one line only, no line breaks",
            "No line breaks anywhere, please.",
            "My tool reads one line, so keep it on one.",
        ),
        "dev": ("It must not be longer than one line.", "Everything in a single row of text."),
        "eval": ("Don't break the line.", "The whole answer goes on one line.", "1 line!"),
    },
    "compact": {
        "train": (
            "Minified.",
            "Minify it.",
            "As compact as possible: no blanks between the parts.",
            "no spaces after commas or colons",
            "Compact, without any whitespace that isn't needed.",
        ),
        "dev": ("Leave out all optional white space.", "In minified form, please."),
        "eval": (
            "Please strip every unnecessary space.",
            "Use the minified notation.",
            "Save bytes: no spaces between tokens.",
        ),
    },
    "indented": {
        "train": (
            "Indent it by two spaces.",
            "Pretty-print it.",
            "indented with 2 spaces pls",
            "I want to read it, so indent it by 2 and use line breaks.",
            "Nicely indented, two blanks a level.",
            "Each key on its own line, with an indentation of two.",
        ),
        "dev": ("Lay it out over several lines, two spaces deep.", "Print it prettily, indent 2."),
        "eval": (
            "Formatted with an indent of 2, please.",
            "Use indentation (two spaces per level).",
            "Break the lines and indent by two.",
        ),
    },
}


def ask_for_layout(context: Context, target: Format, draft: Draft) -> Format:
    """Now and then ask for a layout; returns the Format that writes so."""
    known: Any = target
    options = type(known).model_fields.keys() - known.model_fields_set
    if not draft.open or "layout" not in options:
        return target
    layout = context.dice.weighted(SHARES)
    if not layout:
        return target
    draft.tail.append(context.say(ASK[layout]))
    laid_out: Format = known.model_copy(update={"layout": layout})
    return laid_out
