"""Chat templates of other people's models: used as they are meant, or refused in a sentence."""

from __future__ import annotations

import json
import shutil
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result
from msgspec import structs
from transformers.utils import chat_template_utils

from fmtharness.harness.cli import main
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine import templates
from fmtharness.harness.engine.encoding import (
    encode_example,
    encode_prompt,
    stop_token,
    stop_tokens,
)
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.templates import chat_text, set_template
from fmtharness.harness.errors import ModelError, StoppedError
from fmtharness.harness.records import (
    Completion,
    Example,
    Message,
    Verdict,
    read_records,
    write_records,
)
from fmtharness.harness.run import data, folder, stages
from fmtharness.harness.trained_on import TrainedOn, trained_on
from fmtharness.trainers import loop
from fmtharness.trainers.resume.progress import save
from tests.tiny import TEMPLATE, tiny_config, tiny_model, tiny_tokenizer

ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + ALTERNATING
)
DROPS_SYSTEM = TEMPLATE.replace(
    "{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"
)
DATED = "{{ '<|system|>' }}Today: {{ strftime_now('%d %b %Y') }}<|end|>" + TEMPLATE
LLAMA_DATED = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    '{% set date_string = strftime_now("%d %b %Y") %}{% else %}'
    '{% set date_string = "26 Jul 2024" %}'
    "{% endif %}{% endif %}<|system|>Today Date: {{ date_string }}<|end|>" + TEMPLATE
)
THINKS = TEMPLATE.replace(
    "<|assistant|>{% endif %}",
    "<|assistant|>{% if enable_thinking is defined and enable_thinking is false %}"
    "<think></think>{% endif %}{% endif %}",
)
ASKED = (Message("system", "Use JSON."), Message("user", "Name a city."))


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_noted", set())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tiny_config(tmp_path)


def with_template(config: Path, template: str) -> Path:
    (config.parent / "model" / "chat_template.jinja").write_text(template, encoding="utf-8")
    return config


def run(command: str, config: Path, *settings: str) -> Result:
    out = ["--out", str(config.parent / "out")]
    chosen = [part for each in settings for part in ("--set", each)]
    return CliRunner().invoke(main, [command, str(config), *out, *chosen])


def completions(config: Path, name: str) -> list[Completion]:
    path = config.parent / "out" / "completions" / f"{name}.jsonl"
    return list(read_records(path, Completion))


def prompts_fed(config: Path, name: str) -> list[str | None]:
    return [each.prompt_sha256 for each in completions(config, name)]


