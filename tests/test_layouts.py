"""Base models without a chat template get a layout on request; every stop token ends answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from fmtharness.harness.cli import main
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine import templates
from fmtharness.harness.engine.encoding import stop_token, stop_tokens, text_of, token_ids
from fmtharness.harness.engine.generation import generate
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.slots import Slots, decode_in_slots, slots_for
from fmtharness.harness.engine.templates import chat_text, set_template
from fmtharness.harness.errors import ModelError
from fmtharness.harness.records import Message
from tests.taught import taught
from tests.tiny import TEMPLATE, tiny_config, tiny_tokenizer
from tests.tiny_gguf import write_gguf

TALK = (
    Message("system", "Use JSON."),
    Message("user", "Name a city."),
    Message("assistant", '"Oslo"'),
    Message("user", "Another."),
)
AS_CHATML = (
    "<|im_start|>system\nUse JSON.<|im_end|>\n<|im_start|>user\nName a city.<|im_end|>\n"
    '<|im_start|>assistant\n"Oslo"{end}\n<|im_start|>user\nAnother.<|im_end|>\n'
    "<|im_start|>assistant\n"
)
AS_PLAIN = (
    'Use JSON.\n\nPrompt:\nName a city.\n\nAnswer:\n"Oslo"<|end|>\n\nPrompt:\nAnother.\n\nAnswer:\n'
)


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_noted", set())


def base_tokenizer(*added: str) -> Any:
    """The tokenizer of a base model: without a chat template."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    tokenizer.add_tokens(list(added), special_tokens=True)
    return tokenizer


def laid_out(tokenizer: Any, layout: str) -> Any:
    set_template(tokenizer, ModelOptions(name="base", chat_template=Path(layout)))
    return tokenizer


@pytest.mark.parametrize(
    ("layout", "added", "text", "stop"),
    [
        (
            "chatml",
            ["<|im_start|>", "<|im_end|>"],
            AS_CHATML.format(end="<|im_end|>"),
            "<|im_end|>",
        ),
        ("chatml", [], AS_CHATML.format(end="<|end|>"), "<|end|>"),
        ("plain", [], AS_PLAIN, "<|end|>"),
        ("plain", ["<|im_end|>"], AS_PLAIN, "<|end|>"),
    ],
)
def test_a_layout_ends_answers_with_a_token_that_the_model_has(
    layout: str, added: list[str], text: str, stop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = laid_out(base_tokenizer(*added), layout)
    assert chat_text(tokenizer, TALK) == text
    assert tokenizer.convert_ids_to_tokens(stop_token(tokenizer)) == stop
    said = capsys.readouterr().err
    assert said.startswith("note: model 'base': conversations are written with ")
    assert said.endswith(f", and an answer ends with {stop} ({layout})\n")
    laid_out(tokenizer, layout)
    assert chat_text(tokenizer, TALK) == text
    assert capsys.readouterr().err == ""


def test_a_tokenizer_that_begins_with_bos_gets_it_in_a_layout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from tokenizers.processors import TemplateProcessing

    for layout, text in (("chatml", AS_CHATML.format(end="<|end|>")), ("plain", AS_PLAIN)):
        tokenizer = base_tokenizer()
        tokenizer.add_special_tokens({"bos_token": "<s>"})
        assert chat_text(laid_out(tokenizer, layout), TALK) == text
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
        )
        assert chat_text(laid_out(tokenizer, layout), TALK) == "<s>" + text
        assert ", behind <s>, and an answer ends with <|end|>" in capsys.readouterr().err


