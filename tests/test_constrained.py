"""Constrained decoding: what its grammars hold, and what a model writes under them."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from msgspec import structs

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.harness.cli import main
from fmtharness.harness.config import load_config
from fmtharness.harness.contracts import Loaded, ModelOptions, Options
from fmtharness.harness.engine import decode_check
from fmtharness.harness.engine.encoding import encode_prompt, token_ids
from fmtharness.harness.engine.grammar import (
    Matcher,
    compiled,
    grammar_of,
    ignored_keywords,
    masked,
    matchers,
)
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.errors import ModelError, UserError
from fmtharness.harness.formats import for_example
from fmtharness.harness.judging.rows import read_rows
from fmtharness.harness.judging.tally import Tally, tally
from fmtharness.harness.plugins import Registered, component, registry
from fmtharness.harness.records import Completion, Example, Message, encode
from fmtharness.harness.report.arms import Answers, arms_table
from fmtharness.harness.report.comparison import Answered, rates_side_by_side
from fmtharness.harness.report.tables import metrics_json, metrics_table
from fmtharness.harness.requirements import needs_for_run
from tests.fakes import completed_in_order
from tests.schema_keywords import KEYWORDS, Keyword
from tests.taught import taught
from tests.tiny import CONFIG, TEMPLATE, tiny_model, tiny_tokenizer

llguidance = pytest.importorskip("llguidance")
TOOLS = (
    {
        "type": "function",
        "function": {
            "name": "ring",
            "parameters": {
                "type": "object",
                "properties": {"times": {"type": "integer", "minimum": 1}},
                "required": ["times"],
                "additionalProperties": False,
            },
        },
    },
)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Oslo", "Riga"]}, "nights": {"type": "integer", "maximum": 9}},
    "required": ["city", "nights"],
    "additionalProperties": False,
}


def asked(name: str = "json", *, prompt: str = "Go.", **more: Any) -> Example:
    return Example(id=prompt, prompt=(Message("user", prompt),), format=name, **more)


@functools.cache
def of_bytes() -> Any:
    from llguidance.hf import from_tokenizer

    return from_tokenizer(tiny_tokenizer(), eos_token=[0])


def matcher(grammar: Any) -> Matcher:
    return Matcher(llguidance.LLMatcher(of_bytes(), compiled(grammar).text, log_level=0))


def takes(grammar: Any, text: str) -> bool:
    """Whether the grammar lets the whole text be written, and nothing else be needed."""
    row = matcher(grammar)
    for token in token_ids(tiny_tokenizer(), text):
        if not _allowed(row, token):
            return False
        row.accept(token)
    return _allowed(row, 0)


def _allowed(row: Matcher, token: int) -> bool:
    return bool(row.bits()[token // 8] >> token % 8 & 1)


def walk(row: Matcher, rng: random.Random, *, most: int = 120) -> str | None:
    """A text by random tokens that the grammar allows; None if it has not ended by then."""
    tokenizer, written = tiny_tokenizer(), list[int]()
    signs = token_ids(tokenizer, '{}[]",:;|\n ')
    for _ in range(most):
        bits = row.bits()
        free = [at for at in range(len(bits) * 8) if bits[at // 8] >> at % 8 & 1]
        assert free, row.fault
        if 0 in free and (rng.random() < 0.5 or len(free) == 1):
            return str(tokenizer.decode(written, clean_up_tokenization_spaces=False))
        free = [at for at in free if at]
        signs_here = [at for at in free if at in signs]
        token = rng.choice(signs_here if signs_here and rng.random() < 0.6 else free)
        row.accept(token)
        written.append(token)
    return None


@pytest.mark.parametrize("case", KEYWORDS.values(), ids=KEYWORDS)
def test_each_keyword_is_held_or_told(case: Keyword) -> None:
    """A new version of the library that drops a keyword in silence fails here."""
    told = ignored_keywords(case.schema)
    if "b" not in case.schema.get("properties", {}) or "dependent" in str(case.schema):
        assert takes(case.schema, json.dumps(case.valid, ensure_ascii=False))
    if case.invalid is not None and not told:
        assert not takes(case.schema, json.dumps(case.invalid, ensure_ascii=False))


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "array", "uniqueItems": True}, ["uniqueItems"]),
        ({"type": "array", "contains": {}, "minContains": 2}, ["contains", "minContains"]),
        ({"type": "string", "format": "phone"}, ["format (phone)"]),
        ({"type": "string", "pattern": "^(?=.*[0-9])a"}, ["pattern"]),
        ({"properties": {"pattern": {"type": "string"}}}, []),
        (SCHEMA, []),
    ],
)
def test_what_a_grammar_does_not_hold_is_told(schema: dict[str, Any], told: list[str]) -> None:
    assert ignored_keywords(schema) == told


def test_a_schema_that_cannot_be_compiled_leaves_its_root() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}}
    (told,) = ignored_keywords(schema)
    assert told.startswith("all of it (")
    assert takes(schema, '{"b": 1}')
    assert not takes(schema, "[]")


def deep(levels: int, schema: Any = True) -> Any:
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"enum": [2**64]}, "18446744073709551616"),
        ({"properties": {"a": {"const": -(2**70)}}}, "1180591620717411303424"),
        ({"properties": {"a": {"maximum": 2**64}}}, "18446744073709551616"),
        ({"properties": {"default": {"enum": [2**64]}}}, "18446744073709551616"),
        ({"enum": [{"default": 2**64}]}, "18446744073709551616"),
        ({"properties": {"a": {"const": "\ud83d"}}}, "ud83d"),
        ({"maxProperties": float("inf")}, "null"),
        ({"properties": {"a": deep(5000)}}, "deeper than 100"),
        (deep(110), "deeper than 100"),
        ({"allOf": [{"allOf": [{"required": 7}]}]}, "required"),
    ],
    ids=lambda case: f"{case!r:.40}" if isinstance(case, str) else "",
)
def test_what_the_library_does_not_take_leaves_its_root(rule: dict[str, Any], why: str) -> None:
    schema = {"type": "object", **rule}
    (told,) = ignored_keywords(schema)
    assert told.startswith("all of it (")
    assert why in told
    assert takes(schema, '{"b": 1}')
    assert not takes(schema, "[]")


@pytest.mark.parametrize("data", [2**64, "\ud83d", {"properties": {"a": -(2**70)}}, [10**5000]])
@pytest.mark.parametrize("keyword", ["default", "examples", "description", "title", "$comment"])
def test_annotations_hold_no_rule(keyword: str, data: Any) -> None:
    inner = {"const": 1, keyword: data}
    schema = {"properties": {keyword: inner}, "required": [keyword], "anyOf": [{keyword: data}]}
    assert ignored_keywords(schema) == []
    assert takes(schema, json.dumps({keyword: 1}))
    assert not takes(schema, json.dumps({keyword: 2}))
    for name, value in (("$defs", "#/$defs/"), ("definitions", "#/definitions/")):
        referred = {name: {keyword: inner}, "$ref": value + keyword}
        assert (takes(referred, "1"), takes(referred, "2")) == (True, False)


def test_a_pattern_that_is_no_text_is_left_out() -> None:
    schema = {
        "properties": {
            "pattern": {"type": "string", "pattern": "\ud83d"},
            "enum": {"type": "string", "pattern": "^(?=a)"},
            "patternProperties": {"const": 1},
        },
    }
    assert ignored_keywords(schema) == ["pattern"]
    assert not takes(schema, '{"patternProperties": 2}')


def test_blanks_between_tokens_are_bounded() -> None:
    indented = json.dumps({"a": [1, {"b": None}]}, indent=2)
    assert takes({"type": "object"}, indented)
    for text in (
        '{"a":  1}',
        '{\n\n"a": 1}',
        ' {"a": 1}',
        '{"a": 1}\n',
        "{" + "\n" + " " * 25 + "}",
    ):
        assert not takes({"type": "object"}, text)


@pytest.mark.parametrize(
    "example",
    [
        asked(),
        asked(format_options={"root": "any"}),
        asked(tags={"json_schema": SCHEMA}),
        asked("json_array"),
        asked("jsonl"),
        asked("jsonl", format_options={"root": "array"}),
        asked("csv"),
        asked("csv", format_options={"delimiter": "|", "min_columns": 3}),
        asked("tool_call"),
        asked("tool_call", format_options={"tools": ["ring", "call"], "calls": "several"}),
        asked("tool_call", tools=TOOLS),
        asked("regex"),
        asked("regex", format_options={"pattern": r"(?P<id>[A-Z]-\d+)/\w[\s\d]"}),
    ],
    ids=lambda each: f"{each.format} {each.format_options or each.tags or len(each.tools)}",
)
def test_random_texts_by_a_grammar_are_strict(example: Example) -> None:
    """But for keys that come twice, which no grammar remembers."""
    judge = for_example(component("formats", example.format)(), example)
    row, rng, ended = matcher(grammar_of(example)), random.Random(0), 0
    for _ in range(12):
        row.begin()
        text = walk(row, rng)
        ended += text is not None
        found = {problem.label for problem in judge.parse(text or "").problems}
        assert text is None or found <= {"duplicate_key"}, text
        if text and "json_schema" in example.tags:
            assert json.loads(text)["nights"] <= 9
    assert ended > 2 or example.format == "csv"


@pytest.mark.parametrize(
    ("example", "good", "bad"),
    [
        (asked("csv"), 'city,note\nOslo,"a, ""b"""\nRiga,\n', "city,note\nOslo\n"),
        (asked("csv"), "a,b,c\n1,2,3", "a,b,c\n1, 2,3"),
        (asked("csv"), "a,b\n,", "a,\n1,2"),
        (asked("jsonl"), '{"a": 1}\n[2]', '{"a":\n1}'),
        (asked("jsonl"), "[1]\n[2]\n", "[1, 2]"),
        (asked("regex", format_options={"pattern": r"\d+/\S"}), "12/x", "٣/x"),
        (
            asked("tool_call", tools=TOOLS),
            '{"name": "ring", "arguments": {"times": 2}}',
            '{"name": "ring", "arguments": {"times": 0}}',
        ),
        (asked(tags={"json_schema": {"properties": {}}}), "{}", "[]"),
    ],
)
def test_what_the_grammars_let_through(example: Example, good: str, bad: str) -> None:
    judge = for_example(component("formats", example.format)(), example)
    assert judge.parse(good).ok
    assert takes(grammar_of(example), good)
    assert not takes(grammar_of(example), bad)


