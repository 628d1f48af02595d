"""Strict XML: what passes, what each mistake is called, and that ElementTree agrees."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmtharness.evaluators.xml.format import XmlFormat
from fmtharness.harness.testing import check_format
from fmtharness.harness.testing.promises import is_linear

XML = XmlFormat()
DATA = "<data>\n  <name>Ada</name>\n</data>"


def found(text: str, judge: XmlFormat = XML) -> list[tuple[str, str]]:
    return [(p.label, text[p.start : p.end]) for p in judge.parse(text).problems]


@pytest.mark.parametrize(
    "options", [{}, pytest.param({"root": "answer", "max_depth": 6}, marks=pytest.mark.slow)]
)
def test_the_format_keeps_its_promises(options: Any) -> None:
    check_format(XmlFormat(**options))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<data/>", ""),
        ("<data> x\n</data>\n", " x\n"),
        ("<?xml version='1.0' encoding='UTF-8'?>\n<a><b>é &amp; &#13;</b></a>", {"b": "é & \r"}),
        ("<d><item>x</item></d>", ["x"]),
        ("<d><item><item/></item><item>y</item></d>", [[""], "y"]),
        ("<d><item>x</item><other>y</other></d>", {"item": "x", "other": "y"}),
        ("<d n='1'><item>x</item></d>", {"@n": "1", "item": "x"}),
        ("<d><a n='1'>t</a><b n='2'/></d>", {"a": {"@n": "1", "#text": "t"}, "b": {"@n": "2"}}),
        ("<d><a><![CDATA[x < y && z]]></a></d>", {"a": "x < y && z"}),
        ("<x:d xmlns:x='u'><x:a>1</x:a></x:d>", {"@xmlns:x": "u", "x:a": "1"}),
    ],
)
def test_what_passes(text: str, value: Any) -> None:
    assert XML.parse(text).value == value


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", [("empty", "")]),
        (" \n", [("empty", ...)]),
        *((blank, [("no_value", ...)]) for blank in ("\xa0", "\x0c", "\x1c \n")),
        *((f"<d/>\n{blank}\n", [("text_after", blank)]) for blank in ("\xa0", "\x0c", "\u3000")),
        *((f"{blank}\n<d/>", [("text_before", blank)]) for blank in ("\xa0", "\x1c", "\x85")),
        ("```\n<d/>\n\xa0```", [("code_fence", "```"), ("text_after", "\xa0"),
            ("code_fence", "```")]),
        ("I can't.", [("no_value", ...)]),
        ('{"name": "<b>Ada</b>"}', [("no_value", ...)]),
        (f"Here is the XML:\n{DATA}", [("text_before", "Here is the XML:")]),
        (f"Here is <data> for you:\n{DATA}", [("text_before", "Here is <data> for you:")]),
        (f"{DATA}\nIs <b>it</b> all right?", [("text_after", "Is <b>it</b> all right?")]),
        (f"{DATA}\nTom & Jerry <3", [("text_after", "Tom & Jerry <3")]),
        ("<d/>\nDone.\n```", [("text_after", "Done."), ("code_fence", "```")]),
        (f"```xml\n{DATA}\n```", [("code_fence", "```xml"), ("code_fence", "```")]),
        (f"`{DATA}`", [("code_fence", "`"), ("code_fence", "`")]),
        ("```\n<d><a>x\n```", [("code_fence", "```"), ("truncated", ""), ("code_fence", "```")]),
        ("<?xml version='1.0'?>\nSure\n<d/>", [("text_before", "Sure")]),
        ("<d><a>x", [("truncated", "")]),
        ("<d><a><![CDATA[x</a></d>", [("truncated", "")]),
        ("<a>1</a>\n<b>2</b>", [("multiple_roots", "<b>2</b>")]),
        ("<d/></d>", [("mismatched_tag", "</d>")]),
        ("<d><a>x</b></d>", [("mismatched_tag", "</b>")]),
        ("<d><é>x</d>", [("mismatched_tag", "</d>")]),
        ("<d><a>x</a</d>", [("unclosed_tag", "</a")]),
        ("<d><a\n<b>x</b></d>", [("unclosed_tag", "<a\n")]),
        ("<d>é & x &amp &nbsp; < 3</d>", [("bare_ampersand", "&"), ("bare_ampersand", "&"),
            ("undefined_entity", "&nbsp;"), ("bare_less_than", "<")]),
        ("<d>a<b</d>", [("bare_less_than", "<")]),
        ("<d n='a<b'/>", [("bare_less_than", "<")]),
        ("<d>a & b<c>", [("bare_ampersand", "&"), ("truncated", "")]),
        ("<d><a id=7>x</a></d>", [("unquoted_attribute", "7")]),
        ("<d><a x='1' checked>x</a></d>", [("attribute_without_value", "checked")]),
        *((f"<d><f {said}{end}", [("attribute_without_value", said.split()[0])])
            for said in ("disabled", "disabled a='x'", "disabled on")
            for end in ("/></d>", ">x</f></d>")),
        *((f"<d><f {said}>x</f></d>", [("attribute_without_value", at)])
            for said, at in (
                ("a=", "a="), ("a = ", "a ="), ("a= b='x'", "a="), ("a='x' b=", "b="))),
        ("<f disabled>x</f>", [("attribute_without_value", "disabled")]),
        *((f"<d><f {said}>x</f></d>", [("malformed_tag", at)]) for said, at in (
            ("a='x'b='y'", "b"), ('a="x"b="y"', "b"), ("=x", "="), ("='x'", "="),
            ("a='x',b='y'", ","), ("a='x'; b='y'", ";"), ("'x'", "'"), ("a 'x'", "a '"),
            ("a:'x'", "a:'"), ("/ ", "/ >"))),
        *((f"<d><f>x{closing}</d>", [("malformed_tag", at)]) for closing, at in (
            ("</f a='1'>", "a='1'"), ("</f a>", "a"), ("</ f>", "</ "), ("< /f>", "< "),
            ("</>", "</>"))),
        ("<d>< f>x</f></d>", [("malformed_tag", "< ")]),
        *((f"<d><f {said}>y</f><g h='z'/></d>", [("unclosed_quote", at)]) for said, at in (
            ("a='x\"", "'x\""), ("a='x", "'x"), ("a='", "'"), ("b='1' a='x y", "'x y"))),
        ("<d><f a='x b='y'/></d>", [("unclosed_quote", "'x")]),
        ("<d><f a='x>it's</f></d>", [("unclosed_quote", "'x")]),
        ("<d a='x/>", [("unclosed_quote", "'x")]),
        ("<d><a href='<b>x</b>'>y</a></d>", [("bare_less_than", "<")]),
        ("<d><a href='x > y < z'>y</a></d>", [("bare_less_than", "<")]),
        ("<d><$a>x</$a></d>", [("bad_name", "$a")]),
        ("<d><1f a='x'>y</1f></d>", [("bad_name", "1f")]),
        *((f"<d><f {said}='x'/></d>", [("bad_name", said)])
            for said in ("1a", "a?", "\u2c00", "é\u0487")),
        *((f"<d xmlns:p='u'><{name}>x</{name}></d>", [("bad_name", name)])
            for name in ("p:a:b", ":a", "a:", "p:1")),
        ("<d xmlns:a='u' xmlns:b='u'><f a:x='1' b:x='2'/></d>",
            [("duplicate_attribute", "<f a:x='1' b:x='2'/>")]),
        *((f"<d><f {said}/></d>", [("bad_namespace", f"<f {said}/>")])
            for said in ("xmlns:xml='u'", "xmlns='two words'", "xmlns:a='é'", "xmlns:a=''",
                "xmlns='http://a:b'", "xmlns:xmlns='u'")),
        ('<!DOCTYPE d [<!ENTITY e "<![CDATA[<X>]]></X>"> <!-- it\'s > -->]>\n<d/>',
            [("doctype", '<!DOCTYPE d [<!ENTITY e "<![CDATA[<X>]]></X>"> <!-- it\'s > -->]>')]),
        ("<d>\n  <a>x: y\n  <b>z</b>\n</d>", [("mismatched_tag", "</d>")]),
        ("<d><item>x<item>y</item><item>z</item></d>", [("mismatched_tag", "</d>")]),
        ("<d>t<e/><a>x<b>z</b></d>", [("mixed_content", "t"), ("mismatched_tag", "</d>")]),
        ("<d/>\n<!-- a -- b -->", [("comment", "<!-- a -- b -->")]),
        ("<d x='1' x='2'/>", [("duplicate_attribute", "x='2'")]),
        ("<d><first name>x</first name></d>", [("bad_name", "first name")]),
        ("<d><1a>x</1a></d>", [("bad_name", "1a")]),
        ("<d><a:b>x</a:b></d>", [("unbound_prefix", "<a:b>")]),
        ("<d>\x01</d>", [("bad_character", "\x01")]),
        ("<d>é\ud800</d>", [("bad_character", "\ud800")]),
        ("<d>&#0;</d>", [("bad_character", "&#0;")]),
        ("<!DOCTYPE html>\n<d>& x</d>", [("doctype", "<!DOCTYPE html>"), ("bare_ampersand", "&")]),
        ("<!DOCTYPE d [<!ENTITY a 'x'>]><d>&a;</d>", [("doctype", "<!DOCTYPE d [<!ENTITY a 'x'>]>"),
            ("undefined_entity", "&a;")]),
        ("<!DOCTYPE d [<!ENTITY a 'x'>\n<d/>", [("doctype", ...), ("truncated", "")]),
        ("<?php x ?><d/>", [("processing_instruction", "<?php x ?>")]),
        ("<d><!-- é --><a/></d><!-- x -->", [("comment", "<!-- é -->"), ("comment", "<!-- x -->")]),
        ("<d><!-- a -- b --></d>", [("comment", "<!-- a -- b -->")]),
        ("\n<?xml version='1.0'?><d/>", [("bad_declaration", "<?xml version='1.0'?>")]),
        ("<?xml version='1.1'?><d/>", [("bad_declaration", "<?xml version='1.1'?>")]),
        ("<d>é text <a>x</a> more</d>", [("mixed_content", "é text")]),
        ("<d><a>1</a><b/><a>2</a></d>", [("duplicate_key", "<a")]),
        ("<d>x]]>y</d>", [("syntax_error", "]]>")]),
        *((f"<d><a>x</a>{tag}y</b></d>", [("malformed_tag", at)]) for tag, at in (
            ("<`b>", "`"), ("<'b>", "'"), ("<&&b>", "&&"), ("<#b i='1'>", "#"))),
        ("<d><b>x<'/b></d>", [("malformed_tag", "'")]),
        ("<d>\n  <\x01b>x</b>\n</d>", [("bad_character", "\x01")]),
        ("<d><a/><<b>x</b></d>", [("bare_less_than", "<")]),
        ("<d><<acity>x</city></d>", [("bare_less_than", "<")]),
        ("<d><#ity>x</city></d>", [("bare_less_than", "<")]),
        ("<d><a/>&&<b/></d>", [("bare_ampersand", "&"), ("bare_ampersand", "&")]),
        ("<d><a/>&nbsp;<b/></d>", [("undefined_entity", "&nbsp;")]),
        ("<d><a/>+<b/></d>", [("mixed_content", "+")]),
        ("<d>+<b>&</b></d>", [("mixed_content", "+"), ("bare_ampersand", "&")]),
        ("<d><n&lote>x</n&lote></d>", [("bad_name", "n&lote")]),
        ("<da&ta>x</da&ta>", [("bad_name", "da&ta")]),
        ("<d><a>x</a<></d>", [("bad_name", "a<")]),
        ("<></>", [("no_value", "<></>")]),
        ("<d><></></d>", [("malformed_tag", "<>"), ("malformed_tag", "</>")]),
        ("<d>\n  <>x</city>\n</d>", [("malformed_tag", "<>")]),
        ("<d>a <> b</d>", [("bare_less_than", "<")]),
        ("<d>a <> b <- c < 3 <= d</d>", [("bare_less_than", "<")] * 4),
        ("<d><'![CDATA[x]]></d>", [("bare_less_than", "<")]),
        ("<d><a/>\n  n<ote>x</note>\n</d>", [("malformed_tag", "n<ote")]),
        ("<d>\n  <a>x</a>\n/d>", [("malformed_tag", "/d>")]),
        ("d>\n  <a>x</a>\n  <b>& y</b>\n</d>", [("malformed_tag", "d>"), ("bare_ampersand", "&")]),
        ("<?xml version='1.0'?>\nd>\n  <a>x</a>\n</d>", [("malformed_tag", "d>")]),
        ("<==d>\n  <a>x</a>\n</d>", [("malformed_tag", "<==d>")]),
        ("a<nswer>\n  <a>x</a>\n</answer>", [("malformed_tag", "a<nswer>")]),
        (f"Here it is\n{DATA}", [("text_before", "Here it is")]),
        (f"\ufeff{DATA}", [("byte_order_mark", "\ufeff")]),
    ],
)  # fmt: skip
def test_what_a_mistake_is_called_and_where_it_stands(text: str, problems: list[Any]) -> None:
    assert found(text) == [(label, text if at is ... else at) for label, at in problems]


FIFTH_ONLY = ("\u0220", "\u0487", "\u1fff", "\u200c", "\u218f", "\u2c00", "\u3040", "\U00010000")


@pytest.mark.parametrize("sign", FIFTH_ONLY)
def test_names_of_the_fifth_edition_alone_are_refused_by_a_sentence_that_says_so(sign: str) -> None:
    names = [f"a{sign}"] if sign == "\u0487" else [sign, f"a{sign}"]
    for text in (form.format(name) for name in names for form in NAMED):
        (problem,) = XML.parse(text).problems
        assert (problem.label, text[problem.start : problem.end]) in {
            ("bad_name", n) for n in names
        }
        assert (
            "allowed by XML's fifth edition, but many parsers follow the fourth" in problem.message
        )


NAMED = ("<{0}>x</{0}>", "<d><{0}/></d>", "<d><a {0}='x'/></d>", "<d><a b='x' {0}='y'/></d>")
"""Documents with a name as that of an element, or of an attribute."""


@pytest.mark.parametrize(
    "name", ["_", "é", "東", "a\u0300", "a\xb7", "a-.9", "\u0e01\u0e31", "xmlfoo"]
)
def test_names_of_the_fourth_edition_pass(name: str) -> None:
    assert all(XML.parse(form.format(name)).ok for form in NAMED)


@pytest.mark.parametrize(
    "name", ["\u0300", "\xb7", "a\xd7", "a\u2014", "\u203f", "1", "-a", ".a", "a\u3000b"]
)
def test_names_of_neither_edition_are_refused_without_speaking_of_editions(name: str) -> None:
    for text in (form.format(name) for form in NAMED):
        problems = XML.parse(text).problems
        assert problems
        assert not any("edition" in problem.message for problem in problems)


def test_prefixes_that_xml_reserves() -> None:
    assert XML.parse("<xml:d xml:lang='en'/>").ok
    assert XML.parse("<d xmlns:xml='http://www.w3.org/XML/1998/namespace'/>").ok
    assert not XML.parse("<xmlns:d/>").ok


@pytest.mark.parametrize(
    "name", ["u", "urn:a:b", "http://a.b:80/c?d=e#f", "http://a.b/%20", "tag:a@b,2001:c"]
)
def test_namespaces_that_are_uris_pass(name: str) -> None:
    assert XML.parse(f"<d xmlns='{name}' xmlns:p='{name}'/>").ok


def test_the_message_says_which_attribute_has_no_value() -> None:
    messages = [
        XML.parse(f"<d><f {said}/></d>").problems[0].message for said in ("on", "on=", "n=1")
    ]
    assert messages == ["on has no value"] * 2 + ["an attribute's value stands without quotes"]


@pytest.mark.parametrize(
    "unit",
    [
        *("<a b='>", "<a b=", "< a>", "<$a>", "<a b='x'c", "<a:b:c>", "<a b>", "< ", "<<", "<>"),
        *("& ", "&&a", "n<ote>x</note>", "<'a b='x' ", "<\x01a>", "<'![CDATA[", "<#/d>", "</>"),
    ],
)
@pytest.mark.parametrize("after", ["", "</a>", "'"])
def test_broken_tags_are_judged_in_linear_time(unit: str, after: str) -> None:
    assert is_linear(XML.parse, unit, "<d>", after)
    assert is_linear(XML.parse, unit[1:], "<d><a b='x'", after)


def test_the_root_s_name_matters_where_it_is_set() -> None:
    assert found("<d/>", XmlFormat(root="data")) == [("wrong_root", "<d")]
    assert found("<dta>x</data>", XmlFormat(root="data")) == [("wrong_root", "<dta")]
    assert found("<dta>x</date>", XmlFormat(root="data"))[1:] == [("mismatched_tag", "</date>")]
    assert XmlFormat(root="row").render({"a": "x"}).startswith("<row>")


def test_comments_are_passed_over_where_they_are_allowed() -> None:
    text = "<!-- a -->\n<d><!-- b --><a>x<!-- c -->y</a></d>\n<!-- d -->"
    assert XmlFormat(comments=True).parse(text).value == {"a": "xy"}


@pytest.mark.parametrize("limit", [1, 64, 5000])
def test_depth_is_exact(limit: int) -> None:
    judge = XmlFormat(max_depth=limit)
    assert judge.parse("<a>" * limit + "</a>" * limit).ok
    deeper = "<a>" * (limit + 3) + "</a>" * (limit + 3)
    assert [p.label for p in judge.parse(deeper).problems] == ["too_deep"]
    assert judge.parse(deeper).problems[0].start == 3 * limit


@pytest.mark.parametrize(
    "unit",
    [
        "<!doctype[",
        "<!DOCTYPE a [<!ENTITY b 'c'>\n",
        "<!doctype[]",
        "<!doctype[<!--]>",
        '<!doctype["]>',
        "<!doctype['\">",
        '<!doctype"',
        "<!doctype[<?]>",
    ],
)
def test_doctypes_without_an_end_are_judged_in_linear_time(unit: str) -> None:
    assert is_linear(XML.parse, unit)


def test_an_entity_bomb_is_not_read() -> None:
    bomb = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 12))
    text = f"<!DOCTYPE d [<!ENTITY e0 'ha'>{bomb}]><d>&e11;</d>"
    assert {label for label, _ in found(text)} == {"doctype", "undefined_entity"}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_proper_prefix_is_truncated_and_nothing_else(data: st.DataObject) -> None:
    text = XML.render({"a": "x & é", "b": ["y", {"@n": "<", "#text": "z"}], "c": {"d": "1"}})
    cut = data.draw(st.integers(1, len(text) - 1))
    assert found(text[:cut]) == [("truncated", "")]


@pytest.mark.parametrize(
    "value",
    [
        *({}, [], {"a": []}, {"item": "x"}, {"a b": "x"}, {"1a": "x"}, {"": "x"}, {"a:b": "x"}),
        *({"a": 1}, {"a": None}, {"a": "\x00"}, {"#text": "x"}, {"#text": "x", "a": "y"}, {1: "x"}),
        *({"@a": {"b": "x"}}, {"a": "\ud800"}, {"²": "x"}, {"@xmlns:a": ""}),
    ],
)
def test_what_xml_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        XML.render(value)


def test_a_value_deeper_than_allowed_is_refused_also_where_it_holds_itself() -> None:
    value: dict[str, Any] = {}
    value["a"] = value
    with pytest.raises(ValueError, match="64"):
        XML.render(value)


texts = st.text(st.one_of(st.sampled_from(" \n\t\r<>&\"']\u2028"), st.characters(codec="utf-8")))
names = st.sampled_from(["a", "item", "é", "b-c", "@a", "@b", "#text", "#"])
values = st.recursive(
    texts,
    lambda child: st.one_of(
        st.lists(child, min_size=1, max_size=3), st.dictionaries(names, child, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(values)
def test_what_is_rendered_comes_back_and_element_tree_reads_it(value: Any) -> None:
    try:
        text = XML.render(value)
    except ValueError:
        return
    assert XML.parse(text).value == value
    assert plain(ElementTree.fromstring(text)) == value


def plain(element: ElementTree.Element) -> Any:
    attributes = {f"@{key}": value for key, value in element.attrib.items()}
    pairs = [(child.tag, plain(child)) for child in element]
    if pairs and not attributes and {name for name, _ in pairs} == {"item"}:
        return [value for _, value in pairs]
    if pairs:
        return attributes | dict(pairs)
    text = element.text or ""
    return attributes | ({"#text": text} if text else {}) if attributes else text


PIECES = [
    *("<d>", "</d>", "<a>", "</a>", "<a/>", "<b x='1'>", "</b>", "<b x='1' y='2'/>", "x", " "),
    *("&", "&amp;", "&lt;", "&#65;", "&#0;", "&x;", "<", ">", "]]>", "<![CDATA[", "<!-- c -->"),
    *("<?p q?>", "<?xml version='1.0'?>", "<a:b/>", "<é>", "</é>", "\x01", "<!DOCTYPE d>", "='"),
    *("<a xmlns:a='u'>", "<a xmlns='u'>", "<a xmlns:a=''>", "\ud800", "\ufffe", "\r\n", "-->"),
    *("\xa0", "\x0c", "\x1c", "\u3000"),
]


@settings(max_examples=2000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=6), st.booleans())
def test_element_tree_takes_what_passes_and_what_it_rejects_is_rejected(
    pieces: list[str], inside: bool
) -> None:
    text = "".join(pieces)
    text = f"<d>{text}</d>" if inside else text
    parsed = XmlFormat(comments=True).parse(text)
    try:
        element = ElementTree.fromstring(text)
    except (ElementTree.ParseError, UnicodeEncodeError):
        assert not parsed.ok
        return
    assert parsed.ok == (parsed.value is not None)
    own = {"doctype", "processing_instruction", "mixed_content", "duplicate_key"}
    assert {problem.label for problem in parsed.problems} <= own
    if parsed.ok and "xmlns" not in text:
        assert plain(element) == parsed.value
