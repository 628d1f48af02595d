"""Configs: every fault in one error that names file, table, key and the near miss."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from fmtharness.generators.families import FAMILIES
from fmtharness.harness import plugins
from fmtharness.harness.config import load_config
from fmtharness.harness.contracts import Options
from fmtharness.harness.errors import ConfigError
from fmtharness.harness.options import build, check, parse_spec, parse_value
from fmtharness.harness.plugins import Registered
from tests.fakes import ROOT

PRESETS = sorted((ROOT / "configs").glob("*.toml"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def fault(path: Path, text: str, *overrides: str) -> str:
    """The message of the error that a config text and overrides give."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides=overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train]\nlearning_rat = 2e-4", ["[train]", "'learning_rat'", "'learning_rate'?"]),
        ("[train]\nzzz = 1", ["[train] has no key 'zzz' (trainer 'qlora' knows none either)"]),
        ("[trian]", ["'trian'", "did you mean 'train'?"]),
        ("sead = 1", ["'sead'", "did you mean 'seed'?"]),
        ("[data]\nn_train = 'many'", ["[data] n_train", '"many"', "integer"]),
        ("[data]\nn_train = 2.5", ["[data] n_train = 2.5", "integer"]),
        ("[data]\nn_train = true", ["[data] n_train = true", "integer"]),
        ("[data]\nn_train = 0", ["[data] n_train = 0", "greater than or equal to 1"]),
        ("[data]\ngenerator = 'task'", ["[data] generator", "'task'", "did you mean 'tasks'?"]),
        ("[train]\ntrainer = 'qlra'", ["[train] trainer", "did you mean 'qlora'?"]),
        ("[eval]\nbackend = 'transformer'", ["[eval] backend", "'transformers'?"]),
        ("[eval]\nevaluators = ['json_strct']", ["[eval] evaluators", "'json_strict'?"]),
        ("[eval]\nevaluators = 'json_strict'", ["[eval] evaluators", "array"]),
        ("[eval]\nevaluators = ['json_strict:roof=any']", ["'roof'", "did you mean 'root'?"]),
        ("[eval]\nevaluators = ['json_strict', 'json_strict:root=any']", ["given twice"]),
        ("[model]\nprecision = 'bf17'", ["[model] precision", '"bf17"', "'bf16'"]),
        (
            "[train]\nmax_seq_length = 512\nmax_micro_batch_tokens = 256",
            ["[train]", "max_micro_batch_tokens = 256", "max_seq_length = 512"],
        ),
        ("data = 5", ["data is a table", "[data]"]),
        ("[name]\nx = 1", ["name", "string"]),
        ("name = '../up'", ["name", "folder", "--out"]),
        ("name = ''", ["name", "folder"]),
        ("seed = 1\n\n[data\n", ["not TOML", "line 3"]),
        ("seed = 1\nseed = 2\n", ["not TOML", "line 2"]),
    ],
)
def test_one_fault_is_one_line(config: Path, text: str, words: list[str]) -> None:
    message = fault(config, text)
    assert "\n" not in message
    assert message.startswith(str(config))
    for word in words:
        assert word in message


def test_all_faults_at_once(config: Path) -> None:
    text = """
    sead = 1
    [model]
    device = 5
    [data]
    n_train = 'x'
    n_evil = 3
    [train]
    trainer = 'qlra'
    [eval]
    evaluators = ['json_strct', 'extras:deep=1']
    [report]
    tb = 'x'
    """
    lines = fault(config, text).splitlines()
    named = ("sead", "device", "n_train", "n_evil", "qlra", "json_strct", "deep", "'tb'")
    assert len(lines) == len(named)
    for word in named:
        assert sum(word in line for line in lines) == 1, word


def test_missing_file(tmp_path: Path) -> None:
    (tmp_path / "quick.toml").touch()
    with pytest.raises(ConfigError, match=r"quik\.toml: cannot be read .*mean 'quick\.toml'\?"):
        load_config(tmp_path / "quik.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_not_utf8(config: Path) -> None:
    config.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(config)


def test_a_windows_editor_s_mark_is_no_fault(config: Path) -> None:
    config.write_bytes(b"\xef\xbb\xbfseed = 5\r\n[data]\r\nn_train = 7\r\n")
    loaded = load_config(config)
    assert (loaded.seed, loaded.data.n_train) == (5, 7)


def test_overrides(config: Path) -> None:
    config.write_text("seed = 1\n[data]\nn_train = 5\n[eval]\nnum_prompts = 3\n")
    loaded = load_config(
        config,
        overrides=[
            "seed=2",
            "data.n_train = 6",
            "train.learning_rate=5e-5",
            "model.name=Qwen/Qwen2.5-0.5B-Instruct",
            "model.trust_remote_code=true",
            "data.families.extract=2.5",
            'eval.evaluators=["extras"]',
        ],
    )
    assert (loaded.name, loaded.seed, loaded.data.n_train) == ("mine", 2, 6)
    assert loaded.tables()["train"]["learning_rate"] == 5e-5
    assert loaded.tables()["data"]["families"] == {"extract": 2.5}
    assert loaded.model.name == "Qwen/Qwen2.5-0.5B-Instruct"
    assert loaded.model.trust_remote_code
    assert [evaluator.name for evaluator in loaded.evaluators] == ["extras"]
    assert loaded.eval.num_prompts == 3


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("data.n_train", "is not table.key=value"),
        ("=5", "is not table.key=value"),
        ("data.=5", "is not table.key=value"),
        ("seed.x=1", "seed is a value, not a table"),
        ("data.n_train=lots", "[data] n_train"),
        ("data.n_tran=5", "did you mean 'n_train'?"),
        ("dat.n_train=5", "did you mean 'data'?"),
        ("data=5", "data is a table"),
    ],
)
def test_malformed_override(config: Path, override: str, word: str) -> None:
    message = fault(config, "seed = 1", override)
    assert word in message and "\n" not in message


