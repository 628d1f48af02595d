"""The labels of strict YAML, each with its meaning.

LABELS["merge_key"] -> "the key << merges another mapping, which is not allowed"
"""

from __future__ import annotations

from typing import Final

from fmtharness.harness.surroundings import LABELS as AROUND

LABELS: Final[dict[str, str]] = {
    **AROUND,
    "multiple_roots": "a second document stands behind the first",
    "wrong_root": "the value is not of the kind that `root` asks for",
    "too_deep": "more mappings and lists are open at once than `max_depth` allows",
    "truncated": "the text ends before a quote, a bracket or a key is closed",
    "duplicate_key": "a mapping repeats a key",
    "complex_key": "a key is not text: a number, a literal, a collection, or marked with `?`",
    "merge_key": "the key << merges another mapping, which is not allowed",
    "missing_value": "a key or a list item has no value; YAML reads null there",
    "missing_colon": "a line among keys has no colon, or no space behind it",
    "ambiguous_scalar": "parsers disagree on the type of an unquoted text, or take it for another",
    "nan_or_infinity": "NaN or infinity, or a number beyond a float's range",
    "unquoted_colon": "an unquoted text holds a colon with a space behind it",
    "unquoted_special": "an unquoted text starts with a character that has a meaning in YAML",
    "unescaped_quote": "text follows a closing quote, so a quote inside is not escaped",
    "unclosed_quote": "a quote is not closed on its line",
    "bad_escape": "a backslash starts no escape that YAML knows",
    "bad_indentation": "a line is indented in a way that fits nothing above it",
    "misplaced_item": "a list item stands where none can, such as behind its key or among keys",
    "mismatched_bracket": "a closing bracket does not match the bracket that is open",
    "missing_comma": "two items inside brackets follow each other without a comma",
    "extra_comma": "a comma inside brackets has nothing before it",
    "tab_indent": "a tab stands outside of a quoted text, such as in the indentation",
    "comment": "a comment",
    "anchor_or_alias": "an anchor (&) or an alias (*)",
    "tag": "a tag (!)",
    "directive": "a directive (%)",
    "control_character": "a character that a YAML text must escape, such as a control character",
    "lone_surrogate": "half of a surrogate pair stands alone",
    "syntax_error": "something that YAML does not allow and none of the other labels describes",
}
"""Every label that strict YAML can give, and its meaning in one line."""
