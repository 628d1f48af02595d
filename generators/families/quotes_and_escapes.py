r"""quotes_and_escapes: values with quotes, backslashes, line breaks, code, markup and JSON in them.

    Store this as data. Key for it: snippet, key for the language: lang.
    print("Hello, Ada!\n")
        ->  {"snippet": "print(\"Hello, Ada!\\n\")", "lang": "Python"}

A text stands in the prompt as it is and in the answer as the Format escapes it.
"""

from __future__ import annotations

import json
from typing import Any

from fmtharness.generators import pools
from fmtharness.generators.asking import joined, named, ordered, owned_keys, scalar, speak
from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.values import draw

TEXTS: dict[str, tuple[str, ...]] = {
    "speech": (
        '"Where is the {item}?" asked {first}. "In the {place}."',
        '{first} said "never again" and closed the {place}.',
        'The sign reads "No {item} beyond this point", which {first} calls "a bad joke".',
        "He shouted: \"{first}! Bring the '{quality}' one!\"",
        'They call it the "{brand}" {item}, {first} calls it "junk".',
        '"{city}?", "{city}!", "Oh."',
        'The 5" {item} doesn\'t fit, a 7" one would. - {first}',
        'Title: "The {quality} {item}" (working title: "{brand}")',
    ),
    "lines": (
        "{item}\n{quality} {item}\n{place}",
        "Dear {first},\n\nthe {item} has arrived.\n\nYours,\n{last}",
        "{first} {last}\n{number} {brand} Road\n{city}",
        "# {brand}\n\n- {item}\n- {quality}\n\n> kept in the {place}",
        "To do:\n\t1. find the {item}\n\t2. tell {first}\n\t3. lock the {place}",
        "A {item} sat by the {place},\nas {quality} as could be;\n"
        "{first} found it there in {city}\nand took it home for tea.",
        "line one: {item}\r\nline two: {place}",
    ),
    "tabs": (
        "{item}\t{number}\t{quality}",
        "name\tplace\n{first}\t{city}\n{last}\t{place}",
        "{brand}\t\t{item}\t-",
    ),
    "path": (
        "C:\\Users\\{first}\\Documents\\{item}.txt",
        "D:\\{brand}\\backup\\{number}\\{place}.zip",
        "\\\\{brand}-server\\{place}\\new\\{item}",
        "C:\\temp\\{item}\\table.csv",
        "%APPDATA%\\{brand}\\rules\\{quality}.ini",
        "..\\..\\{place}\\{item}.dll",
    ),
    "regex": (
        r"^{item}-\d{{3}}$",
        r"\b{first}\s+{last}\b",
        r"(?i){brand}\.(com|org)",
        r'"{item}"\s*:\s*"([^"\\]*)"',
        r"^\s*#\s*{place}\w*",
        r"{quality}\\{item}\.txt$",
        r"[^\s/\\]+/{place}/\d+",
    ),
    "Python": (
        'print("Hello, {first}!\\n")',
        'def {item}_size(path):\n    with open(path, "r") as file:\n        '
        'return len(file.read().split("\\n"))',
        "{item} = {{'name': \"{first}\", 'in': '{place}'}}",
        'if {item} != "":\n    raise ValueError(f"no {{{item}}} in {place}")',
        'text = """{first} said "{quality}"."""',
        're.sub(r"\\s+", " ", {item})',
    ),
    "JavaScript": (
        'console.log(`{item}: ${{{item}}}\\t"{quality}"`);',
        "const {item} = {{ \"{place}\": '{first}' }};",
        'document.querySelector("#{item}").innerHTML = "<b>{first}</b>";',
        'function {item}() {{\n  return "{quality}\\n";\n}}',
        "str.replace(/\\\\{place}/g, '\"')",
    ),
    "C": (
        'printf("%d {item}s\\n", {number});',
        '#include "{item}.h"\nint main(void) {{\n    puts("{first}\\t{place}");\n    return 0;\n}}',
        "char {item} = '\\\\'; /* {quality} */",
    ),
    "SQL": (
        "SELECT \"{item}\" FROM {place} WHERE name = '{first}';",
        "UPDATE {place}\nSET note = 'a \"{quality}\" one'\nWHERE id = {number};",
        "SELECT * FROM {item} WHERE path LIKE 'C:\\\\{brand}%' ESCAPE '!';",
    ),
    "Bash": (
        "echo \"{first}'s {item}\" | sed 's/\\t/ /g'",
        'for f in *.{item}; do\n  mv "$f" "{place}/$f"\ndone',
        'grep -E "^{item}\\\\." {place}.log && echo "\\"{quality}\\""',
        'export {item}_DIR="$HOME/{place}"',
    ),
    "Rust": (
        'fn main() {{\n    println!("{{}} in \\"{place}\\"", "{item}");\n}}',
        'let {item} = r#"a "{quality}" thing"#;',
    ),
    "Java": (
        'System.out.println("{first}: \\"{item}\\"");',
        'String {item} = "C:\\\\{brand}\\\\{place}";\nint n = {number};',
    ),
    "HTML": (
        '<a href="https://{brand}.example/{item}" class="{quality}">{first} &amp; {last}</a>',
        '<p id="{item}">\n  <b>{quality}</b><br/>\n  {city}\n</p>',
        "<img src='{item}.png' alt=\"{first}'s {place}\">",
        '<!-- {place} -->\n<li data-n="{number}">{item}</li>',
    ),
    "YAML": (
        "{item}:\n  owner: \"{first}\"\n  path: 'C:\\{place}'",
        '- {item}\n- "{quality}: yes"\n- {city}',
    ),
    "CSV": ('name,said\n{first},"a ""{quality}"" {item}"\n{last},no', '"{item}";"{place}, {city}"'),
    "LaTeX": (
        "\\section{{{brand}}}\n\\textbf{{{item}}} costs \\$ {number}",
        "\\frac{{{item}}}{{{place}}} \\neq \\alpha",
        "\\begin{{{item}}}\n  \\item ``{quality}'' \\\\\n\\end{{{item}}}",
    ),
}
"""Each holds a word of a pool that its split owns, so no two splits share a text."""
LANGUAGES = tuple(name for name in TEXTS if name[0].isupper())
KIND_NAMES: dict[str, Wording] = {
    "speech": {
        "train": ("a sentence with quotation marks", "something someone said"),
        "dev": ("a quotation",),
        "eval": ("a remark in quotes",),
    },
    "lines": {
        "train": ("a text of several lines", "a text with line breaks"),
        "dev": ("a few lines of text",),
        "eval": ("a multi-line text",),
    },
    "tabs": {
        "train": ("a text with tabs in it",),
        "dev": ("tab-separated words",),
        "eval": ("cells with tabs between",),
    },
    "path": {
        "train": ("a Windows path", "a file path with backslashes"),
        "dev": ("the path of a file",),
        "eval": ("a path from a Windows machine",),
    },
    "regex": {
        "train": ("a regular expression", "a regex"),
        "dev": ("a search pattern",),
        "eval": ("an expression for matching text",),
    },
    "data": {
        "train": ("a piece of data as text", "an inner document, as one string"),
        "dev": ("serialised data",),
        "eval": ("a payload in a string",),
    },
    "code": {
        "train": ("a bit of {language}", "some {language} code", "{language} source"),
        "dev": ("lines written in {language}",),
        "eval": ("an excerpt of {language}",),
    },
}
ASK: Wording = {
    "train": (
        "Below is {what}. Store it with {keys}.",
        "I have {what} here and want {keys}.",
        "{keys} for {what}, please.",
        "Wrap this up as a record: {what}. Keys: {keys}.",
        "Escape properly! {what}; fields {keys}.",
        "here's {what}, turn it into {keys}",
        "We archive snippets. This one is {what}. The record has {keys}.",
        "Please hand back {what}, unchanged, in a structure with {keys}.",
        "Serialize {what} ({keys}). Mind the quotes and backslashes.",
        "Every character counts, since a machine restores {what} from {keys}.",
        "Take {what} and give {keys}. Nothing in it may be tidied up.",
        "Last time the importer choked on {what}. Try again: {keys}.",
        "Test case for our parser: {what}. Expected fields: {keys}.",
        "Could you put {what} into {keys}? I never get the escaping right.",
        "Input: {what}. Output: {keys}. A code fence around it is fine with my boss but not with "
        "the parser, so leave it away.",
        "DON'T CHANGE A LETTER: {what} -> {keys}",
        "Do not run, explain or translate it; {what} only has to be stored, with {keys}.",
    ),
    "dev": (
        "Keep {what} as {keys}.",
        "The following is {what}. Make a record of {keys}.",
        "encode {what}, the keys are {keys}",
        "It's {what} that our store needs, as {keys}.",
        "Without altering it, pack {what} into {keys}.",
    ),
    "eval": (
        "Save {what} under {keys}.",
        "Attached is {what}. Deliver {keys}.",
        "For the database: {what}, split into {keys}.",
        "quote {what} right pls, {keys}",
        "Kindly represent {what} by {keys}, character for character.",
        "What would {what} look like as a record with {keys}?",
    ),
}
MEANING: dict[str, Wording] = {
    "text": {
        "train": ("{key} is the text itself.", "{key} holds it, exactly.", "{key}: the original."),
        "dev": ("In {key} is the thing itself.", "{key} repeats it letter by letter."),
        "eval": ("{key} contains it verbatim.", "{key} has the whole of it."),
    },
    "second": {
        "train": ("{key} is the second text.", "{key}: the one that comes second."),
        "dev": ("{key} holds the other text.",),
        "eval": ("The further one belongs in {key}.",),
    },
    "language": {
        "train": ("{key}: {language}, with {by} after it.", "{key} is '{language} by {by}'."),
        "dev": ("In {key} write {language} and {by}.",),
        "eval": ("{key} tells the language and the author: {language}, {by}.",),
    },
    "lines": {
        "train": ("{key} is the number of lines.", "{key}: how many lines it has."),
        "dev": ("{key} counts its lines.",),
        "eval": ("{key} gives its line count.",),
    },
    "quotes": {
        "train": ('{key}: does it have a double quote (")?', '{key} is true if a " is in it.'),
        "dev": ('{key} says if some " occurs.',),
        "eval": ('{key} is whether it contains a ".',),
    },
    "backslashes": {
        "train": ("{key} is the number of backslashes.", "{key} counts the backslashes."),
        "dev": ("{key}: backslashes, counted.",),
        "eval": ("{key} says how many \\ there are.",),
    },
    "by": {
        "train": ("{key} is {by}.", "{key}: {by}."),
        "dev": ("{key} shall be {by}.",),
        "eval": ("As {key} put {by}.",),
    },
}
BETWEEN: Wording = {
    "train": ("and the second one:", "Second text:", "-- next --"),
    "dev": ("the other text:", "== 2 =="),
    "eval": ("a further one:", "~~ then ~~"),
}
SLOTS = {
    "text": (
        "text", "snippet", "content", "raw", "body", "source", "original", "payload", "value",
        "string", "data", "literal", "example", "input text",
    ),
    "second": ("second", "other", "text two", "next", "also", "companion"),
    "language": ("language", "lang", "written in", "syntax", "kind", "type"),
    "lines": ("lines", "line count", "n lines", "height", "rows"),
    "quotes": ("has quotes", "quoted", "contains quotes", "double quotes", "quotes"),
    "backslashes": ("backslashes", "escapes", "backslash count", "slashes"),
    "by": ("author", "by", "from", "owner", "submitted by", "written by", "who"),
}  # fmt: skip


