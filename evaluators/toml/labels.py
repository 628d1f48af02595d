"""The labels of strict TOML, each with its meaning.

LABELS["bare_value"] -> "a text value stands without quotes"
"""

from __future__ import annotations

from typing import Final

from fmtharness.harness.surroundings import LABELS as AROUND

LABELS: Final[dict[str, str]] = {
    **AROUND,
    "too_deep": "more tables and arrays are open at once than `max_depth` allows",
    "truncated": "the text ends before a value, a quote, a bracket or a header is complete",
    "duplicate_key": "a key or a table is defined twice",
    "bare_value": "a text value stands without quotes",
    "python_literal": "True, False or None, which TOML does not have",
    "null_value": "null, which TOML does not have",
    "date_or_time": "a date or a time, which JSON holds as a text in quotes",
    "nan_or_infinity": "NaN or infinity, or a number beyond a float's range",
    "integer_out_of_range": "an integer that 64 bits do not hold",
    "bad_number": "a number is written in a way that TOML does not have",
    "missing_value": "an equals sign is not followed by a value",
    "missing_equals": "a line has neither an equals sign nor the brackets of a header",
    "colon_for_equals": "a colon stands where an equals sign should be",
    "unquoted_key": "a key without quotes holds other characters than A-Z a-z 0-9 _ -",
    "bad_header": "the brackets or the keys of a table's header are not as TOML has them",
    "several_values": "something follows a value on its line",
    "missing_comma": "two items inside brackets follow each other without a comma",
    "extra_comma": "a comma inside brackets has nothing before it",
    "trailing_comma": "a comma stands before the closing brace of an inline table",
    "newline_in_inline_table": "a line break stands between the braces of an inline table",
    "mismatched_bracket": "a closing bracket does not match the bracket that is open",
    "unclosed_bracket": "a bracket is not closed before the next key",
    "unescaped_quote": "text follows a closing quote, so a quote inside is not escaped",
    "unclosed_quote": "a quote is not closed on its line",
    "bad_escape": "a backslash starts no escape that TOML knows",
    "comment": "a comment",
    "control_character": "a raw control character",
    "lone_surrogate": "half of a surrogate pair stands alone",
    "syntax_error": "something that TOML does not allow and none of the other labels describes",
}
"""Every label that strict TOML can give, and its meaning in one line."""