@pytest.mark.parametrize("template", [NO_SYSTEM, ALTERNATING, DROPS_SYSTEM])
def test_a_system_message_that_is_not_taken_goes_into_the_users_turn(
    template: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = tiny_tokenizer(template)
    text = "<|user|>Use JSON.\n\nName a city.<|end|><|assistant|>"
    assert chat_text(tokenizer, ASKED) == text
    example = Example(id="0", prompt=ASKED, completion="{}", format="json", value={})
    row = encode_example(tokenizer, example, stop_token(tokenizer))
    assert row.ids[: row.prompt_length] == encode_prompt(tokenizer, ASKED)
    assert tokenizer.decode(row.ids[: row.prompt_length]) == text
    said = capsys.readouterr().err
    assert said.count("the system message, which goes into the user's turn") == 1
    longer = [*ASKED, Message("assistant", "{}"), Message("user", "And another.")]
    assert chat_text(tokenizer, longer) == (
        "<|user|>Use JSON.\n\nName a city.<|end|><|assistant|>{}<|end|>"
        "<|user|>And another.<|end|><|assistant|>"
    )


def test_a_template_that_takes_the_system_message_gets_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = chat_text(tiny_tokenizer(), ASKED)
    assert text == "<|system|>Use JSON.<|end|><|user|>Name a city.<|end|><|assistant|>"
    escaping = TEMPLATE.replace("m.content", "m.content | tojson")
    quoted = (Message("system", 'Say "x".'), Message("user", "Go."))
    assert chat_text(tiny_tokenizer(escaping), quoted).startswith('<|system|>"Say \\"x')
    assert capsys.readouterr().err == ""


def test_a_run_on_a_model_that_refuses_the_system_role(config: Path) -> None:
    done = run("run", with_template(config, NO_SYSTEM))
    assert done.exit_code == 0, done.output
    assert done.stderr.count("chat template refuses the system message") == 1
    assert all(each.finish_reason != "error" for each in completions(config, "sft"))


def test_a_conversation_that_is_refused_is_unscored_and_left_out(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = data.write_data

    def with_two_users(config: Any, folder: Path) -> list[Path]:
        files = write(config, folder)
        for split in ("train", "eval"):
            first, *rest = read_records(folder / f"{split}.jsonl", Example)
            twice = structs.replace(first, prompt=(*first.prompt, Message("user", "Now.")))
            write_records(folder / f"{split}.jsonl", [twice, *rest])
        return files

    monkeypatch.setattr(stages, "write_data", with_two_users)
    done = run("run", with_template(config, NO_SYSTEM))
    assert done.exit_code == 3, done.output
    assert "generate: 1 of " in done.stderr
    assert "train: left out 1 Examples whose prompt has no text; the first is " in done.stderr
    for arm in ("base", "sft"):
        first, *rest = completions(config, arm)
        assert first.finish_reason == "error"
        assert first.error is not None
        assert "the chat template fails: Conversation roles must alternate" in first.error
        assert all(each.error is None and each.finish_reason != "error" for each in rest)
        judged = list(read_records(config.parent / "out" / "verdicts" / f"{arm}.jsonl", Verdict))
        unscored = [each for each in judged if each.passed is None]
        assert {each.id for each in unscored} == {first.example_id}
        assert unscored[0].problems[0].message == first.error
    manifest = json.loads((config.parent / "out" / "manifest.json").read_text())
    trained = manifest["stages"]["train"]
    assert (trained["left_out"], trained["certificate"]["examples"]) == (1, 23)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for m in messages %}{{ m.content }}", "fails in line 1: "),
        ("{{ messages[0].content.nothing() }}", "'nothing'"),
        ("{{ messages[0].missing.deep }}", "has no attribute 'missing'"),
        ("{{ raise_exception('not a\nchat model') }}", "fails: not a"),
        ("{{ 'a' + 1 }}", "can only concatenate str"),
    ],
)
@pytest.mark.parametrize("as_file", [False, True])
def test_a_broken_template_is_one_sentence(
    config: Path, template: str, said: str, as_file: bool
) -> None:
    if as_file:
        path = config.parent / "mine.jinja"
        path.write_text(template, encoding="utf-8")
        done = run("train", config, f'model.chat_template="{path}"')
    else:
        path = config.parent / "model"
        done = run("train", with_template(config, template))
    assert done.exit_code == 2, done.output
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert str(path) in last
    assert "the chat template fails" in last
    assert said in last
    assert "Traceback" not in done.output


def test_a_template_file_that_is_missing_is_named(config: Path) -> None:
    (config.parent / "mine.jinja").write_text(TEMPLATE)
    done = run("train", config, f'model.chat_template="{config.parent / "mime.jinja"}"')
    assert done.exit_code == 2
    assert "mime.jinja': cannot be read (No such file or directory), did you mean" in done.stderr


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_template_file_is_named(config: Path, text: str) -> None:
    path = config.parent / "mine.jinja"
    path.write_text(text)
    done = run("train", config, f'model.chat_template="{path}"')
    assert done.exit_code == 2
    assert f"model.chat_template = '{path}': it is empty; name a Jinja file" in done.stderr


def closing(after: str, between: str = "") -> str:
    """A template that writes `after` behind an assistant's message, and `between` before others."""
    return (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}"
        + after
        + "{% else %}"
        "{% if not loop.first %}" + between + "{% endif %}<|user|>{{ m.content }}<|assistant|>"
        "{% endif %}{% endfor %}"
    )


@pytest.mark.parametrize(
    ("template", "token"),
    [
        (closing("<|end|>\n"), "<|end|>"),
        (closing("\n<|end|>"), "<|end|>"),
        (closing("\n<|im_end|>\n"), "<|im_end|>"),
        (closing(" so.\n<|im_end|>"), "<|im_end|>"),
        (closing("\n"), "<|user|>"),
        (closing(""), "<|user|>"),
        (closing("", between="<|im_end|>"), "<|im_end|>"),
        (closing("", between="<s>"), "<|user|>"),
        (closing("answer"), "<|user|>"),
        (closing("\n").replace("<|user|>", "User: "), "<|end|>"),
        (NO_SYSTEM, "<|end|>"),
        (THINKS, "<|end|>"),
        ("{{ messages[-1].content }}{% if not add_generation_prompt %}{{ no() }}{% endif %}", ""),
    ],
)
@pytest.mark.parametrize("unk", [None, "<unk>"])
def test_the_stop_token(template: str, token: str, unk: str | None) -> None:
    """Line breaks and words may be added tokens, and the unknown token and BOS are special."""
    from tokenizers import AddedToken

    tokenizer = tiny_tokenizer(template, without="\n" if unk else "", unk=unk)
    tokenizer.add_tokens([AddedToken("<|im_end|>", special=False), AddedToken("answer")])
    if unk is None:
        tokenizer.add_tokens([AddedToken("\n", special=False)])
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    assert tokenizer.decode([stop_token(tokenizer)]) == (token or "<|end|>")


