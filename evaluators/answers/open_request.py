"""Judges whether an answer does what an open request demands, and with content of its own.

    '{"flea": "flea", "market": "market"}' for an Example with the tag required_keys ["title"]
    -> failed, labels missing_required_key and echo, counts keys_asked 1, keys_present 0, ...

What is demanded stands in the Example's tags: `required_keys` (paths as `sections.*.heading`, where
`*` is each element of an array), `required_words` and `forbidden_words` (in lower case, whole words
in the values), `lengths` (a path and how many elements it has) and `json_schema`.

An echo takes all that it says from its keys or the prompt. A number counts as a word, so a new one
is content. True or false is content where the prompt asks for it; null never is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from fmtharness.evaluators.json.schema import JsonSchema
from fmtharness.evaluators.possessive import re
from fmtharness.harness.contracts import Options, Rate
from fmtharness.harness.formats import for_example
from fmtharness.harness.matching import leaves
from fmtharness.harness.plugins import component
from fmtharness.harness.records import Completion, Example, Problem, Verdict
from fmtharness.harness.schemas import SCHEMA_EVALUATOR as SCHEMA

LABELS: Final[Mapping[str, str]] = {
    "not_strict": "the text is not strict, so it meets nothing",
    "missing_required_key": "a key that the prompt names is missing",
    "missing_required_word": "a word that the prompt demands is in no value",
    "forbidden_word": "a word that the prompt forbids is in a value",
    "wrong_length": "an array has another number of elements than the prompt demands",
    "not_schema_valid": "the value breaks the JSON Schema that the prompt shows or tells",
    "echo": "the values only repeat their keys, or say nothing that the prompt has not said",
    "repeated_values": "of four texts or more, fewer than half differ from each other",
}
"""Every label that the evaluator gives, and its meaning in one line."""

_DEMANDS: Final = ("required_keys", "required_words", "forbidden_words", "lengths")
_MOST_ECHOES: Final = 0.25
_FEWEST_DISTINCT: Final = 0.5
_FEW_TEXTS: Final = 4
_FEW_WORDS: Final = 30
"""From this many words on, all may come from the prompt, as where it describes what to write."""
_WORD: Final = re.compile(r"[^\W_]+")
_ASKS_FLAG: Final = frozenset({"bool", "boolean", "booleans", "true", "false", "yes", "whether"})
"""A prompt with one of these words asks for true or false, as a question or in its schema."""
_BY_SCHEMA: Final = JsonSchema()
Fault = tuple[str, str]
"""A label and its message."""


class OpenRequest(Options):
    """Passes a strict answer that meets all that its prompt demands and is no echo of it.

    '{"flea": "flea"}' to a prompt that asks for a post about a flea market -> failed, label echo

    It judges Examples whose tags say what is demanded, in every format that a value is read from.
    """

    name: ClassVar[str] = "open_request"
    metric: ClassVar[str] = "request_met_rate"
    needs_example: ClassVar[bool] = True
    rates: ClassVar[tuple[Rate, ...]] = (
        Rate("request_met_rate", "passed"),
        Rate("required_keys_rate", "keys_present", "keys_asked"),
        Rate("required_words_rate", "words_present", "words_asked"),
        Rate("distinct_values_rate", "distinct_values", "values"),
        Rate("echo_rate", "echo"),
    )

    def lacks(self, example: Example | None) -> str:
        """The tags that say what is demanded."""
        known = example.tags if example else {}
        return "" if any(name in known for name in _DEMANDS) else "tag required_keys"

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        """Judge one completion; ValueError if there is no Example, or a tag has another shape."""
        if example is None:
            raise ValueError(f"{self.name} needs the Example that the completion answers")
        tags = example.tags
        keys, words, forbidden = (_texts(tags, name) for name in _DEMANDS[:3])
        counts = {"keys_asked": len(keys), "words_asked": len(words)}
        target = for_example(component("formats", example.format)(), example)
        parsed = target.parse(completion.text)
        if not parsed.ok:
            faults = [("not_strict", f"the text is not strict {target.name}, so it meets nothing")]
        else:
            value = parsed.value
            told = " ".join(str(leaf) for leaf in leaves(value).values()).lower()
            missing = [path for path in keys if not _has(value, path.split("."))]
            unsaid = [word for word in words if not _says(told, word)]
            texts = [(path, leaf) for path, leaf in leaves(value).items() if isinstance(leaf, str)]
            echo = _echo(texts, value, example)
            counts |= {
                "keys_present": len(keys) - len(missing),
                "words_present": len(words) - len(unsaid),
                "values": len(texts),
                "distinct_values": len({text for _, text in texts}),
                "echo": int(bool(echo)),
            }
            said = [word for word in forbidden if _says(told, word)]
            faults = [("missing_required_key", f"{path} is missing") for path in missing]
            faults += [("missing_required_word", f"no value holds {word!r}") for word in unsaid]
            faults += [("forbidden_word", f"a value holds {word!r}") for word in said]
            faults += _lengths(value, tags)
            faults += _by_schema(value, completion.text, example)
            faults += [("echo", echo)] if echo else []
            few = counts["distinct_values"] < _FEWEST_DISTINCT * len(texts)
            if few and len(texts) >= _FEW_TEXTS:
                message = f"{counts['distinct_values']} of {len(texts)} texts differ"
                faults.append(("repeated_values", message))
        end = len(completion.text)
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=not faults,
            labels=tuple(dict.fromkeys(label for label, _ in faults)),
            problems=tuple(Problem(label, message, 0, end) for label, message in faults),
            counts=counts,
        )


def _texts(tags: Mapping[str, Any], name: str) -> list[str]:
    found = tags.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"the Example's tag {name} must be a list of texts, not {found!r:.80}")
    return found


def _at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """Yield what stands at the path; KeyError where a key is missing, or an array for `*`."""
    if not path:
        yield value
    elif path[0] == "*":
        if not isinstance(value, list):
            raise KeyError("*")
        for element in value:
            yield from _at(element, path[1:])
    elif isinstance(value, dict):
        yield from _at(value[path[0]], path[1:])
    else:
        raise KeyError(path[0])


def _has(value: Any, path: Sequence[str]) -> bool:
    try:
        return all(True for _ in _at(value, path))
    except KeyError:
        return False


def _says(told: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word.lower())}(?!\w)", told) is not None


def _lengths(value: Any, tags: Mapping[str, Any]) -> Iterator[Fault]:
    asked = tags.get("lengths", {})
    if not isinstance(asked, dict):
        raise ValueError(f"the Example's tag lengths must be a table, not {asked!r:.80}")
    for path, length in asked.items():
        steps = path.split(".")
        # A missing path is not an array of another length: it may be optional.
        for found in _at(value, steps) if _has(value, steps) else ():
            if not isinstance(found, list) or len(found) != length:
                size = len(found) if isinstance(found, list) else "no"
                yield "wrong_length", f"{path} has {size} elements, not {length}"
                break


def _by_schema(value: Any, text: str, example: Example) -> Iterator[Fault]:
    if SCHEMA not in example.tags:
        return
    as_json = text if example.format in JsonSchema.formats else json.dumps(value)
    plain = Example(id=example.id, prompt=(), format="json", tags=example.tags)
    verdict = _BY_SCHEMA.evaluate(plain, Completion(example_id=example.id, text=as_json))
    for problem in verdict.problems:
        yield "not_schema_valid", problem.message


def _echo(texts: Sequence[tuple[Sequence[str | int], str]], value: Any, example: Example) -> str:
    """Why the value is an echo of its keys or of the prompt; empty if it is not."""
    echoes = 0
    given: list[str] = []
    for path, text in texts:
        words = _words(text)
        names = [step for step in path if isinstance(step, str)]
        echoes += bool(words) and set(words) <= set(_words(names[-1] if names else ""))
        given += words
    if echoes > _MOST_ECHOES * len(texts):
        return f"{echoes} of {len(texts)} texts say no more than their key"
    asked = [each.content for each in example.prompt if each.role != "assistant"]
    known = {word for text in asked for word in _words(text)}
    flags = not known.isdisjoint(_ASKS_FLAG)
    for path, leaf in leaves(value).items():
        known.update(word for step in path if isinstance(step, str) for word in _words(step))
        if isinstance(leaf, bool):
            if flags:
                return ""
        elif isinstance(leaf, int | float):
            given += _words(str(leaf))
    if len(given) < _FEW_WORDS and known.issuperset(given):
        return "no value says a word or a number that the prompt and the keys have not"
    return ""


def _words(text: str) -> list[str]:
    """Its words in lower case; camelCase is two of them."""
    return _WORD.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())