@pytest.mark.parametrize(
    "pattern",
    [
        r"[[a]b]",
        r"[+--]{2}",
        r"[\w--]+",
        r"[*~~]+",
        r"[a&&b]{2}",
        r"[^[]+",
        r"\[[^[\]]*\]",
        r"[]a]",
        r"[^]a]",
        r"[a-c-]",
        r"[\d-x]",
        r"[[-^]",
        r"[\[-\]]",
        r"[^^]",
        r"[/\n]",
        r"[[:alpha:]]-",
        r"[\x41-C]",
    ],
)
def test_a_class_means_the_same_to_grammar_and_judge(pattern: str) -> None:
    """Rust's regular expressions nest classes, and know `&&`, `--` and `~~` inside them."""
    asked_for = asked("regex", format_options={"pattern": pattern})
    judge, grammar = for_example(component("formats", "regex")(), asked_for), grammar_of(asked_for)
    signs = "ab]-+,&~*^[\\1/ x\nBC"
    texts = ["".join(each) for n in (1, 2) for each in itertools.product(signs, repeat=n)]
    for text in [*texts, "[b]", "a-b", "~*~"]:
        assert takes(grammar, text) == judge.parse(text).ok, text


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """A random model, which writes nothing that makes sense."""
    with Patches() as patches:
        folder = tiny_model(tmp_path_factory.mktemp("random"))
        yield load_model(ModelOptions(name=str(folder), precision="fp32"), patches)