def test_a_generation_prompt_that_the_closed_conversation_lacks() -> None:
    """As of models that think: the text before the answer differs."""
    template = TEMPLATE.replace("<|assistant|>{% endif", "<|assistant|><think>\n{% endif")
    tokenizer = tiny_tokenizer(template.replace("<|end|>", "<|im_end|>"))
    tokenizer.add_tokens(["<|im_end|>"])
    assert tokenizer.decode([stop_token(tokenizer)]) == "<|im_end|>"


def test_a_line_break_as_end_of_sequence_ends_nothing(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(closing("\n").replace("<|user|>", "User: "), eos="Ċ")
    assert tokenizer.decode([tokenizer.eos_token_id]) == "\n"
    with pytest.raises(ModelError, match="its tokenizer has no stop token"):
        stop_token(tokenizer)
    loaded = load_model(ModelOptions(name=str(tiny_model(tmp_path))), Patches())
    loaded.model.generation_config.eos_token_id = [0, tokenizer.eos_token_id]
    assert stop_tokens(loaded) == {0}


def prepared(template: str, **options: Any) -> Any:
    tokenizer = tiny_tokenizer(template)
    set_template(tokenizer, ModelOptions(**options))
    return tokenizer


def test_an_argument_that_the_template_does_not_use_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    off: Any = {"enable_thinking": False}
    text = chat_text(prepared(TEMPLATE, chat_template_kwargs=off), ASKED)
    assert text == chat_text(prepared(TEMPLATE), ASKED)
    assert "its chat template does not use enable_thinking" in capsys.readouterr().err
    saved = prepared(THINKS, chat_template_kwargs=off)
    set_template(saved, ModelOptions(chat_template_kwargs=off))
    assert "does not use" not in capsys.readouterr().err


def test_a_template_is_given_its_arguments_and_keeps_them(tmp_path: Path) -> None:
    assert chat_text(prepared(THINKS), ASKED).endswith("<|assistant|>")
    tokenizer = prepared(THINKS, chat_template_kwargs={"enable_thinking": False, "n": 'a"%}é'})
    assert chat_text(tokenizer, ASKED).endswith("<|assistant|><think></think>")
    tokenizer.save_pretrained(tmp_path)
    from transformers import AutoTokenizer

    saved: Any = AutoTokenizer.from_pretrained(tmp_path)
    assert chat_text(saved, ASKED).endswith("<|assistant|><think></think>")
    template = saved.chat_template
    set_template(saved, ModelOptions(chat_template_kwargs={"enable_thinking": False, "n": 'a"%}é'}))
    assert saved.chat_template == template, "the same arguments a second time change nothing"
    set_template(saved, ModelOptions(chat_template_kwargs={"enable_thinking": True}))
    assert chat_text(saved, ASKED).endswith("<|assistant|>"), "the newest win"
    shown = prepared(
        "{{ n }}|{{ f }}|{{ i }}", chat_template_kwargs={"n": 'a"%}é', "f": 0.5, "i": 3}
    )
    assert chat_text(shown, ASKED[1:]) == 'a"%}é|0.5|3'


def test_the_text_of_a_template_stays_as_it_is() -> None:
    """Its first line break, and the blanks before its first statement, are not changed."""
    for start in ("", "\n", "  {% if true %}x{% endif %}\n", " "):
        plain = chat_text(tiny_tokenizer(start + TEMPLATE), ASKED)
        assert chat_text(prepared(start + TEMPLATE, chat_template_kwargs={"a": 1}), ASKED) == plain


@pytest.mark.parametrize("key", ['"two words" = 1', "messages = 1", "deep = { a = 1 }"])
def test_arguments_that_no_template_can_be_given(config: Path, key: str) -> None:
    config.write_text(config.read_text() + f"[model.chat_template_kwargs]\n{key}\n")
    done = run("train", config)
    assert done.exit_code == 2
    assert "[model] chat_template_kwargs" in done.stderr


def test_a_date_that_is_none(config: Path) -> None:
    for text in ("29 Nov", "2026-13-01"):
        done = run("train", config, f'model.template_date="{text}"')
        assert done.exit_code == 2
        assert f'[model] template_date = "{text}": ' in done.stderr


def told(adapter: Path) -> TrainedOn:
    found = trained_on(adapter)
    assert found is not None
    return found


def evaluated(config: Path, adapter: Path, *more: str) -> list[dict[str, Any]]:
    """The rows of `eval --adapter` on the run's eval Examples."""
    rows = config.parent / "dump.jsonl"
    data = config.parent / "out" / "data" / "eval.jsonl"
    shared = ["eval", "--adapter", str(adapter), "--data", str(data), "--dump-jsonl", str(rows)]
    done = CliRunner().invoke(main, [*shared, *more])
    assert done.exit_code in (0, 1), done.output
    assert "trained" not in done.stderr, done.stderr
    return [json.loads(line) for line in rows.read_text().splitlines()]


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that a template has made, in order."""
    seen: list[str] = []
    own = templates._render

    def recorded(*arguments: Any, **named: Any) -> str:
        seen.append(own(*arguments, **named))
        return seen[-1]

    monkeypatch.setattr(templates, "_render", recorded)
    return seen


def test_a_template_and_its_arguments_are_used_in_all_arms_and_by_the_adapter(
    config: Path, fed: list[str]
) -> None:
    mine = config.parent / "mine.jinja"
    mine.write_text(THINKS.replace("Today", "Now"))
    settings = (f'model.chat_template="{mine}"', "model.chat_template_kwargs.enable_thinking=false")
    done = run("run", config, *settings)
    assert done.exit_code == 0, done.output
    prompts = [text for text in fed if text.endswith("<|assistant|><think></think>")]
    assert len(prompts) > 24
    assert not any(text.endswith("<|assistant|>") for text in fed)
    assert prompts_fed(config, "base") == prompts_fed(config, "sft")
    adapter = Path(shutil.copytree(config.parent / "out" / "adapter", config.parent / "moved"))
    assert told(adapter).chat_template_kwargs == {"enable_thinking": False}
    assert told(adapter).template_date is None
    mine.unlink()
    fed.clear()
    evaluated(config, adapter)
    assert any(text.endswith("<think></think>") for text in fed)
    assert not any(text.endswith("<|assistant|>") for text in fed)


def test_a_template_that_is_edited_makes_the_stages_run_again(config: Path) -> None:
    mine = config.parent / "mine.jinja"
    mine.write_text(THINKS)
    chosen = f'model.chat_template="{mine}"'
    assert run("train", config, chosen).exit_code == 0
    assert "is up to date" in run("train", config, chosen).stderr
    mine.write_text(THINKS + " ")
    again = run("train", config, chosen)
    assert "train: runs again, since model.chat_template changed" in again.stderr
    given = run("train", config, chosen, "model.chat_template_kwargs.enable_thinking=false")
    assert "train: runs again, since [model] chat_template_kwargs (" in given.stderr


def on_day(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    """Everything that asks for today is told this day."""

    class Clock(datetime):
        fixed: ClassVar[str] = day

        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls.fromisoformat(cls.fixed)

    class Day(date):
        @classmethod
        def today(cls) -> Day:
            return cls.fromisoformat(day)

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    monkeypatch.setattr(templates, "date", Day)
    monkeypatch.setattr(folder, "date", Day)


@pytest.mark.parametrize("template", [DATED, pytest.param(LLAMA_DATED, marks=pytest.mark.slow)])
def test_a_run_that_goes_on_tomorrow_encodes_the_same_ids(
    config: Path, template: str, fed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_day(monkeypatch, "2026-11-29")
    assert run("generate", with_template(config, template)).exit_code == 0
    on_day(monkeypatch, "2026-11-30")
    done = run("run", config)
    assert done.exit_code == 0, done.output
    manifest = json.loads((config.parent / "out" / "manifest.json").read_text())
    assert manifest["began"] == "2026-11-29"
    adapter = Path(shutil.copytree(config.parent / "out" / "adapter", config.parent / "moved"))
    assert told(adapter).template_date == "2026-11-29"
    on_day(monkeypatch, "2027-01-01")
    assert "train: " + str(config.parent / "out" / "adapter") in run("run", config).stderr
    evaluated(config, adapter)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (adapter / name).unlink()
    known = json.loads((adapter / "fmtharness.json").read_text())
    (adapter / "fmtharness.json").write_text(json.dumps(known | {"sha256": {}}))
    evaluated(config, adapter)
    assert len(fed) > 24
    assert {text[:60].count("29 Nov 2026") for text in fed} == {1}
    assert prompts_fed(config, "base") == prompts_fed(config, "sft")


def test_a_training_that_is_resumed_tomorrow_ends_in_the_same_adapter(
    config: Path, fed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_template(config, DATED)
    weights = config.parent / "out" / "adapter" / "adapter_model.safetensors"
    on_day(monkeypatch, "2026-11-29")
    assert run("train", config).exit_code == 0
    whole = weights.read_bytes()
    shutil.rmtree(config.parent / "out")

    def then_stop(*arguments: Any) -> None:
        save(*arguments)
        raise StoppedError("stopped", 15)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save", then_stop)
        run("train", config)
    assert not weights.exists()
    on_day(monkeypatch, "2026-12-01")
    fed.clear()
    assert run("train", config).exit_code == 0
    assert {text[:60].count("29 Nov 2026") for text in fed} == {1}
    assert weights.read_bytes() == whole
    shutil.rmtree(config.parent / "out")
    assert run("train", config).exit_code == 0
    assert weights.read_bytes() != whole, "the date matters to this training"


def test_the_date_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    for template in (DATED, LLAMA_DATED):
        tokenizer = prepared(template, template_date="2024-07-26")
        assert "26 Jul 2024" in chat_text(tokenizer, ASKED)
        assert capsys.readouterr().err == ""
        set_template(tokenizer, ModelOptions())
        assert "26 Jul 2024" in chat_text(tokenizer, ASKED), "as in an adapter's folder"
        set_template(tokenizer, ModelOptions(template_date="2025-01-02"))
        assert "02 Jan 2025" in chat_text(tokenizer, ASKED)
        assert "2024" not in chat_text(tokenizer, ASKED)
    prepared(DATED)
    said = capsys.readouterr().err
    assert f"its chat template writes the date, which is {date.today()} for this command" in said
    computed = prepared(DATED.replace("'%d %b %Y'", "'%d' ~ ' %b'"), template_date="2024-07-26")
    with pytest.raises(ModelError, match="the format of its date is not written out in it"):
        chat_text(computed, ASKED)


def test_an_adapter_of_another_tool_brings_its_own_template(config: Path) -> None:
    assert run("train", config).exit_code == 0
    adapter = config.parent / "out" / "adapter"
    (adapter / "fmtharness.json").unlink()
    (adapter / "chat_template.jinja").write_text(THINKS.replace("<|assistant|>", "<|assistant|>: "))
    options = ModelOptions(name=str(config.parent / "model"), quantization="none")
    with Patches() as patches:
        tokenizer = load_model(options, patches, adapter).tokenizer
        assert chat_text(tokenizer, ASKED).endswith("<|assistant|>: ")
    (adapter / "tokenizer_config.json").unlink()
    with Patches() as patches:
        tokenizer = load_model(options, patches, adapter).tokenizer
        assert chat_text(tokenizer, ASKED).endswith("<|assistant|>: ")
    (adapter / "chat_template.jinja").unlink()
    with Patches() as patches:
        tokenizer = load_model(options, patches, adapter).tokenizer
        assert chat_text(tokenizer, ASKED).endswith("<|assistant|>")


def test_of_several_templates_the_default_one_is_used() -> None:
    tokenizer: Any = tiny_tokenizer()
    tokenizer.chat_template = {"default": TEMPLATE, "tool_use": THINKS}
    set_template(tokenizer, ModelOptions(chat_template_kwargs={"a": 1}))
    assert chat_text(tokenizer, ASKED) == chat_text(tiny_tokenizer(), ASKED)
    tokenizer.chat_template = {"rag": TEMPLATE, "tool_use": THINKS}
    with pytest.raises(ModelError, match="has the chat templates rag, tool_use and no default one"):
        set_template(tokenizer, ModelOptions())