def test_a_layout_needs_a_token_to_end_with() -> None:
    tokenizer = base_tokenizer()
    tokenizer.eos_token = None
    for layout in ("chatml", "plain"):
        with pytest.raises(ModelError, match=f"'base': its tokenizer has no end.* layout {layout}"):
            laid_out(tokenizer, layout)
    tokenizer.add_tokens(["<|im_end|>"], special_tokens=True)
    assert tokenizer.decode([stop_token(laid_out(tokenizer, "chatml"))]) == "<|im_end|>"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A training on a base model."""
    path = tiny_config(tmp_path)
    (tmp_path / "model" / "chat_template.jinja").unlink()
    return path


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def test_a_base_model_is_refused_with_the_ways_out(config: Path) -> None:
    model = config.parent / "model"
    for done in (
        command("eval", "--model", model, "--num-prompts", 1),
        command("train", config, "--out", config.parent / "out"),
    ):
        assert done.exit_code == 2, done.output
        last = done.stderr.strip().splitlines()[-1]
        assert f"model '{model}' has no chat template, as base models have none" in last
        assert "--template (model.chat_template): a Jinja FILE, chatml, or plain" in last


@pytest.mark.parametrize("layout", ["chatml", "plain"])
def test_a_base_model_is_trained_and_its_adapter_judged_alone(config: Path, layout: str) -> None:
    out = config.parent / "out"
    few = ("--set", "data.n_train=8", "--set", "train.num_train_epochs=1")
    done = command("run", config, "--out", out, "--template", layout, *few)
    assert done.exit_code == 0, done.output
    assert done.stderr.count(f"an answer ends with <|end|> ({layout})") == 1
    assert f'chat_template = "{layout}"' in (out / "config.toml").read_text()
    certificate = json.loads((out / "manifest.json").read_text())["stages"]["train"]["certificate"]
    assert (certificate["compared"], certificate["stop_token"]) == (4, "<|end|>")
    fed = [
        [row["prompt_sha256"] for row in map(json.loads, path.read_text().splitlines())]
        for path in (out / "completions" / "base.jsonl", out / "completions" / "sft.jsonl")
    ]
    assert fed[0] == fed[1]
    alone = command("eval", "--adapter", out / "adapter", "--data", out / "data" / "eval.jsonl")
    assert alone.exit_code == 0, alone.output
    assert "trained" not in alone.stderr


def test_a_template_on_the_command_line(config: Path) -> None:
    model, mine = config.parent / "model", config.parent / "mine.jinja"
    mine.write_text(TEMPLATE)
    shared = ["eval", "--model", model, "--num-prompts", 1, "--max-new-tokens", 2]
    assert command(*shared, "--template", mine).exit_code == 0
    assert command(*shared, "--template", "plain").exit_code == 0
    done = command(*shared, "--template", "chatlm")
    assert done.exit_code == 2
    assert "'chatlm': cannot be read (No such file or directory)" in done.stderr
    assert "name a Jinja file, chatml or plain" in done.stderr
    done = command(*shared, "--template", "plain", "--set", "model.chat_template=chatml")
    assert (done.exit_code, "both name a template; give one" in done.stderr) == (2, True)
    done = command("train", config, "--template", mine, "--set", "model.chat_template=chatml")
    assert (done.exit_code, "both name a template; give one" in done.stderr) == (2, True)
    rows = config.parent / "rows.jsonl"
    rows.write_text('{"text": "{}"}\n')
    done = command("eval", "--completions", rows, "--template", "plain")
    assert (done.exit_code, "leave --model, --template" in done.stderr) == (2, True)


def test_a_gguf_without_a_template_gets_a_layout(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMTHARNESS_CACHE", str(config.parent / "cache"))
    path = write_gguf(config.parent / "model", config.parent / "base.gguf", template=None)
    shared = ["eval", "--model", path, "--num-prompts", 1, "--max-new-tokens", 2]
    done = command(*shared)
    assert done.exit_code == 2
    assert "--template (model.chat_template): a Jinja FILE, chatml, or plain" in done.stderr
    assert command(*shared, "--template", "chatml").exit_code == 0


ENDS = {
    "llama": ("<|eot_id|>", "<|end_of_text|>"),
    "gemma": ("<end_of_turn>", "<eos>"),
    "qwen": ("<|im_end|>", "<|endoftext|>"),
}
"""What ends a turn, and what ends a text."""
PROMPTS = ("turn", "text")


@pytest.fixture(scope="module", params=ENDS)
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that ends its answer to "turn" with one token, and that to "text" with the other."""
    turn, text = ENDS[request.param]
    tokenizer = tiny_tokenizer(TEMPLATE.replace("{{ m.content }}<|end|>", "{{ m.content }}" + turn))
    tokenizer.add_tokens([turn, text], special_tokens=True)
    tokenizer.eos_token = text
    pairs = [
        (
            token_ids(tokenizer, f"<|user|>{asked}{turn}<|assistant|>"),
            token_ids(tokenizer, "{}" + end),
        )
        for asked, end in zip(PROMPTS, (turn, text), strict=True)
    ]
    ids = [tokenizer.convert_tokens_to_ids(each) for each in (text, turn)]
    return taught(tmp_path_factory.mktemp("ended"), tokenizer, pairs, eos=ids)


@pytest.mark.parametrize("known", ["model", "template"])
def test_every_stop_token_ends_an_answer(ended: Path, known: str) -> None:
    """Those of the generation config, and without one those of the template and the tokenizer."""
    with Patches() as patches:
        loaded = load_model(ModelOptions(name=str(ended), precision="fp32"), patches)
        model, tokenizer = loaded.model, loaded.tokenizer
        if known == "template":
            model.generation_config.eos_token_id = None
        else:
            tokenizer.chat_template = TEMPLATE
        stops = stop_tokens(loaded)
        assert len(stops) == (2 if known == "template" else 3)
        turn = loaded.tokenizer.convert_ids_to_tokens(min(stops - {0}))
        prompts = [token_ids(tokenizer, f"<|user|>{asked}{turn}<|assistant|>") for asked in PROMPTS]
        found = sorted(
            generate(model, prompts, stop_ids=stops, pad_id=0, max_new_tokens=8, batch_size=2)
        )
        with torch.inference_mode():
            slots = slots_for(model, patches, prompts, [0, 1], count=2, length=64, kind=Slots)
            assert slots is not None
            in_slots = sorted(decode_in_slots(slots, prompts, [0, 1], {0: 8, 1: 8}, stops))
    for each in (*found, *in_slots):
        assert (text_of(tokenizer, each.ids), each.finish_reason) == ("{}", "stop")