def make(context: Context) -> Draft:
    """One text or two, and up to three things about the first."""
    dice = context.dice
    if not context.abilities.escapes:
        raise ValueError("it does not hold texts with quotes and line breaks")
    kind, text = _text(context)
    language = kind if kind in LANGUAGES else ""
    by = str(context.value("person"))
    values: dict[str, Any] = {
        "text": text,
        "lines": len(text.splitlines()),
        "quotes": '"' in text,
        "backslashes": text.count("\\"),
        "by": by,
    }
    if language:
        values["language"] = f"{language} by {by}"
    extra = dice.sample([slot for slot in values if slot != "text"], dice.between(1, 3))
    slots = ["text", *extra]
    sources = [_shown(context, text, language)]
    if dice.chance(0.25):
        _, values["second"] = _text(context)
        slots.append("second")
        sources += [context.say(BETWEEN), _shown(context, values["second"], "")]
    keys = owned_keys(context, {slot: SLOTS[slot] for slot in slots})
    value = ordered(context, keys, {slot: scalar(context, values[slot]) for slot in slots})
    what = context.say(KIND_NAMES["code" if language else kind], language=language)
    ask = speak(context, ASK, what=what, keys=named(context, value))
    told = [context.say(MEANING[slot], key=keys[slot], by=by, language=language) for slot in slots]
    schema = ",".join(sorted(keys))
    asked = joined([ask, *told])
    source = "\n".join(sources)
    return Draft("quotes_and_escapes", "record", schema, value, asked, source, free=True)


