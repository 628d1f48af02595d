"""An adapter's folder is enough to use it: copied elsewhere it gives the same completions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from click.testing import CliRunner, Result

from fmtharness.harness.cli import main
from fmtharness.harness.contracts import BUILTIN_MODEL
from fmtharness.harness.engine.adapters import differences
from fmtharness.harness.engine.gguf import BUILTIN_SHA256
from fmtharness.harness.errors import ConfigError, ModelError
from fmtharness.harness.files import quick_digest
from fmtharness.harness.run.sources import config_for
from fmtharness.harness.trained_on import TrainedOn, trained_on
from tests.test_training import trained
from tests.tiny import tiny_config, tiny_model

DEVICE = "cuda:0" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder after training on NF4 weights."""
    folder = tmp_path_factory.mktemp("tiny")
    settings = ('train.trainer="qlora"', "eval.max_new_tokens=7")
    return trained(tiny_config(folder), folder / "run", *settings)


@pytest.fixture
def copied(out: Path, tmp_path: Path) -> Path:
    """The adapter alone, far from its run."""
    return Path(shutil.copytree(out / "adapter", tmp_path / "elsewhere"))


def evaluated(adapter: Path, dump: Path, *more: str) -> Result:
    data = dump.parent / "data.jsonl"
    shutil.copy("data/examples/eval.jsonl", data)
    command = ["eval", "--adapter", str(adapter), "--data", str(data), "--num-prompts", "3"]
    return CliRunner().invoke(main, [*command, "--dump-jsonl", str(dump), *more])


def test_the_folder_says_what_it_needs(out: Path) -> None:
    told = trained_on(out / "adapter")
    assert told is not None
    model = out.parent / "model"
    assert (told.base, told.base_sha256) == (str(model), quick_digest(model))
    assert (told.quantization, told.stop_token) == ("nf4", "<|end|>")
    assert (told.backend, told.backend_options) == ("transformers", {"max_new_tokens": 7})
    peft = json.loads((out / "adapter" / "adapter_config.json").read_text())
    assert peft["base_model_name_or_path"] == str(model)
    card = (out / "adapter" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: peft\ntags:\n- fmtharness\n")
    assert "| base weights | NF4, double-quantized |" in card
    assert "generator `tasks`, 24 Examples, seed 0" in card


def test_peft_loads_it_by_what_its_config_says(out: Path) -> None:
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    loaded: Any = AutoPeftModelForCausalLM.from_pretrained(out / "adapter")
    assert any("lora_A" in name for name, _ in loaded.named_parameters())
    tokenizer = AutoTokenizer.from_pretrained(out / "adapter")
    own = AutoTokenizer.from_pretrained(out.parent / "model")
    assert tokenizer.chat_template == own.chat_template


def test_a_copy_gives_the_same_completions(out: Path, copied: Path, tmp_path: Path) -> None:
    files = []
    for adapter in (out / "adapter", copied):
        files.append(tmp_path / f"{adapter.name}.jsonl")
        done = evaluated(adapter, files[-1])
        assert done.exit_code == 0, done.output
        assert "trained" not in done.stderr
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes().count(b"\n") == 3


def test_a_use_that_differs_is_told(copied: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", seed=5)
    settings = ["--set", "model.quantization=none", "--model", str(other)]
    done = evaluated(copied, tmp_path / "dump.jsonl", *settings)
    assert done.exit_code == 0, done.output
    base = json.loads((copied / "fmtharness.json").read_text())["base"]
    assert f"trained on the base {base}, and used on {other}, whose weights are" in done.stderr
    assert "trained on nf4 weights, and used on unquantized weights" in done.stderr


def test_the_runs_config_is_not_obeyed(out: Path, tmp_path: Path) -> None:
    """Its generator may be a plugin that is gone, and an adapter needs none."""
    run = tmp_path / "run"
    shutil.copytree(out / "adapter", run / "adapter")
    (run / "config.toml").write_text('[data]\ngenerator = "gone"\n[eval]\nnum_prompts = 1\n')
    done = evaluated(run / "adapter", tmp_path / "dump.jsonl")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "dump.jsonl").read_text().count("\n") == 3


def test_a_base_that_is_not_here_is_named(copied: Path) -> None:
    told = json.loads((copied / "fmtharness.json").read_text())
    (copied / "fmtharness.json").write_text(json.dumps({**told, "base": "/nowhere/model"}))
    with pytest.raises(ModelError, match=r"trained on /nowhere/model, which is not here; name the"):
        config_for(None, copied)
    assert config_for(None, copied, model=BUILTIN_MODEL).model.name == BUILTIN_MODEL


def test_the_adapter_of_another_tool(copied: Path) -> None:
    (copied / "fmtharness.json").unlink()
    base = json.loads((copied / "adapter_config.json").read_text())["base_model_name_or_path"]
    found = config_for(None, copied).model
    assert (found.name, found.quantization) == (base, "none")
    assert config_for(None, copied, ["model.quantization=nf4"]).model.quantization == "nf4"
    assert "does not say which base" in differences(None, TOLD)[0]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"base": 5}', '{"quantization": "nf5"}'])
def test_a_file_that_is_broken_is_one_sentence(copied: Path, text: str) -> None:
    path = copied / "fmtharness.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, **json.loads(text)}) if text.endswith("}") else text)
    with pytest.raises(ModelError, match=r"fmtharness\.json: .*remove the file"):
        config_for(None, copied)