def complete(loaded: Loaded, *examples: Example, tokens: int = 60) -> list[Completion]:
    return completed_in_order(
        loaded, examples, max_new_tokens=tokens, batch_size=4, constrained=True
    )


@pytest.mark.parametrize("alone", [False, True])
def test_a_random_model_writes_what_the_grammar_allows(
    loaded: Loaded, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if alone:  # by the model's own generate()
        monkeypatch.setitem(decode_check._known, loaded.model, False)
    words = [asked(prompt=f"Number {number}", tags={"json_schema": SCHEMA}) for number in range(5)]
    found = complete(loaded, *words, asked(prompt="Freely"), asked("xml", prompt="No grammar"))
    for each in found[:5]:
        assert each.finish_reason == "stop"
        value = JsonFormat().parse(each.text).value
        assert value["city"] in ("Oslo", "Riga")
        assert value["nights"] <= 9
        assert each.completion_tokens == len(each.text)
        assert each.interventions is not None
        assert 0 < each.interventions <= each.completion_tokens + 1
    assert found[5].text.startswith("{")
    assert found[6].interventions is None


def test_what_has_no_grammar_and_what_none_holds_is_said_once(
    loaded: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    unique = {"json_schema": {"type": "array", "uniqueItems": True}}
    rows = [asked("xml", prompt="a"), asked("yaml", prompt="b"), asked("xml", prompt="c")]
    complete(
        loaded, *rows, asked(prompt="d", tags=unique), asked(prompt="e", tags=unique), tokens=2
    )
    said = [line for line in capsys.readouterr().err.splitlines() if "gramma" in line]
    assert said == [
        "generate: 3 of 5 prompts have no grammar and are answered freely: "
        "xml (no grammar): 2, yaml (no grammar): 1",
        "generate: the grammars of JSON Schemas do not hold uniqueItems: 2; the judge checks all "
        "of a schema",
    ]


class Shouted(Options):
    """A plugin's format, whose grammar is its author's."""

    lark: str = "start: /[A-Z]+!/"

    def grammar(self, example: Example | None) -> str:
        if not self.lark:
            raise RuntimeError("a bad day")
        return self.lark


def test_a_plugins_format_brings_its_grammar(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = Registered("formats", "shouted", "sample", Shouted)
    monkeypatch.setitem(registry()["formats"], "shouted", known)
    right, broken, raises = complete(
        loaded,
        asked("shouted", prompt="a"),
        asked("shouted", prompt="b", format_options={"lark": "start: nowhere"}),
        asked("shouted", prompt="c", format_options={"lark": ""}),
        tokens=9,
    )
    assert set(right.text) <= {*"ABCDEFGHIJKLMNOPQRSTUVWXYZ!"}
    assert broken.interventions is raises.interventions is None
    said = capsys.readouterr().err
    assert "it raised RuntimeError: a bad day" in said
    assert "nowhere" in said


@pytest.mark.parametrize(
    "broken", ['{"type": "object"', {"enum": {1, 2}}, "start: /\ud83d/", "{1}", "", 7, [{}]]
)
def test_a_plugins_grammar_that_is_none_is_told(broken: Any) -> None:
    found = compiled(broken)
    assert not found.text
    assert found.fault


def test_a_plugins_schema_that_holds_itself_is_told() -> None:
    schema: dict[str, Any] = {"type": "array"}
    schema["items"] = schema
    assert ignored_keywords(schema) == ["all of it (it nests deeper than 100)"]


def test_one_odd_row_leaves_the_others_their_grammars(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = Registered("formats", "shouted", "sample", Shouted)
    monkeypatch.setitem(registry()["formats"], "shouted", known)
    tool = {"function": {"name": "ring", "parameters": {"properties": {"a": {"const": 2**64}}}}}
    complete(
        loaded,
        asked(prompt="a", tags={"json_schema": {"type": "object", "enum": [{"a": 2**64}]}}),
        asked("tool_call", prompt="b", tools=(tool,)),
        asked("shouted", prompt="c", format_options={"lark": "start: /\ud83d/"}),
        asked("shouted", prompt="d", format_options={"lark": "{"}),
        tokens=3,
    )
    said = capsys.readouterr().err
    assert "2 of 4 prompts have no grammar" in said
    assert "all of it (Value is not JSON serializable: 18446744073709551616): 2" in said


def test_masking_alone() -> None:
    """(rows, V): a padded head, a free row, and both sorts of choices."""
    rows = [matcher({"const": 7}), None, matcher({"const": 7})]
    seven, eight = token_ids(tiny_tokenizer(), "78")
    logits = torch.zeros(3, 300)
    logits[0, seven] = logits[1, eight] = logits[2, eight] = 1.0
    logits[2, seven] = 0.5
    logits[0, 299] = 0.9
    found = masked(logits, rows)
    assert found.argmax(-1).tolist() == [seven, eight, seven]
    assert [row and row.interventions for row in rows] == [0, None, 1]
    assert found[0].isfinite().sum() == 1
    assert torch.equal(found[1], logits[1])
    assert masked(logits, [None, None, None]) is logits


@pytest.fixture(scope="module")
def clerk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows its answers: a good one, one with chatter, one behind a thought."""
    tokenizer = tiny_tokenizer()
    answers = {"good": '{"a": 1}<|end|>', "chatty": 'Sure: {"a": 1}<|end|>'}
    pairs = [
        (encode_prompt(tokenizer, (Message("user", prompt),)), token_ids(tokenizer, answer))
        for prompt, answer in answers.items()
    ]
    opens = tiny_tokenizer(TEMPLATE + "{% if add_generation_prompt %}<think>\n{% endif %}")
    prompt = encode_prompt(opens, (Message("user", "hard"),))
    pairs.append((prompt, token_ids(tokenizer, 'So.\n</think>\n\n{"a": 1}<|end|>')))
    return taught(tmp_path_factory.mktemp("clerk"), tokenizer, pairs)


def test_greedy_answers_that_fit_are_left_as_they_are(clerk: Path) -> None:
    with Patches() as patches:
        model = load_model(ModelOptions(name=str(clerk), precision="fp32"), patches)
        examples = [asked(prompt="good"), asked(prompt="chatty")]
        free = completed_in_order(model, examples, max_new_tokens=30, batch_size=2)
        good, chatty = complete(model, *examples, tokens=30)
    assert free[0].interventions is None
    assert good == structs.replace(free[0], interventions=0)
    assert free[1].text == 'Sure: {"a": 1}'
    assert chatty.text.startswith("{")
    assert chatty.interventions


def test_a_thought_that_the_prompt_opens_is_free(
    clerk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = clerk / "thinks.jinja"
    path.write_text(TEMPLATE + "{% if add_generation_prompt %}<think>\n{% endif %}")
    options = ModelOptions(name=str(clerk), precision="fp32", chat_template=path)
    with Patches() as patches:
        (found,) = complete(load_model(options, patches), asked(prompt="hard"), tokens=40)
    assert (found.reasoning, found.text) == ("So.", '{"a": 1}')
    assert found.interventions == 0
    assert "left their grammar" not in capsys.readouterr().err


def byte_fallback() -> Any:
    """A tokenizer as Llama 2 has it: an underscore for blanks, bytes for what has no token."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += ["▁", *'ab{}":1,', "▁a", '{"', "é"]
    made = Tokenizer(
        models.BPE(
            vocab={token: at for at, token in enumerate(tokens)},
            merges=[("▁", "a"), ("{", '"')],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    found = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>", unk_token="<unk>")
    found.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    return found


def random_model(tokenizer: Any, size: int) -> Loaded:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        eos_token_id=2,
    )
    return Loaded(LlamaForCausalLM(config).eval(), tokenizer)


@pytest.mark.parametrize("padding", [0, 5])
def test_bytes_for_rare_signs_and_a_padded_head(padding: int) -> None:
    tokenizer = byte_fallback()
    model = random_model(tokenizer, len(tokenizer) + padding)
    schema = {"type": "object", "properties": {"é": {"const": "ü€"}}, "required": ["é"]}
    one = asked(prompt="ab", tags={"json_schema": {**schema, "additionalProperties": False}})
    (found,) = complete(model, one)
    assert json.loads(found.text) == {"é": "ü€"}


def test_a_tokenizer_that_cannot_be_read_is_one_sentence() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3}, "<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>")
    tokenizer.chat_template = "{{ messages[0].content }}"
    with pytest.raises(ModelError, match=r"llguidance cannot read its tokenizer .*constrained"):
        matchers(random_model(tokenizer, 4), [asked()], [[3]], {2})


def test_a_grammar_that_the_vocabulary_cannot_write_is_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = tiny_tokenizer(without="{")
    (found,) = complete(random_model(tokenizer, len(tokenizer)), asked(prompt="a"), tokens=5)
    assert found.completion_tokens == 5
    assert "1 of 1 completions left their grammar and went on freely" in capsys.readouterr().err


def test_interventions_are_a_rate_of_the_steps() -> None:
    rows = [
        Completion(
            example_id="a", text="{}", finish_reason="stop", completion_tokens=2, interventions=1
        ),
        Completion(
            example_id="b", text="{}", finish_reason="length", completion_tokens=5, interventions=3
        ),
    ]
    free = [structs.replace(row, interventions=None) for row in rows]
    judge = component("evaluators", "json_strict")()
    verdicts = [judge.evaluate(None, row) for row in rows]
    sums, plain = tally([judge], verdicts, None, rows), tally([judge], verdicts, None, free)
    rate = sums.named()["intervention_rate"]
    assert (rate.numerator, rate.denominator) == (4, 8)
    assert "intervention_rate" in metrics_table(sums)
    assert "intervention_rate" not in metrics_table(plain)
    assert "intervention_rate" in json.dumps(metrics_json(sums))
    halves = Tally([judge]), Tally([judge])
    for half, row in zip(halves, rows, strict=True):
        half.count(row)
    halves[0].merge(halves[1])
    assert halves[0].own("intervention_rate") == rate
    assert "4/8" in rates_side_by_side([judge], Answered(free, verdicts), Answered(rows, verdicts))
    arms = {"base": Answers(plain, {}), "constrained": Answers(sums, {})}
    assert "completions" in arms_table(arms)
    assert "4/8" in arms_table(arms)


def test_the_option_of_a_config(tmp_path: Path) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG.format(model=tiny_model(tmp_path / "model")))
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b"".join(map(encode, [asked(prompt="a"), asked(prompt="b")])))
    call = ["eval", str(config), "--data", str(rows), "--set", "eval.constrained=true"]
    done = CliRunner().invoke(main, [*call, "--evaluator", "json_strict", "--max-new-tokens", "9"])
    assert done.exit_code == 0, done.output
    assert "completions  intervention_rate" in done.stdout


def test_files_of_completions_keep_the_rate(tmp_path: Path) -> None:
    row = Completion(example_id="a", text="{}", completion_tokens=2, interventions=1)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        encode(row) + b'{"text": "{}", "completion_tokens": 2, "interventions": "1"}\n'
    )
    kept, odd = read_rows(path)
    assert kept == structs.replace(row, arm="replay")
    assert isinstance(odd, Completion)
    assert odd.interventions is None


def test_without_the_library_one_sentence_says_so(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "llguidance" else find(name)
    )
    way_out = "needs llguidance, which is not installed: pip install 'fmtharness[constrained]'"
    with pytest.raises(UserError, match=re.escape(f"eval.constrained {way_out}")):
        complete(loaded, asked())
    config = load_config(Path("configs/hard.toml"), overrides=["eval.constrained=true"])
    with pytest.raises(UserError, match=re.escape(f"run {way_out}")):
        needs_for_run("run", config)
