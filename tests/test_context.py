"""Rows beyond a model's context or its embedding: unscored, left out, or a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from fmtharness.harness.backends.transformers import complete_with
from fmtharness.harness.cli import main
from fmtharness.harness.contracts import Loaded, ModelOptions
from fmtharness.harness.engine.context import LENGTHS, context_length
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.errors import ModelError
from fmtharness.harness.records import Completion, Example, Message, Verdict, read_records
from tests.fakes import completed_in_order
from tests.tiny import CONFIG, tiny_model, tiny_tokenizer

CONTEXT = 230
"""Shorter than one of the four eval prompts, and than most of the rows of training."""


def learned_positions(kind: str, folder: Path, *, context: int, rows: int | None = None) -> Path:
    """A model with an embedding of positions, and the tokenizer of bytes."""
    from transformers import GPT2Config, GPT2LMHeadModel, OPTConfig, OPTForCausalLM

    tokenizer = tiny_tokenizer()
    vocabulary = rows or len(tokenizer)
    torch.manual_seed(0)
    model: Any
    if kind == "gpt2":
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocabulary,
                n_positions=context,
                n_embd=32,
                n_layer=1,
                n_head=2,
                bos_token_id=0,
                eos_token_id=0,
            )
        )
    else:
        model = OPTForCausalLM(
            OPTConfig(
                vocab_size=vocabulary,
                max_position_embeddings=context,
                hidden_size=32,
                word_embed_proj_dim=32,
                ffn_dim=64,
                num_hidden_layers=1,
                num_attention_heads=2,
                bos_token_id=0,
                eos_token_id=0,
                pad_token_id=0,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def run(model: Path, *settings: str, command: str = "run") -> Result:
    config = model.parent / "tiny.toml"
    config.write_text(CONFIG.format(model=model))
    chosen = [part for each in settings for part in ("--set", each)]
    out = ["--out", str(model.parent / "out")]
    return CliRunner().invoke(main, [command, str(config), *out, *chosen])


def example(text: str, name: str = "e") -> Example:
    return Example(
        id=name, prompt=(Message("user", text),), completion="{}", format="json", value={}
    )


@pytest.mark.parametrize("kind", ["gpt2", "opt"])
def test_what_is_longer_than_the_context_is_unscored_and_left_out(
    kind: str, tmp_path: Path
) -> None:
    done = run(learned_positions(kind, tmp_path / "model", context=CONTEXT))
    assert done.exit_code == 3, done.output
    assert f"tokens, and the model's context {CONTEXT}" in done.stderr
    out = tmp_path / "out"
    trained = json.loads((out / "manifest.json").read_text())["stages"]["train"]
    left_out = trained["left_out"]
    assert 0 < left_out < 24
    assert trained["certificate"]["examples"] == 24 - left_out
    said = f"train: left out {left_out} Examples longer than {CONTEXT} tokens, which is the model's"
    assert said in done.stderr
    for arm in ("base", "sft"):
        answers = list(read_records(out / "completions" / f"{arm}.jsonl", Completion))
        long = {each.example_id for each in answers if (each.prompt_tokens or 0) >= CONTEXT}
        assert 0 < len(long) < 4
        assert {each.example_id for each in answers if each.finish_reason == "error"} == long
        judged = list(read_records(out / "verdicts" / f"{arm}.jsonl", Verdict))
        assert {each.id for each in judged if each.passed is None} == long
        reasons = {each.problems[0].message for each in judged if each.passed is None}
        assert all("its prompt has " in reason for reason in reasons)


def test_if_nothing_fits_the_context_a_sentence_says_so(tmp_path: Path) -> None:
    done = run(learned_positions("gpt2", tmp_path / "model", context=64), command="train")
    assert done.exit_code == 2, done.output
    assert (
        "error: train: all 24 train Examples are longer than the model's context = 64 tokens"
        in done.stderr
    )


def test_generation_stops_where_the_context_ends(tmp_path: Path) -> None:
    model = learned_positions("gpt2", tmp_path, context=32)
    loaded = load_model(ModelOptions(name=str(model)), Patches())
    examples = [example("x" * n, str(n)) for n in (1, 28, 29, 40)]
    found = completed_in_order(loaded, examples, max_new_tokens=64, batch_size=4)
    assert [each.prompt_tokens for each in found] == [4, 31, 32, 43]
    assert [each.finish_reason for each in found][2:] == ["error", "error"]
    assert found[3].error == "its prompt has 43 tokens, and the model's context 32"
    for each in found[:2]:
        assert each.finish_reason == "stop" or (
            (each.prompt_tokens or 0) + (each.completion_tokens or 0) == 32
        )


def test_an_answer_is_there_before_the_others(tmp_path: Path) -> None:
    """So that a killed run has lost only what was not finished."""
    model = learned_positions("gpt2", tmp_path, context=32)
    loaded = load_model(ModelOptions(name=str(model)), Patches())
    passes: list[int] = []
    loaded.model.register_forward_hook(lambda *_: passes.append(1))
    examples = [example("x", str(n)) for n in range(4)]
    answers = complete_with(loaded, examples, max_new_tokens=8, batch_size=1)
    next(answers)
    first = len(passes)
    assert len([*answers]) == 3
    assert first * 2 < len(passes)


def test_half_of_a_character_is_one_prompts_fault(tmp_path: Path) -> None:
    model = learned_positions("gpt2", tmp_path, context=32)
    loaded = load_model(ModelOptions(name=str(model)), Patches())
    examples = [example("good", "a"), example("half \ud83d", "b"), example("fine", "c")]
    found = completed_in_order(loaded, examples, max_new_tokens=2, batch_size=2)
    assert [each.error for each in found] == [None, "its text has half of a surrogate pair", None]
    assert found[1].finish_reason == "error"


@pytest.mark.parametrize("name", LENGTHS)
def test_what_configs_call_the_context(name: str) -> None:
    from transformers import PretrainedConfig

    own: Any = PretrainedConfig()
    setattr(own, name, 77)
    assert context_length(own) == 77
    outer: Any = PretrainedConfig()
    outer.text_config = own
    assert context_length(outer) == 77


def test_the_context_of_known_configs() -> None:
    from transformers import GPT2Config, MambaConfig, MptConfig, OPTConfig

    assert context_length(GPT2Config(n_positions=33)) == 33
    assert context_length(OPTConfig(max_position_embeddings=33)) == 33
    assert context_length(MptConfig(max_seq_len=33)) == 33
    assert context_length(MambaConfig()) is None


@pytest.mark.parametrize("command", ["run", "train"])
def test_a_token_that_the_embedding_lacks_is_named(command: str, tmp_path: Path) -> None:
    model = learned_positions("gpt2", tmp_path / "model", context=2048, rows=200)
    done = run(model, command=command)
    assert done.exit_code == 2, done.output
    last = done.stderr.strip().splitlines()[-1]
    assert "its tokenizer has 260 tokens and its embedding 200, and the prompt of Example" in last
    assert "needs the token" in last
    assert "Traceback" not in done.output


def with_tokens(folder: Path, *added: str, **special: str) -> Loaded:
    """The tiny model, whose tokenizer has tokens that the embedding lacks."""
    loaded = load_model(ModelOptions(name=str(tiny_model(folder))), Patches())
    loaded.tokenizer.add_tokens([*added])
    loaded.tokenizer.add_special_tokens(special)
    return loaded


def test_tokens_beyond_the_embedding_do_no_harm_until_one_is_needed(tmp_path: Path) -> None:
    loaded = with_tokens(tmp_path, "<extra>", pad_token="[PAD]")
    examples = [example("x", "short"), example("xxxxx", "longer")]
    kept = completed_in_order(loaded, examples, max_new_tokens=4, batch_size=2)
    plain = load_model(ModelOptions(name=str(tmp_path)), Patches())
    assert kept == completed_in_order(plain, examples, max_new_tokens=4, batch_size=2)
    said = r"has 262 tokens and its embedding 260, and the prompt of Example 1 needs the token '<ex"
    with pytest.raises(ModelError, match=said):
        completed_in_order(
            loaded,
            [example("a", "a"), example("<extra>", "b")],
            max_new_tokens=4,
            batch_size=2,
        )


def test_a_stop_token_beyond_the_embedding_is_refused(tmp_path: Path) -> None:
    loaded = with_tokens(tmp_path, "<|im_end|>")
    template = loaded.tokenizer.chat_template
    loaded.tokenizer.chat_template = template.replace(
        "{{ m.content }}<|end|>",
        "{{ m.content }}{{ '<|im_end|>' if m.role == 'assistant' else '<|end|>' }}",
    )
    with pytest.raises(
        ModelError, match=r"and the chat template needs the token '<.im_end.>' \(id"
    ):
        completed_in_order(loaded, [example("a")], max_new_tokens=4, batch_size=2)


def test_an_answer_with_an_error_is_unscored_in_a_file_too(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    failed = {"text": "", "finish_reason": "error", "error": {"code": "context_length_exceeded"}}
    rows.write_text("".join(json.dumps(row) + "\n" for row in (failed, {"text": "{}"})))
    done = CliRunner().invoke(main, ["eval", "--completions", str(rows)])
    assert done.exit_code == 3, done.output
    assert "1 unscored, the first because {'code': 'context_length_exceeded'}" in done.output
