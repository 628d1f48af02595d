"""Who asks: the same wording in lower case, in capitals, or without its full stop.

    say(context, "lower", {"train": ("Write {text}.",), ...}, text="a riddle")  ->  "write a riddle"

Keys, examples and plans keep their letters in any voice.
"""

from __future__ import annotations

from collections.abc import Sequence

from fmtharness.generators.context import Context, Wording, template_id
from fmtharness.generators.dice import Dice

VOICES = {"plain": 0.7, "lower": 0.22, "upper": 0.08}
AS_IT_IS = frozenset({"keys", "key", "plan", "example", "word", "schema"})
"""Fields that no voice may change."""


def draw_voice(dice: Dice) -> str:
    """One of `VOICES` by its weight."""
    return dice.weighted(VOICES)


def say(context: Context, voice: str, wording: Wording, **fields: object) -> str:
    """One of the split's wordings with its fields filled in, in this voice; notes which."""
    template: str = context.dice.choice(wording[context.split])
    context.templates.append(template_id(template))
    if voice == "lower":
        template = template.lower().rstrip(".")
    elif voice == "upper":
        template = template.upper()
        fields = {
            name.upper(): value if name in AS_IT_IS else str(value).upper()
            for name, value in fields.items()
        }
    return template.format(**fields).replace("\n.", "\n").rstrip()


def listed(dice: Dice, names: Sequence[str]) -> str:
    """Names as people list them: `a, b, c`, `"a", "b" and "c"`, a line for each."""
    style = dice.choice(("plain", "plain", "and", "quotes", "ticks", "lines", "slashes"))
    if style == "quotes":
        names = [f'"{name}"' for name in names]
    elif style == "ticks":
        names = [f"`{name}`" for name in names]
    if style == "lines":
        return "".join(f"\n- {name}" for name in names) + "\n"
    if style == "slashes":
        return " / ".join(names)
    if style in ("and", "quotes") and len(names) > 1:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return ", ".join(names)
