"""Kinds of short text that people ask for, and what such a text usually has.

    TEXTS["recipe card"]  ->  Text("a recipe card", "for", ("dish",), "title ...", ...)

`topics` are kinds of `grammar.TOPICS`; a text has its `core` and some of its `more`.
"""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """One kind of text."""

    name: str
    link: str
    """The word between the text and its topic: an advertisement *for* a ladder."""
    topics: tuple[str, ...]
    core: tuple[str, ...]
    more: tuple[str, ...]


def _text(name: str, link: str, topics: str, core: str, more: str) -> Text:
    return Text(name, link, tuple(topics.split()), tuple(core.split()), tuple(more.split()))


_ANY = "thing place animal role event dish activity"

TEXTS = (
    _text("an ad", "for", "thing place event", "title paragraph", "price slogan pro* company"),
    _text("a flyer", "about", "event place activity", "title sentence", "date time place rule*"),
    _text(
        "a notice", "about", "thing place event animal", "title paragraph", "person warning date"
    ),
    _text("a recipe card", "for", "dish", "title ingredient* step*", "count tip flag time note"),
    _text("a character sheet", "for", "role animal", "person role trait*", "item* quote con goal"),
    _text("pros and cons", "of", "thing place activity dish", "pro* con*", "summary answer rating"),
    _text("a riddle", "about", "thing animal place", "riddle answer", "hint choice hint*"),
    _text(
        "a customer review", "of", "thing place dish event", "praise rating", "title pro con flag"
    ),
    _text("a thank-you letter", "about", _ANY, "greeting paragraph closing", "note date title"),
    _text(
        "a complaint", "about", "thing place dish event", "greeting paragraph goal", "reason* date"
    ),
    _text("a checklist", "for", "event activity place", "title step*", "person date item* warning"),
    _text("a short poem", "about", _ANY, "title line*", "mood person tag*"),
    _text("a song", "about", _ANY, "title line*", "person mood line count"),
    _text("some facts", "about", _ANY, "fact*", "title summary tag* question"),
    _text("a quiz", "about", _ANY, "title question* answer*", "hint* choice count"),
    _text("a grading rubric", "for", "activity role event", "title level*", "tip count note"),
    _text("a dialogue", "about", _ANY, "title remark*", "place person* mood weather"),
    _text("an invitation", "to", "event", "greeting paragraph date", "time place dish* closing"),
    _text("three slogans", "for", "thing place event dish", "slogan*", "mood role tag*"),
    _text("a definition", "of", "activity thing", "definition", "quote tag* option* sentence"),
    _text("an FAQ entry", "about", _ANY, "question answer", "tip tag* note"),
    _text("a menu", "for", "event place", "title dish*", "price option* person warning"),
    _text("a packing list", "for", "event activity", "item*", "title tip warning dish*"),
    _text("an agenda", "for", "event", "title title* time", "person* place note goal"),
    _text("a postcard", "from", "place event", "greeting sentence closing", "weather date note"),
    _text("a diary entry", "about", _ANY, "date paragraph mood", "weather quote title"),
    _text(
        "the rules of a game",
        "about",
        "thing animal activity dish",
        "title rule*",
        "item* goal count",
    ),
    _text(
        "a job posting", "for", "role", "title paragraph trait*", "company place price pro* email"
    ),
    _text(
        "a product label", "for", "dish thing", "title ingredient* warning", "date price company"
    ),
    _text(
        "a short guide", "to", "activity place thing", "title step* tip*", "warning item* summary"
    ),
    _text("an interview", "about", _ANY, "person question* answer*", "title sentence date"),
    _text("a fable", "about", "animal role thing", "title paragraph quote", "animal* place"),
    _text(
        "a lost-and-found entry",
        "about",
        "thing animal",
        "title sentence place",
        "date phone trait*",
    ),
    _text(
        "a bug report", "about", "thing place", "title step* sentence", "choice version note person"
    ),
    _text(
        "a day plan", "for", "event activity place", "title step*", "time item* weather dish tip"
    ),
    _text("a museum label", "for", "thing animal dish", "title year material paragraph", "person"),
    _text("a short speech", "about", _ANY, "greeting paragraph closing", "quote title role"),
    _text(
        "a comparison", "of two kinds of", "thing dish animal", "title pro* con*", "summary rating"
    ),
    _text("a workout", "around", "activity thing", "title step* count", "warning goal choice"),
    _text("an excuse", "about", _ANY, "greeting sentence reason", "closing goal mood"),
    _text("a glossary", "for", "activity role place", "tag* definition", "title note"),
    _text("a newsletter item", "about", _ANY, "title summary paragraph", "person date tag* email"),
    _text("a survey", "about", _ANY, "title question* option*", "greeting closing count"),
    _text("a club profile", "for", "activity role", "team place person*", "year slogan rule* time"),
    _text("a travel tip", "about", "place event", "city tip reason", "price weather dish warning"),
    _text(
        "a superhero",
        "based on",
        "thing animal dish role",
        "nickname trait* quote",
        "con place goal",
    ),
    _text(
        "an apology", "for what happened with", _ANY, "greeting paragraph goal", "closing reason"
    ),
    _text("a small ad", "for", "thing animal", "title sentence price", "phone flag city trait*"),
    _text("a legend", "about", "place animal", "title paragraph", "year quote line"),
    _text("five name ideas", "for", "animal place thing dish", "nickname* reason", "tag* option"),
)
