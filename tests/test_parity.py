"""Training and generation see the same prompts, by two independent sides; a planted fault shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import structs

from fmtharness.harness.backends import transformers as backend
from fmtharness.harness.cli import main
from fmtharness.harness.engine import encoding, prompts
from fmtharness.harness.engine.encoding import Encoded, encode_example, encode_prompt, stop_token
from fmtharness.harness.engine.parity import certify
from fmtharness.harness.errors import ParityError
from fmtharness.harness.records import (
    Completion,
    Example,
    Message,
    ids_digest,
    read_records,
    write_records,
)
from fmtharness.harness.run import data, stages
from fmtharness.trainers import loop
from tests.tiny import TEMPLATE, tiny_config, tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tiny_config(tmp_path)


EXAMPLES = [
    Example(
        id=f"train-{index}",
        prompt=(Message("system", "Use JSON. "), Message("user", f"x is {text}\n")),
        completion=json.dumps({"x": text}, ensure_ascii=False),
        format="json",
        value={"x": text},
    )
    for index, text in enumerate(["Ada", "Ångström", "名前", 'a "b"'])
]


def rows_of(tokenizer: Any) -> list[Encoded]:
    return [encode_example(tokenizer, each, stop_token(tokenizer)) for each in EXAMPLES]


def fed(tokenizer: Any, change: Any = lambda ids: ids) -> dict[str, Completion]:
    """What a backend reports that feeds the first two prompts, changed."""
    found = {}
    for each in EXAMPLES[:2]:
        ids = change(encode_prompt(tokenizer, each.prompt))
        found[each.id] = Completion(
            example_id=each.id, text="", prompt_sha256=ids_digest(ids), prompt_tokens=len(ids)
        )
    return found


def test_the_certificate_counts_what_it_compared(tokenizer: Any) -> None:
    found = certify(tokenizer, EXAMPLES, rows_of(tokenizer), fed(tokenizer), backend="local")
    assert (found["examples"], found["compared"], found["backend"]) == (4, 2, "local")
    assert "not_compared" not in found
    silent = {"train-0": Completion(example_id="train-0", text="")}
    for nothing in (silent, {}):
        found = certify(tokenizer, EXAMPLES, rows_of(tokenizer), nothing, backend="server")
        assert found["compared"] == 0
        assert found["not_compared"].startswith("backend 'server' reports no token ids")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ids: [0, *ids], "it puts the EOS token '<|end|>' in front of the prompt"),
        (lambda ids: [*ids, 0], "it appends the EOS token '<|end|>' to the prompt"),
        (lambda ids: [*ids, 9, 9], "it feeds 26 tokens, and the training row begins with 24"),
    ],
)
def test_a_backend_that_feeds_other_ids_is_refused(tokenizer: Any, change: Any, said: str) -> None:
    with pytest.raises(
        ParityError, match=r"Example train-0: .* than backend 'local' feeds"
    ) as error:
        certify(tokenizer, EXAMPLES, rows_of(tokenizer), fed(tokenizer, change), backend="local")
    assert str(error.value).endswith(said)


def test_a_backend_that_adds_bos_is_refused(tokenizer: Any) -> None:
    tokenizer.bos_token = "<|system|>"
    try:
        added = fed(tokenizer, lambda ids: [tokenizer.bos_token_id, *ids])
        with pytest.raises(ParityError, match=r"it puts the BOS token '<.system.>' in front of"):
            certify(tokenizer, EXAMPLES, rows_of(tokenizer), added, backend="local")
        rows = [Encoded([3, *row.ids], row.prompt_length + 1) for row in rows_of(tokenizer)]
        with pytest.raises(ParityError, match=r"it lacks the BOS token '<.system.>' in front of"):
            certify(tokenizer, EXAMPLES, rows, fed(tokenizer), backend="local")
    finally:
        tokenizer.bos_token = None


def test_rows_without_their_end_are_refused(tokenizer: Any) -> None:
    rows = [Encoded(row.ids[:-1], row.prompt_length) for row in rows_of(tokenizer)]
    with pytest.raises(ParityError, match="train-0: its training row does not end with the stop"):
        certify(tokenizer, EXAMPLES, rows, {}, backend="local")


@pytest.mark.parametrize(
    ("normalizer", "said"),
    [
        ("Lowercase", '\'{"x": "ada"}\' where \'{"x": "Ada"}\' should be'),
        ("StripAccents", '\'{"x": "Angstrom"}\' where \'{"x": "Ångström"}\' should be'),
    ],
)
def test_a_tokenizer_that_loses_text_is_refused(tmp_path: Path, normalizer: str, said: str) -> None:
    from tokenizers import normalizers
    from transformers import AutoTokenizer

    lossy: Any = AutoTokenizer.from_pretrained(tiny_model(tmp_path))
    parts = [normalizers.NFD()] if normalizer == "StripAccents" else []
    parts.append(getattr(normalizers, normalizer)())
    lossy.backend_tokenizer.normalizer = normalizers.Sequence(parts)
    with pytest.raises(ParityError, match="the tokenizer loses text, refusing to train") as error:
        certify(lossy, EXAMPLES, rows_of(lossy), {}, backend="local")
    assert said in str(error.value)


def test_a_difference_in_the_first_character_is_shown(tokenizer: Any) -> None:
    long = structs.replace(EXAMPLES[0], completion="[" + 80 * "x")
    row = encode_example(tokenizer, long, stop_token(tokenizer))
    other = [*row.ids[: row.prompt_length], 9, *row.ids[row.prompt_length + 1 :]]
    with pytest.raises(ParityError, match=r"where '\[x+' should be"):
        certify(tokenizer, [long], [Encoded(other, row.prompt_length)], {}, backend="local")


def run(config: Path, *arguments: str) -> Any:
    return CliRunner().invoke(main, [*arguments, str(config), "--out", str(config.parent / "out")])


def test_a_run_certifies_what_its_backend_fed(config: Path) -> None:
    done = run(config, "train")
    assert done.exit_code == 0, done.output
    out = config.parent / "out"
    found = json.loads((out / "manifest.json").read_text())["stages"]["train"]["certificate"]
    assert (found["examples"], found["compared"], found["backend"]) == (24, 4, "transformers")
    rows = list(read_records(out / "completions" / "parity.jsonl", Completion))
    assert [row.example_id for row in rows] == [f"train-{index}" for index in range(4)]
    assert all(row.arm == "base" and row.prompt_sha256 for row in rows)
    assert "parity not proved" not in done.output


def test_a_template_that_trims_in_training_is_refused(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trimmed(tokenizer: Any, example: Example, stop_id: int) -> Encoded:
        turns = tuple(structs.replace(m, content=m.content.strip(" .")) for m in example.prompt)
        return encode_example(tokenizer, structs.replace(example, prompt=turns), stop_id)

    monkeypatch.setattr(loop, "encode_example", trimmed)
    done = run(config, "train")
    assert done.exit_code == 2
    assert "error: Example train-0: training would begin with other token ids" in done.stderr
    assert "the template of training differs: it changes the prompt" in done.stderr
    assert not (config.parent / "out" / "adapter").exists()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("eos", "it puts the EOS token '<|end|>' in front of the prompt"),
        ("trim", "it trims the messages of the prompt"),
        ("tools", "it leaves the tools out"),
    ],
)
def test_a_fault_of_the_backend_alone_is_refused(
    config: Path, fault: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = encoding.encode_prompt

    def planted(tokenizer: Any, prompt: Sequence[Message], tools: Any = ()) -> list[int]:
        if fault == "eos":
            return [0, *own(tokenizer, prompt, tools)]
        if fault == "tools":
            return own(tokenizer, prompt)
        stripped = [structs.replace(m, content=m.content.strip()) for m in prompt]
        return own(tokenizer, stripped, tools)

    complete_with = backend.complete_with

    def faulty(*arguments: Any, **named: Any) -> Any:
        with monkeypatch.context() as patch:  # training has the function as it was
            patch.setattr(prompts, "encode_prompt", planted)
            yield from complete_with(*arguments, **named)

    write = data.write_data

    def with_blanks(config: Any, folder: Path) -> list[Path]:
        files = write(config, folder)
        rows = list(read_records(folder / "train.jsonl", Example))
        blank = [
            structs.replace(
                r,
                prompt=(*r.prompt[:-1], Message("user", r.prompt[-1].content + " ")),
                tools=({"type": "function", "function": {"name": "book"}},),
            )
            for r in rows
        ]
        write_records(folder / "train.jsonl", blank)
        return files

    with_tools = "{% if tools %}{{ tools | tojson }}{% endif %}" + TEMPLATE
    (config.parent / "model" / "chat_template.jinja").write_text(with_tools)
    monkeypatch.setattr(backend, "complete_with", faulty)
    monkeypatch.setattr(stages, "write_data", with_blanks)
    done = run(config, "train")
    assert done.exit_code == 2, done.output
    assert "than backend 'transformers' feeds, refusing to train" in done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("unk", [None, "<unk>", "<|end|>"])
@pytest.mark.parametrize(
    ("lacked", "example_id"), [("\n", "train-0"), ("{", "train-2"), ("<", "train-2")]
)
def test_a_vocabulary_that_lacks_a_character_of_prompts_is_refused(
    unk: str | None, lacked: str, example_id: str
) -> None:
    lossy = tiny_tokenizer(without=lacked, unk=unk)
    examples = [structs.replace(each, completion="[]") for each in EXAMPLES]
    asked = Message("user", f"like {lacked}")
    examples[2] = structs.replace(examples[2], prompt=(asked,))
    rows = [encode_example(lossy, each, stop_token(lossy)) for each in examples]
    with pytest.raises(ParityError, match="the tokenizer loses text, refusing to train") as error:
        certify(lossy, examples, rows, {}, backend="local")
    said = f"Example {example_id}: the tokenizer loses text, refusing to train: it has no token for"
    assert f"{said} {lacked!r}, which the prompt holds" in str(error.value)


@pytest.mark.parametrize("unk", [None, "<unk>", "<|end|>"])
def test_a_vocabulary_that_lacks_a_character_of_completions_is_refused(unk: str | None) -> None:
    lossy = tiny_tokenizer(without="{", unk=unk)
    with pytest.raises(ParityError, match=r"which differs at '\{'; tokenizer") as error:
        certify(lossy, EXAMPLES, rows_of(lossy), {}, backend="local")
    assert str(error.value).startswith("Example train-0: the tokenizer loses text")


def test_a_template_whose_own_text_is_lost_is_refused() -> None:
    template = TEMPLATE.replace("<|assistant|>{%", "<|assistant|>\n{%")
    lossy = tiny_tokenizer(template, without="\n", unk="<unk>")
    examples = [
        structs.replace(each, prompt=(Message("user", "x"),), completion="[]") for each in EXAMPLES
    ]
    rows = [encode_example(lossy, each, stop_token(lossy)) for each in examples]
    with pytest.raises(ParityError, match=r"it has no token for '\\n', which the prompt holds"):
        certify(lossy, examples, rows, {}, backend="local")
    whole = tiny_tokenizer(TEMPLATE, without="\n", unk="<unk>")
    rows = [encode_example(whole, each, stop_token(whole)) for each in examples]
    assert "lossy_prompts" not in certify(whole, examples, rows, {}, backend="local")


def test_prompts_that_lose_other_characters_are_counted(tokenizer: Any) -> None:
    lossy = tiny_tokenizer(without="名", unk="<unk>")
    examples = [structs.replace(each, completion="[]") for each in EXAMPLES]
    rows = [encode_example(lossy, each, stop_token(lossy)) for each in examples]
    assert certify(lossy, examples, rows, {}, backend="local")["lossy_prompts"] == 1
    rows = [encode_example(tokenizer, each, stop_token(tokenizer)) for each in examples]
    assert "lossy_prompts" not in certify(tokenizer, examples, rows, {}, backend="local")


def test_a_run_on_a_tokenizer_without_line_breaks_is_refused(config: Path) -> None:
    lossy = tiny_tokenizer(without="\n", unk="<unk>")
    lossy.save_pretrained(config.parent / "model")
    done = run(config, "train")
    assert done.exit_code == 2, done.output
    assert "error: Example train-" in done.stderr
    assert "the tokenizer loses text, refusing to train" in done.stderr
    assert not (config.parent / "out" / "adapter").exists()


def test_a_run_says_how_many_prompts_lose_characters(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_tokenizer(without="名", unk="<unk>").save_pretrained(config.parent / "model")
    write = data.write_data

    def with_a_name(config: Any, folder: Path) -> list[Path]:
        files = write(config, folder)
        first, *rest = read_records(folder / "train.jsonl", Example)
        named = structs.replace(first, prompt=(*first.prompt[:-1], Message("user", "名")))
        write_records(folder / "train.jsonl", [named, *rest])
        return files

    monkeypatch.setattr(stages, "write_data", with_a_name)
    done = run(config, "train")
    assert done.exit_code == 0, done.output
    assert "train: 1 prompts hold characters that the tokenizer lacks" in done.stderr
