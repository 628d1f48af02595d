"""languages: translations, glossaries and greetings in thirteen languages, as real letters.

"bread" in German, French and Japanese, keys de, fr, ja.
    ->  {"de": "Brot", "fr": "pain", "ja": "パン"}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmtharness.generators import pools
from fmtharness.generators.asking import joined, named, owned_keys, speak
from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.ownership import owner
from fmtharness.generators.tongues import LANGUAGES, PHRASES, SPLIT_WORDS, WORDS

NATIVE = {
    "de": "Deutsch", "fr": "français", "es": "español", "it": "italiano", "pt": "português",
    "nl": "Nederlands", "pl": "polski", "tr": "Türkçe", "ja": "日本語", "zh": "中文",
    "ar": "العربية", "ru": "русский", "el": "Ελληνικά",
}  # fmt: skip
ASK: Wording = {
    "train": (
        "Translate {what} into {languages}. Keys: {keys}.",
        "{what} in {languages}, please, as {keys}.",
        "How do you say {what} in {languages}? Answer with {keys}.",
        "I need {what} in {languages} (keys {keys}).",
        "whats {what} in {languages}?? keys {keys}",
        "We are painting signs for tourists. {what} in {languages}; one key per language: {keys}.",
        "Localise {what}: {languages}. Output keys {keys}.",
        "Please give me {what} in {languages}, in real letters, not romanised, under {keys}.",
        "i18n file wanted for {what}, locales {languages}, keys {keys}.",
        "My pen friends speak {languages}. Write {what} for them and use {keys} as keys.",
        "Dear translator, kindly render {what} in {languages}. The fields should be {keys}.",
        "{keys} = {what} in {languages}",
        "Traduction, Übersetzung, traduzione: {what} in {languages}. Fields {keys}.",
        "TRANSLATE {what}! {languages}! {keys}!",
        "You may add how it is pronounced in your head; in the answer there is {what} in "
        "{languages} only, keyed {keys}.",
        "Make me an entry for {what}; it shows {languages} in {keys}.",
    ),
    "dev": (
        "Put {what} into {languages}, with the keys {keys}.",
        "What is {what} in {languages}? I look it up as {keys}.",
        "For a leaflet: {what} in {languages}. Name the fields {keys}.",
        "say {what} in {languages} using {keys}",
        "Enter {what}, translated to {languages}, as {keys}.",
    ),
    "eval": (
        "Provide {what} in {languages}; the keys are to be {keys}.",
        "Express {what} in {languages} by {keys}.",
        "Our guests understand {languages} only. State {what} under {keys}.",
        "can u translate {what}? languages {languages}, keys {keys} ty",
        "Kindly convey {what} in {languages}, each at its key ({keys}).",
        "A phrase book has {what} in {languages}. Its fields: {keys}.",
    ),
}
TABLE: Wording = {
    "train": (
        "Make a glossary of {words} in {languages}. Each entry has {keys}.",
        "Vocabulary list: {words}. Columns {keys}, that is {languages}.",
        "Flash cards, please! {words}, in {languages}; a card is {keys}.",
        "translate these to {languages}: {words}. each row {keys}",
        "I learn {languages} and keep forgetting {words}. Give me rows of {keys}.",
        "Word list for {languages} with {words}, fields {keys}, in this order.",
        "For every one of {words} write a row with {keys} ({languages}).",
        "Dictionary data wanted: {words}; {languages}; record layout {keys}.",
    ),
    "dev": (
        "A list of vocabulary in {languages}: {words}. A row is made of {keys}.",
        "Give {words} in {languages}, each of them as {keys}.",
    ),
    "eval": (
        "Set up word cards for {words} ({languages}), every card with {keys}.",
        "Show {words} in {languages}; one row each, {keys}.",
        "I'm compiling a dictionary: {words}, {languages}. Entries look like {keys}.",
    ),
}
UNDER: Wording = {
    "train": ("All rows are in {key}.", "Put it all under {key}.", "The list is at {key}."),
    "dev": ("{key} is what contains the rows.", "Rows belong to {key}."),
    "eval": ("The entries sit in {key}.", "{key} is the key of the whole list."),
}
WORD: Wording = {
    "train": ('"{text}"', "the word '{text}'", "'{text}'"),
    "dev": ("the English word {text}", "“{text}”"),
    "eval": ('the term "{text}"', "„{text}“"),
}
PHRASE: Wording = {
    "train": ('"{text}"', "the sentence '{text}'"),
    "dev": ('the line "{text}"',),
    "eval": ('the phrase "{text}"',),
}
SOURCE_KEYS = (
    "en", "english", "source", "word", "original", "term", "text", "phrase", "input", "key word",
)  # fmt: skip
ROOT_KEYS = (
    "glossary", "words", "cards", "vocabulary", "entries", "dictionary", "rows", "list",
    "translations", "lexicon", "terms", "phrase book",
)  # fmt: skip


def make(context: Context) -> Draft:
    """One word or phrase in some languages, or a glossary of three to ten words."""
    dice = context.dice
    codes = dice.sample(tuple(LANGUAGES), dice.between(2, dice.choice((4, 6, 10))))
    if "table" in context.abilities.shapes and (
        "record" not in context.abilities.shapes or dice.chance(0.4)
    ):
        return _glossary(context, codes[:4])
    if dice.chance(0.5):
        text = dice.choice(SPLIT_WORDS[context.split])
        words = WORDS[text]
        what = context.say(WORD, text=text)
    else:
        template = dice.choice(tuple(PHRASES))
        name = dice.choice(pools.FIRST[context.split])
        text = template.format(name=name)
        words = {code: phrase.format(name=name) for code, phrase in PHRASES[template].items()}
        what = context.say(PHRASE, text=text)
    keys = _keys(context, codes, dice.chance(0.3))
    value = {key: text if code == "en" else words[code] for code, key in keys.items()}
    ask = speak(
        context, ASK, what=what, languages=_spoken(context, codes), keys=named(context, value)
    )
    ask = ask[0].upper() + ask[1:] if dice.chance(0.7) else ask
    return Draft("languages", "record", ",".join(value), value, ask, "", free=True)


def _glossary(context: Context, codes: list[str]) -> Draft:
    dice = context.dice
    words = dice.sample(SPLIT_WORDS[context.split], dice.between(3, 10))
    wrapped = context.abilities.table_in_object
    root: dict[str, str] = {}
    keys = _keys(context, codes, True)
    if wrapped:
        root = owned_keys(
            context, {"list": ROOT_KEYS}, lambda key: {key["list"]: [dict.fromkeys(keys.values())]}
        )
    rows = [
        {key: word if code == "en" else WORDS[word][code] for code, key in keys.items()}
        for word in words
    ]
    ask = speak(
        context,
        TABLE,
        words=", ".join(words),
        languages=_spoken(context, codes),
        keys=named(context, rows[0]),
    )
    value: Any = {root["list"]: rows} if wrapped else rows
    under = context.say(UNDER, key=root["list"]) if wrapped else ""
    schema = ",".join(rows[0])
    return Draft("languages", "table", schema, value, joined([ask, under]), "", free=True)


def _keys(context: Context, codes: list[str], source: bool) -> Mapping[str, str]:
    """A key for each language and, if asked for, one for the English: `en` is its slot.

    Where the split owns no keys for these languages, `codes` becomes others."""
    dice = context.dice
    style = dice.choice((lambda code: code, lambda code: LANGUAGES[code].lower(), LANGUAGES.get))
    while True:
        keys = {"en": dice.choice(SOURCE_KEYS[:-1])} if source else {}
        keys |= {code: str(style(code)) for code in codes}
        structure = ",".join(sorted(key.casefold() for key in keys.values()))
        if owner(structure) == context.split:
            return keys
        if not source or dice.chance(0.3):  # other languages, so that the split owns the keys
            codes[:] = dice.sample(tuple(LANGUAGES), len(codes))


def _spoken(context: Context, codes: list[str]) -> str:
    names = [LANGUAGES[code] for code in codes]
    if context.dice.chance(0.15):
        names = [f"{LANGUAGES[code]} ({NATIVE[code]})" for code in codes]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