def _text(context: Context) -> tuple[str, str]:
    """A kind and a text of that kind."""
    dice, split = context.dice, context.split
    if dice.chance(0.15):
        return "data", _data(context)
    kind: str = dice.choice(tuple(TEXTS))
    words = {
        name: dice.choice(pool[split])
        for name, pool in {
            "item": pools.ITEM,
            "quality": pools.QUALITY,
            "place": pools.PLACE,
            "first": pools.FIRST,
            "last": pools.LAST,
            "brand": pools.BRAND,
            "city": pools.CITY,
        }.items()
    }
    return kind, dice.choice(TEXTS[kind]).format(**words, number=dice.between(2, 90))


def _data(context: Context) -> str:
    """A small record as JSON text, which becomes a string in the answer; its keys are values."""
    draws = {
        dice_word: draw(kind, context.split, context.dice)
        for dice_word, kind in zip(
            context.dice.sample(pools.ITEM[context.split], 3),
            context.dice.sample(("person", "note", "count", "flag", "city"), 3),
            strict=True,
        )
    }
    indent = context.dice.choice((None, None, 2))
    if context.dice.chance(0.3):
        return json.dumps([*draws, draws], ensure_ascii=False, indent=indent)
    return json.dumps(draws, ensure_ascii=False, indent=indent)


def _shown(context: Context, text: str, language: str) -> str:
    """The text as it is, between marks that show where it ends."""
    mark = context.dice.choice(("", "", "```", "<<<", "---"))
    if not mark:
        return text
    tag = language.lower() if mark == "```" else ""
    return f"{mark}{tag}\n{text}\n{'>>>' if mark == '<<<' else mark}"
