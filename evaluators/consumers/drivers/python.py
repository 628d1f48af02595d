"""Python's readers, one for each process: `python.py orjson`.

Each request is a length, a line feed and as many bytes; so is each answer: `+` and the value's
dump, `-` and why the text is refused, or at first `=` and the version, or `!` and what is missing.
The dump is described in docs/design/consumers.md: {"a": [1, 0.5]} is {s1:a[i1;d3fe0000000000000]}
"""

from __future__ import annotations

import base64
import csv
import importlib.metadata
import io
import json
import platform
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from typing import Any

LONGEST = 5_000_000
"""A longer dump is left out, as aliases of YAML may make it exponentially long."""


def dump(value: Any) -> bytes:
    """The value in the form that all drivers give; `?` if it is too long."""
    found: list[bytes] = []
    size = 0
    for part in _parts(value):
        found.append(part)
        size += len(part) + 8
        if size > LONGEST:
            return b"?"
    return b"".join(found)


def _parts(root: Any) -> Iterator[bytes]:
    """Without recursion, since a text may be nested deeply."""
    stack: list[Any] = [iter((root,))]
    ends: list[bytes] = [b""]
    while stack:
        for value in stack[-1]:
            if isinstance(value, dict):
                yield b"{"
                stack.append(each for pair in value.items() for each in pair)
                ends.append(b"}")
                break
            if isinstance(value, (list, tuple, set, frozenset)) and not hasattr(value, "_fields"):
                yield b"["
                stack.append(iter(value))
                ends.append(b"]")
                break
            yield _scalar(value)
        else:
            stack.pop()
            yield ends.pop()


def _scalar(value: Any) -> bytes:
    if value is None:
        return b"n"
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, int):
        return b"i%s;" % _digits(value)
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 2**53:
            return b"i%d;" % value
        return b"d" + struct.pack(">d", value).hex().encode()
    kind = b"s"
    if not isinstance(value, str):
        kind = b"o"
        if isinstance(value, (date, datetime, time)):
            value = value.isoformat()
        value = base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
    data = value.encode("utf-8", "surrogatepass")
    return b"%s%d:%s" % (kind, len(data), data)


def _digits(value: int) -> bytes:
    sys.set_int_max_str_digits(0)
    try:
        return str(value).encode()
    finally:
        sys.set_int_max_str_digits(4300)


def _csv(text: str) -> Any:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def _element(root: Any) -> Any:
    """An element as [name, attributes, text, child, ...]; each child is followed by its tail.

    Elements without children hold plain text. Comments and instructions are left out.
    """
    done: dict[Any, list[Any]] = {}
    order = [root]
    for each in order:
        order += [child for child in each if isinstance(child.tag, str)]
    for each in order:
        done[each] = [each.tag, dict(each.attrib), each.text or ""]
    for each in order:
        mine = done[each]
        for child in each:
            if isinstance(child.tag, str):
                mine += [done[child], child.tail or ""]
            else:
                mine[-1] += child.tail or ""
    return done[root]


def _jq() -> tuple[Callable[[bytes], Any], str]:
    """jq's `fromjson`, in one process; if that dies, so does this one."""
    if shutil.which("jq") is None:
        raise ImportError("there is no jq")
    version = subprocess.run(["jq", "--version"], capture_output=True, text=True, check=True).stdout
    script = 'try ["+", (fromjson | tojson)] catch ["-", .]'
    jq = subprocess.Popen(
        ["jq", "--unbuffered", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )

    def parsed(data: bytes) -> Any:
        assert jq.stdin and jq.stdout
        jq.stdin.write(json.dumps(data.decode()).encode() + b"\n")
        jq.stdin.flush()
        line = jq.stdout.readline()
        if not line:
            sys.exit(1)
        sign, text = json.loads(line)
        if sign == "-":
            raise ValueError(text)
        return json.loads(text)

    return parsed, version.strip().removeprefix("jq-")


def reader(name: str) -> tuple[Callable[[bytes], Any], str]:
    """The function that reads, and the version. Raises ImportError if it is not installed."""
    python = platform.python_version()
    if name == "json":
        return json.loads, python
    if name == "jq":
        return _jq()
    if name == "orjson":
        import orjson

        return orjson.loads, orjson.__version__
    if name == "msgspec":
        import msgspec

        return msgspec.json.decode, importlib.metadata.version("msgspec")
    if name == "pydantic":
        import pydantic_core

        return pydantic_core.from_json, pydantic_core.__version__
    if name == "tomllib":
        import tomllib

        return lambda data: tomllib.loads(data.decode()), python
    if name == "tomlkit":
        import tomlkit

        return lambda data: tomlkit.parse(data).unwrap(), tomlkit.__version__
    if name == "pyyaml":
        import yaml

        return yaml.safe_load, str(yaml.__version__)
    if name == "ruamel":
        from ruamel.yaml import YAML

        return lambda data: YAML(typ="safe", pure=True).load(data), _version("ruamel.yaml")
    if name == "expat":
        from xml.etree import ElementTree
        from xml.parsers import expat

        return lambda data: _element(
            ElementTree.fromstring(data)
        ), expat.EXPAT_VERSION.removeprefix("expat_")
    if name == "lxml":
        from lxml import etree

        def parsed(data: bytes) -> Any:
            own = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
            return _element(etree.fromstring(data, own))

        return parsed, f"{etree.__version__}"
    return lambda data: _csv(data.decode()), python


def _version(name: str) -> str:
    return importlib.metadata.version(name)


def main() -> None:
    given, answers = sys.stdin.buffer, sys.stdout.buffer

    def answer(sign: bytes, data: bytes) -> None:
        answers.write(b"%d\n%s%s" % (len(data) + 1, sign, data))
        answers.flush()

    try:
        read, version = reader(sys.argv[1])
    except ImportError as error:
        answer(b"!", str(error).encode())
        return
    answer(b"=", version.encode())
    while size := given.readline():
        data = given.read(int(size))
        try:
            value = read(data)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"[:500]
            answer(b"-", said.encode("utf-8", "backslashreplace"))
        else:
            answer(b"+", dump(value))


if __name__ == "__main__":
    main()
