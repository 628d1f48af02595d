"""How exacting the request is: three levels of strictness, and a final sentence if one is needed.

    easy    "Use JSON."
    medium  "Answer with one JSON object and nothing else. Only these keys."
    hard    "... Exactly these keys in this order, null where there is no value. No prose, ..."

The Format's own `instruction` is part of medium and hard. It belongs to the format and is therefore
the same for all splits.
"""

from __future__ import annotations

from fmtharness.generators.context import Context, Draft, Strictness, Wording
from fmtharness.harness.contracts import Format
from fmtharness.harness.formats import with_article

DEMANDS: dict[Strictness, Wording] = {
    "easy": {
        "train": (
            "Use {format}.",
            "Write it as {format}.",
            "Give me {format}.",
            "Format: {format}.",
            "{format}, please.",
        ),
        "dev": ("Reply using {format}.", "I expect {format} back.", "Produce {format}."),
        "eval": (
            "Answer in {format}.",
            "I'd like {format}.",
            "Return {format}.",
            "The reply should be {format}.",
            "Respond with {format}.",
        ),
    },
    "medium": {
        "train": (
            "{instruction} Only these keys.",
            "{instruction} No extra keys; numbers stay numbers.",
            "{instruction} Copy the values, add no keys.",
            "{instruction} Keep each value's type.",
        ),
        "dev": (
            "{instruction} Those keys and no others.",
            "{instruction} Every value as given, none of another type.",
            "{instruction} Take over all values unchanged, without new keys.",
        ),
        "eval": (
            "{instruction} Nothing beyond those keys.",
            "{instruction} Do not invent keys; types as they are.",
            "{instruction} Values exactly as written, same types.",
        ),
    },
    "hard": {
        "train": (
            "{instruction} Exactly these keys in this order{null}. No prose, no code fence.",
            "{instruction} Keep to the keys and their order{null}. Start with the first character "
            "of the {format}, stop after its last.",
            "{instruction} No greeting, no explanation, no fence. Keys in the order given{null}.",
        ),
        "dev": (
            "{instruction} All of the keys, in the sequence given{null}. Leave out "
            "introductions and backticks.",
            "{instruction} Begin and end with the {format} itself; the keys as they are "
            "ordered here{null}.",
            "{instruction} A script reads your reply: no comment, no fence, the keys in "
            "their order{null}.",
        ),
        "eval": (
            "{instruction} Every key, in the order listed{null}. Not a word before or after it.",
            "{instruction} Write {format} alone, unfenced, uncommented; same key order{null}.",
            "{instruction} The output is parsed by a strict program: keys as ordered{null}, "
            "no markdown, no remarks.",
        ),
    },
}
OPEN: Wording = {
    "train": (
        "{Format} only.",
        "Answer in {format}, nothing else.",
        "only {format} pls, no text around it",
        "I need pure {format}.",
        "Reply with {format} and nothing but {format}.",
        "No chatter: just the {format}.",
        "{format}!! no intro, no outro",
        "Your reply is read by a program that knows {format} alone.",
        "Format: {format}. No explanations.",
        "Please give me the {format} without a code fence.",
        "the answer has to be {format}, my script chokes on anything else",
        "Output {format} only; don't say hello, don't say goodbye.",
        "Send nothing that isn't {format}.",
        "Be as chatty as you like in your head, but send only {format}.",
        "Backticks wouldn't hurt me, but the importer wants bare {format}.",
        "You may think it over; what you write must be {format} from start to end.",
        "{instruction}",
        "{instruction} Thank you!",
        "{instruction} No markdown.",
        "{instruction} I'll parse it right away.",
        "{instruction} Escape what needs to be escaped.",
        "{instruction} Close everything that you open, and use each key once.",
        "RETURN {format} ONLY.",
        "It goes into a file ending with {format}'s extension, so nothing may stand around it.",
        "Valid {format}, please, no comments in it.",
        "I would be grateful for {format} by itself, without a single word before it.",
        "Don't explain. {format}.",
        "just {format} ok?",
    ),
    "dev": (
        "Let the {format} stand alone.",
        "Whatever you would like to add, leave it out: {format} is all I can use.",
        "{instruction} Neither heading nor farewell.",
        "{instruction} It is loaded as it is.",
        "as {format}, with nothing added",
        "The only thing I accept is {format}.",
        "Give {format} in its raw form.",
        "A machine is the reader, so {format} without wrapping.",
    ),
    "eval": (
        "Pure {format}, without any wrapper.",
        "Respond with {format} and stop there.",
        "{instruction} The parser is unforgiving.",
        "{instruction} Skip pleasantries.",
        "{instruction} No fences, no preamble.",
        "raw {format} ... i feed it to a parser",
        "Everything outside the {format} gets lost, so don't write it.",
        "The entire reply should parse as {format}.",
        "I don't need comments, I need {format}.",
        "Say it in {format}, full stop.",
    ),
}
"""Demands of open requests, the same at every strictness."""
BOUND: Wording = {
    "train": ("{instruction}", "{instruction} Thank you."),
    "dev": ("Note: {instruction}", "{instruction} Nothing further is needed."),
    "eval": ("Please: {instruction}", "{instruction} That is all I need."),
}
NULL: Wording = {
    "train": (", null where there is no value", ", null if it is missing"),
    "dev": (", and null where the source is silent", ", writing null for what is not told"),
    "eval": (", with null for anything absent", ", unknown values being null"),
}
PRIORITY: Wording = {
    "train": (
        "Whatever else is said: only the {format}.",
        "The format comes first: reply with {format} alone.",
        "Still, your whole reply must be the {format}.",
        "Even so, write just the {format}.",
    ),
    "dev": (
        "Despite all that, give the {format} only.",
        "Above all, the reply has to be the {format} by itself.",
        "If wishes collide, the {format} wins and stands alone.",
    ),
    "eval": (
        "In the end, output {format} and nothing more.",
        "Important: the {format} must be all you say.",
        "That said, nothing may surround the {format}.",
        "All other wishes yield to this: pure {format}.",
    ),
}


def demand(context: Context, target: Format, draft: Draft) -> None:
    """Say how the answer must look: in the system message, first, or last."""
    if draft.open or draft.free:
        _demand_openly(context, target, draft)
        return
    null = ""
    if context.strictness == "hard" and context.abilities.nulls:
        null = context.say(NULL)
    easy = context.strictness == "easy"
    # Options of this answer only, such as a pattern, stand in the instruction and nowhere else.
    wording = DEMANDS[context.strictness] if target == context.format or not easy else BOUND
    text = context.say(
        wording,
        format=with_article(context.format) if easy else context.format_name,
        instruction=target.instruction(draft.value),
        null=null,
    )
    _place(context, draft, text)


def _demand_openly(context: Context, target: Format, draft: Draft) -> None:
    """Ask for the Format in any voice; options of this answer only stand in its instruction."""
    wording = OPEN if target == context.format else BOUND
    name, instruction = context.format_name, target.instruction(draft.value)
    capital = name[0].upper() + name[1:]
    text = context.say(wording, format=name, Format=capital, instruction=instruction)
    _place(context, draft, text)


def _place(context: Context, draft: Draft, text: str) -> None:
    place = context.dice.choice(("system", "system", "system", "first", "last", "last"))
    if place == "system":
        draft.system = text
    elif place == "first":
        draft.lead.append(text)
    else:
        draft.tail.append(text)


def last_word(context: Context, draft: Draft) -> None:
    """If the prompt tempts the answer out of the format, say that the format goes first."""
    if draft.contradicted:
        draft.tail.append(context.say(PRIORITY, format=context.format_name))