@pytest.mark.parametrize("change", [{"backend": ["a"]}, {"backend_options": 5}])
def test_a_backend_of_another_type_is_one_sentence(copied: Path, change: dict[str, Any]) -> None:
    told = json.loads((copied / "fmtharness.json").read_text())
    (copied / "fmtharness.json").write_text(json.dumps({**told, **change}))
    with pytest.raises(ModelError, match=r"fmtharness\.json: Expected"):
        config_for(None, copied)


def test_a_fault_in_the_backend_s_options_names_the_folder(copied: Path) -> None:
    told = json.loads((copied / "fmtharness.json").read_text())
    options = {"backend_options": {"max_new_tokens": "many"}}
    (copied / "fmtharness.json").write_text(json.dumps({**told, **options}))
    with pytest.raises(ConfigError, match=r"elsewhere/fmtharness\.json: backend transformers max_"):
        config_for(None, copied)


def test_another_backend_is_told(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads((copied / "fmtharness.json").read_text())
    (copied / "fmtharness.json").write_text(json.dumps({**told, "backend": "gone"}))
    assert config_for(None, copied).backend.name == "transformers"
    assert "the backend of its run, 'gone', is not taken from" in capsys.readouterr().err


def test_damaged_weights_are_one_sentence(copied: Path, tmp_path: Path) -> None:
    (copied / "adapter_model.safetensors").write_bytes(b"")
    done = evaluated(copied, tmp_path / "dump.jsonl")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"error: adapter '{copied}': adapter_model.safetensors is changed or" in done.stderr


TOLD = TrainedOn(
    base=BUILTIN_MODEL,
    base_sha256=BUILTIN_SHA256,
    quantization="nf4",
    precision="bfloat16",
    template_sha256="",
    stop_token="",
)


def test_differences() -> None:
    def found(**changed: Any) -> list[str]:
        return differences(TOLD, msgspec.structs.replace(TOLD, **changed))

    assert found() == []
    assert found(base="owner/other", base_sha256=None) == [
        f"trained on the base {BUILTIN_MODEL}, and used on owner/other"
    ]
    assert found(base="/elsewhere/the-same") == []
    assert found(precision="float32") == ["trained in bfloat16, and used in float32"]
    assert found(template_sha256="1") == ["trained with another chat template"]
    assert found(stop_token="</s>") == ["trained to end with '', and used with '</s>'"]
    hub = msgspec.structs.replace(TOLD, base="a/b", base_sha256=None, revision="1c")
    other = msgspec.structs.replace(hub, revision="2d")
    assert differences(hub, other) == ["trained on commit 1c, and used on 2d"]


def test_a_template_that_was_edited_in_the_folder_is_told(copied: Path, tmp_path: Path) -> None:
    template = copied / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    done = evaluated(copied, tmp_path / "dump.jsonl")
    assert done.exit_code == 0, done.output
    assert f"adapter {copied}: trained with another chat template" in done.stderr


def test_the_card_s_code_loads_the_adapter(copied: Path) -> None:
    card = (copied / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0].replace("FOLDER", str(copied))
    loaded: dict[str, Any] = {}
    exec(code, loaded)
    assert any("lora_A" in name for name, _ in loaded["model"].named_parameters())
    assert type(loaded["base"].model.layers[0].mlp.up_proj.base_layer).__name__ == "Linear4bit"


@pytest.mark.model
@pytest.mark.slow
def test_the_built_in_base_is_found_by_its_name_with_another_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = ("data.n_train=16", "train.num_train_epochs=1", "train.n_format_eval_prompts=1")
    small = [part for step in steps for part in ("--set", step)]
    done = CliRunner().invoke(main, ["train", "--out", str(tmp_path / "run"), *small])
    assert done.exit_code == 0, done.output
    first = evaluated(tmp_path / "run" / "adapter", tmp_path / "here.jsonl")
    shutil.move(tmp_path / "run" / "adapter", tmp_path / "moved")
    shutil.rmtree(tmp_path / "run")
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    second = evaluated(tmp_path / "moved", tmp_path / "there.jsonl")
    assert (first.exit_code, second.exit_code) == (0, 0), second.output
    assert (tmp_path / "here.jsonl").read_bytes() == (tmp_path / "there.jsonl").read_bytes()
    told = json.loads((tmp_path / "moved" / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == BUILTIN_MODEL
    card = (tmp_path / "moved" / "README.md").read_text()
    assert 'base_model: "HuggingFaceTB/SmolLM2-135M-Instruct"\n' in card


def test_the_first_line_says_what_a_result_was_made_with(copied: Path, tmp_path: Path) -> None:
    done = evaluated(copied, tmp_path / "dump.jsonl")
    base = Path(json.loads((copied / "fmtharness.json").read_text())["base"])
    assert done.stdout.splitlines()[0] == (
        f"base {base} (nf4), adapter {copied}, device {DEVICE}, 3 prompts of "
        f"{tmp_path / 'data.jsonl'}"
    )
    as_json = evaluated(copied, tmp_path / "dump.jsonl", "--json")
    assert json.loads(as_json.stdout)
    assert f"base {base} (nf4), adapter" in as_json.stderr
