"""Other ways in which JSON, TOML, XML and YAML are written than the formats render them.

toml_styles('a = ["x", "y"]', Random(1)) -> "a = [\\n  'x',\\n  'y',\\n]\\n"
xml_styles("<d><a>x</a></d>", Random(1)) -> "<d><a><![CDATA[x]]></a></d>"
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from random import Random
from typing import Any, Final

import yaml

_LEAF: Final = re.compile(r"<([^\s<>/]+)>([^<]*)</\1>")


def toml_styles(text: str, rng: Random) -> str:
    """The same TOML, with inline tables, arrays over several lines and texts in single quotes."""
    if rng.random() < 0.3:
        return text
    styles = {
        "literal": rng.random() < 0.5,
        "lines": rng.random() < 0.5,
        "trailing": rng.random() < 0.5,
    }
    inline = rng.random() < 0.6
    value = tomllib.loads(text)
    lines, tables = [], []
    for key, child in value.items():
        if isinstance(child, dict) and not inline:
            tables.append(f"\n[{_key(key)}]\n")
            tables += [f"{_key(name)} = {_toml(inner, styles)}\n" for name, inner in child.items()]
        else:
            lines.append(f"{_key(key)} = {_toml(child, styles, top=True)}\n")
    return "".join(lines + tables)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else _text(key)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(value: Any, styles: dict[str, bool], *, top: bool = False) -> str:
    if isinstance(value, str):
        plain = styles["literal"] and value.isprintable() and "'" not in value
        return f"'{value}'" if plain else _text(value)
    if isinstance(value, dict):
        members = ", ".join(f"{_key(key)} = {_toml(child, styles)}" for key, child in value.items())
        return f"{{ {members} }}" if members else "{}"
    if isinstance(value, list):
        items = [_toml(child, styles) for child in value]
        if top and items and styles["lines"]:
            end = ",\n]" if styles["trailing"] else "\n]"
            return "[\n  " + ",\n  ".join(items) + end
        return f"[{', '.join(items)}]"
    return json.dumps(value)


def xml_styles(text: str, rng: Random) -> str:
    """The same XML, on one line, with a declaration, attributes, CDATA and empty-element tags."""
    if rng.random() < 0.4:
        return text
    written = text
    if rng.random() < 0.5:
        written = _LEAF.sub(lambda leaf: _leaf(leaf, rng), written)
    if rng.random() < 0.4:
        name = re.compile(r"<([^\s<>/]+)>")
        written = name.sub(r'<\1 id="a1" lang="en">', written, count=rng.randint(1, 2))
    if rng.random() < 0.2:
        written = '<?xml version="1.0" encoding="UTF-8"?>\n' + written
    return written


def _leaf(leaf: re.Match[str], rng: Random) -> str:
    name, said = leaf[1], leaf[2]
    if not said:
        return rng.choice([f"<{name}/>", f"<{name} />"])
    if "&" not in said and rng.random() < 0.3:
        return f"<{name}><![CDATA[{said}]]></{name}>"
    return leaf[0]


def json_styles(text: str, rng: Random) -> str:
    """The same JSON, on one line or indented, compact or not, in ASCII or not."""
    indent = rng.choice([None, None, 2, "\t"])
    between = (",", ":") if indent is None and rng.random() < 0.5 else (", ", ": ")
    ascii_only = rng.random() < 0.2
    return json.dumps(json.loads(text), ensure_ascii=ascii_only, indent=indent, separators=between)


def yaml_styles(text: str, rng: Random) -> str:
    """The same YAML: in brackets, as JSON, in quotes, with lists not indented, or as rendered."""
    value = yaml.safe_load(text)
    indent = rng.choice([None, None, 2])
    ways: tuple[Callable[[], str], ...] = (
        lambda: text,
        lambda: text + "\n",
        lambda: "---\n" + text + "\n",
        lambda: json.dumps(value, ensure_ascii=False, indent=indent),
        lambda: _dumped(value, default_flow_style=True),
        lambda: _dumped(value, default_flow_style=None),
        lambda: _dumped(value, default_flow_style=False),
        lambda: _dumped(value, default_style=rng.choice("\"'")),
    )
    return rng.choice(ways)()


def _dumped(value: Any, **options: Any) -> str:
    return str(yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=1000, **options))