def test_resolved_config_loads_again(config: Path) -> None:
    config.write_text(
        """
        name = 'a b'
        seed = 3
        [data]
        families = {extract = 1.0, classify = 2}
        [eval]
        num_prompts = 4
        dump_jsonl = 'dump.jsonl'
        evaluators = ['json_strict:root=any,max_depth=8']
        [report]
        tb_logdir = 'logs'
        """
    )
    first = load_config(config)
    config.write_text(first.toml(), encoding="utf-8")
    again = load_config(config)
    assert again == first
    assert again.toml() == first.toml()
    assert first.tables()["eval"]["num_prompts"] == 4
    assert first.name == "a b"


def test_auto_quantization_is_what_the_trainer_trains_on() -> None:
    assert load_config().model.quantization == "nf4"
    assert load_config(trains=False).model.quantization == "none"
    chosen = load_config(overrides=["model.quantization=none"])
    assert chosen.model.quantization == "none"


def test_defaults_are_the_quick_preset() -> None:
    quick = ROOT / "configs" / "quick.toml"
    if not quick.is_file():
        pytest.skip("configs/quick.toml is not there yet")
    assert load_config(quick) == load_config()


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_preset(preset: Path) -> None:
    loaded = load_config(preset)
    assert loaded.name == preset.stem
    assert loaded.model.name == "smollm2-135m-instruct"
    written = tomllib.loads(preset.read_text(encoding="utf-8"))
    assert not left_out(written, loaded.tables())
    assert loaded.data.n_dev >= loaded.tables()["train"]["n_format_eval_prompts"]


def left_out(written: dict[str, Any], resolved: dict[str, Any]) -> list[str]:
    """The keys of a file that its resolved config has not, or with another value."""
    found = []
    for key, value in written.items():
        if isinstance(value, dict) and isinstance(resolved.get(key), dict):
            found += [f"{key}.{each}" for each in left_out(value, resolved[key])]
        elif resolved.get(key) != value:
            found.append(key)
    return found


@pytest.mark.parametrize("name", ["hard", "hard_dupfix"])
def test_hard_presets_ask_for_everything_and_measure_what_it_costs(name: str) -> None:
    config = load_config(ROOT / "configs" / f"{name}.toml")
    tables = config.tables()
    tasks, chat = tables["data"]["mix"]["tasks"], tables["data"]["mix"]["chat"]
    assert {name for name, weight in tasks["families"].items() if weight} == FAMILIES.keys()
    assert (tasks["eval_strictness"], tables["data"]["n_eval"]) == ("hard", 1000)
    assert chat["splits"] == ["train"]
    assert tables["model"]["quantization"] == "nf4"
    assert tables["train"]["rounds"] == 2
    assert tables["eval"]["sets"].keys() == {"open_short", "open_long"}
    assert tables["retention"]["dev_prompts"] > 0


def test_options_are_immutable() -> None:
    options = load_config().data
    with pytest.raises(ValidationError):
        options.n_train = 5


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("1.5", 1.5), ("true", True), ("[1, 2]", [1, 2]), ('"1"', "1"), ("any", "any")],
)
def test_parse_value(text: str, value: object) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_parse_spec() -> None:
    assert parse_spec("json_strict") == ("json_strict", {})
    spec = "json_strict:root=any, max_depth = 8"
    assert parse_spec(spec) == ("json_strict", {"root": "any", "max_depth": 8})
    assert parse_spec('x:words=["a","b"],n=1') == ("x", {"words": ["a", "b"], "n": 1})


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("json_strict:root", "'root' is not key=value"),
        ("json_strict:=any", "'=any' is not key=value"),
        ("json_strict:root=any,root=object", "gives 'root' twice"),
        ("json_strict:root=all", "root = \"all\": Input should be 'object', 'array' or 'any'"),
        ("json_strict:max_depth=0", "max_depth = 0"),
        ("json_strict:maxdepth=4", "did you mean 'max_depth'?"),
    ],
)
def test_bad_spec(spec: str, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build("evaluators", spec)
    assert word in str(caught.value)
    assert spec in str(caught.value)


def test_check_reports_each_key_once() -> None:
    from fmtharness.harness.config import DataOptions

    found, faults = check(DataOptions, {"n_train": "x", "n_dev": 0, "n_eval": -1, "m": 1}, "here:")
    assert found is None
    assert len(faults) == 4


def test_another_component_is_not_given_a_presets_options(fakes: list[str]) -> None:
    """Of what the preset alone says; what a user writes must fit."""

    class Bare(Options):
        name: ClassVar[str] = "bare"

        def complete(self, *_: Any) -> Iterator[Any]:
            return iter(())

    plugins.registry()["backends"]["bare"] = Registered("backends", "bare", "fmtharness", Bare)
    assert load_config(overrides=["eval.backend=bare"]).backend.name == "bare"
    assert load_config(overrides=["data.generator=tasks"]).generator.name == "tasks"
    with pytest.raises(ConfigError, match=r"no key 'max_new_tokens' \(backend 'bare' knows none"):
        load_config(overrides=["eval.backend=bare", "eval.max_new_tokens=7"])
    with pytest.raises(ConfigError, match="'nobody'"):
        load_config(overrides=["eval.backend=nobody"])
