"""Nothing runs that the user did not ask for: no code of a run's folder, an adapter or a cache."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from fmtharness.harness import plugins
from fmtharness.harness.cli import main
from fmtharness.harness.config import load_config
from fmtharness.harness.engine.kernels import cpu as cpu_kernels
from fmtharness.harness.files import shipped
from fmtharness.harness.run.folder import RunFolder
from fmtharness.harness.run.sources import config_for
from tests.fakes import ROOT, Distributions, import_path
from tests.test_training import trained
from tests.tiny import tiny_config, tiny_model

SMALL = ("data.n_train=4", "data.n_dev=2", "data.n_eval=2", "eval.max_new_tokens=2")
needs_compiler = pytest.mark.skipif(cpu_kernels.compiler() is None, reason="no C compiler here")


def call(*arguments: str | Path, settings: tuple[str, ...] = ()) -> Result:
    chosen = [part for setting in settings for part in ("--set", setting)]
    return CliRunner().invoke(main, [*map(str, arguments), *chosen])


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A file that is there once a stranger's code has run."""
    return tmp_path / "ran"


@pytest.fixture
def trap(tmp_path: Path, ran: Path) -> Path:
    """A model whose folder has code of its own."""
    folder = tiny_model(tmp_path / "trap")
    settings = json.loads((folder / "config.json").read_text())
    code = {"AutoConfig": "trap.TrapConfig", "AutoModelForCausalLM": "trap.TrapModel"}
    settings |= {"auto_map": code, "model_type": "trap"}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "trap.py").write_text(f"open({str(ran)!r}, 'w').close()\nTrapConfig = 5\n")
    return folder


def run_of(folder: Path, *overrides: str) -> Path:
    """A run that has generated its data, with a config of its own."""
    config = load_config(overrides=[*SMALL, *overrides], name="stranger")
    with RunFolder.open(folder, config) as run:
        run.record("none", {}, [])
    return folder


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter of a small training."""
    folder = tmp_path_factory.mktemp("tiny")
    return trained(tiny_config(folder), folder / "run", "train.num_train_epochs=0.5") / "adapter"


@pytest.fixture
def adapter(tuned: Path, tmp_path: Path) -> Path:
    """A stranger's copy of it, whose files are as the stranger says: it tells no hashes."""
    copied = Path(shutil.copytree(tuned, tmp_path / "stranger" / "adapter"))
    rewrite(copied / "fmtharness.json", sha256={})
    return copied


def rewrite(path: Path, **changed: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def judged(adapter: Path, *more: str | Path, settings: tuple[str, ...] = ()) -> Result:
    return call("eval", "--adapter", adapter, "--num-prompts", "1", *more, settings=settings)


# --- a run's folder


@pytest.mark.parametrize("command", ["compare", "run", "train", "generate"])
def test_a_run_s_folder_does_not_allow_code(
    tmp_path: Path, trap: Path, ran: Path, command: str
) -> None:
    folder = run_of(tmp_path / "run", f'model.name="{trap}"', "model.trust_remote_code=true")
    done = call(command, "--out", folder)
    assert (done.exit_code, ran.exists()) == (2, False), done.output
    assert (
        f"error: {folder}/config.toml: [model] trust_remote_code: a run's folder cannot allow code "
        f"to run, here that of the model '{trap}'; name a config of your own as CONFIG, or add "
        f"--set model.trust_remote_code=true\n"
    ) in done.stderr


@pytest.mark.parametrize("how", ["config", "setting"])
def test_the_user_allows_it(tmp_path: Path, trap: Path, ran: Path, how: str) -> None:
    folder = run_of(tmp_path / "run", f'model.name="{trap}"', "model.trust_remote_code=true")
    if how == "config":
        call("run", folder / "config.toml", "--out", folder)
    else:
        call("run", "--out", folder, settings=("model.trust_remote_code=true",))
    assert ran.exists()


def test_without_the_code_a_run_goes_on(tmp_path: Path) -> None:
    folder = run_of(tmp_path / "run", "model.trust_remote_code=true")
    found = load_config(
        folder / "config.toml", overrides=["model.trust_remote_code=false"], asked=False
    )
    assert not found.model.trust_remote_code
    path = tmp_path / "plain.toml"
    path.write_text('[model]\nname = "a/b"\ntrust_remote_code = false\n')
    assert load_config(path, asked=False) == load_config(path)


PLUGIN = '''
from typing import ClassVar
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Options
from fmtharness.harness.records import Completion, Verdict

class Foreign(Options):
    """A plugin of all kinds."""
    name: ClassVar[str] = "foreign"
    metric: ClassVar[str] = "foreign_rate"
    shapes: ClassVar = frozenset(["record"])
    formats: ClassVar = frozenset(["json"])
    command: str = ""

    def model_post_init(self, context):
        raise RuntimeError("built unasked")

    def complete(self, examples, model, adapter): ...
    def train(self, examples, run): ...
    def generate(self, split, n, rng): ...
    def evaluate(self, example, completion): ...

class Layout(Options):
    """A format."""
    name: ClassVar[str] = "layout"
    shapes: ClassVar = frozenset(["record"])

    def instruction(self, value): return "Answer so."
    def render(self, value): return repr(value)
    def parse(self, text): ...
    def corruptions(self): return {}

@hookimpl
def fmtharness_backends(): return [Foreign]
@hookimpl
def fmtharness_trainers(): return [Foreign]
@hookimpl
def fmtharness_generators(): return [Foreign]
@hookimpl
def fmtharness_evaluators(): return [Foreign]
@hookimpl
def fmtharness_formats(): return [Layout]
'''


@pytest.mark.parametrize(
    ("table", "line", "where", "name"),
    [
        ("data", 'generator = "foreign"', "[data] generator", "foreign"),
        ("train", 'trainer = "foreign"', "[train] trainer", "foreign"),
        ("eval", 'backend = "foreign"\ncommand = "rm"', "[eval] backend", "foreign"),
        ("eval", 'evaluators = ["foreign:command=rm"]', "[eval] evaluators", "foreign"),
        ("eval", 'evaluators = ["layout_strict"]', "[eval] evaluators", "layout_strict"),
        ("data", 'format = "layout"', "[data]", "layout"),
        ("data", 'format = ["json", "layout"]', "[data]", "layout"),
        ("data", "format = { json = 1, layout = 2 }", "[data]", "layout"),
    ],
)
def test_a_run_s_folder_chooses_no_plugin(
    tmp_path: Path,
    distributions: Distributions,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    line: str,
    where: str,
    name: str,
) -> None:
    distributions.add("fmt-foreign", PLUGIN)
    loaded = distributions.load()
    monkeypatch.setattr(plugins, "registry", lambda: loaded)
    folder = run_of(tmp_path / "run")
    path = folder / "config.toml"
    path.write_text(f"[{table}]\n{line}\n")
    done = call("compare", "--out", folder)
    assert done.exit_code == 2, done.output
    assert (
        f"error: {path}: {where}: '{name}' is a plugin (fmt-foreign), and a run's folder cannot "
        f"choose what runs; name its config.toml, or a config of your own, as CONFIG if it shall\n"
    ) in done.stderr.replace(f"{where} {name}:", f"{where}:")
    if name == "foreign":
        with pytest.raises(RuntimeError, match="built unasked"):
            load_config(path)


# --- an adapter's folder


def test_the_config_beside_an_adapter_is_not_read(adapter: Path, trap: Path, ran: Path) -> None:
    lines = f'[model]\nname = "{trap}"\ntrust_remote_code = true\n'
    for place in (adapter, adapter.parent):
        (place / "config.toml").write_text(lines)
    assert judged(adapter).exit_code == 0
    assert not ran.exists()


@pytest.mark.parametrize("by", ["fmtharness.json", "adapter_config.json"])
def test_consent_is_not_for_a_base_that_the_adapter_names(
    adapter: Path, trap: Path, ran: Path, by: str
) -> None:
    rewrite(adapter / "adapter_config.json", base_model_name_or_path=str(trap))
    rewrite(adapter / "fmtharness.json", base=str(trap))
    if by != "fmtharness.json":
        (adapter / "fmtharness.json").unlink()
    assert judged(adapter).exit_code == 2
    done = judged(adapter, settings=("model.trust_remote_code=true",))
    assert (done.exit_code, ran.exists()) == (2, False)
    assert done.stderr == (
        f"error: adapter {adapter}: model.trust_remote_code would run the code of '{trap}', which "
        f"only the adapter's folder names; name the base with --model\n"
    )
    judged(adapter, "--model", trap, settings=("model.trust_remote_code=true",))
    assert ran.exists()


@pytest.mark.parametrize("key", ["trust_remote_code", "model.trust_remote_code"])
def test_what_is_told_of_a_training_holds_no_consent(
    adapter: Path, trap: Path, ran: Path, key: str
) -> None:
    path = adapter / "fmtharness.json"
    rewrite(path, base=str(trap), **{key: True})
    assert not config_for(None, adapter).model.trust_remote_code
    rewrite(path, chat_template_kwargs={f"a=1\n[model]\n{key}": True})
    assert not config_for(None, adapter).model.trust_remote_code
    assert not ran.exists()


def test_a_tokenizer_in_an_adapter_runs_no_code(adapter: Path, ran: Path, tmp_path: Path) -> None:
    """Not even if the user allows that of the base."""
    base = json.loads((adapter / "fmtharness.json").read_text())["base"]
    allowed = ("model.trust_remote_code=true",)
    expected = judged(adapter, "--model", base, "--dump-jsonl", tmp_path / "a", settings=allowed)
    assert expected.exit_code == 0, expected.output
    code = {"AutoTokenizer": [None, "trap.Trap"]}
    rewrite(adapter / "tokenizer_config.json", auto_map=code)
    (adapter / "trap.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    done = judged(adapter, "--model", base, "--dump-jsonl", tmp_path / "b", settings=allowed)
    assert (done.exit_code, ran.exists()) == (0, False), done.output
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("installed", [True, False])
def test_an_adapter_chooses_no_backend(
    adapter: Path,
    distributions: Distributions,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    installed: bool,
) -> None:
    if installed:
        distributions.add("fmt-foreign", PLUGIN)
        loaded = distributions.load()
        monkeypatch.setattr(plugins, "registry", lambda: loaded)
    options = {"command": "rm -rf ~", "url": "http://stranger.example"}
    rewrite(adapter / "fmtharness.json", backend="foreign", backend_options=options)
    assert config_for(None, adapter).backend.name == "transformers"
    assert capsys.readouterr().err == (
        f"adapter {adapter}: the backend of its run, 'foreign', is not taken from an adapter's "
        f"folder; ask for it with --set eval.backend and its options\n"
    )


def test_peft_imports_nothing_that_an_adapter_names(
    adapter: Path, ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stranger_module.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    mapping = {"base_model_class": "Trap", "parent_library": "stranger_module"}
    rewrite(adapter / "adapter_config.json", auto_mapping=mapping)
    assert judged(adapter).exit_code == 0
    rewrite(
        adapter / "adapter_config.json",
        megatron_config={"a": 1},
        megatron_core="stranger_module",
    )
    done = judged(adapter)
    assert (done.exit_code, ran.exists()) == (2, False)
    assert "megatron_config is not supported, since peft would import the module" in done.stderr


class Bomb:
    """What a pickle of it runs when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_pickled_weights_run_nothing(adapter: Path, ran: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    torch.save({"a": Bomb(ran)}, adapter / "adapter_model.bin")
    done = judged(adapter)
    assert (done.exit_code, ran.exists()) == (2, False)
    assert done.stderr.count("\n") == 1
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(ran)))
    assert (judged(adapter).exit_code, ran.exists()) == (2, False)


def test_a_config_of_the_user_s_allows_code() -> None:
    allowed = ["model.trust_remote_code=true"]
    assert config_for(shipped("configs/quick.toml"), None, allowed).model.trust_remote_code


# --- kernels in the cache

START = (
    "import os\nos.umask(0o{umask})\n"
    "from fmtharness.harness.engine.kernels import choice\n"
    "assert choice._compiled() is not None\n"
)


def started(cache: Path, umask: str = "022") -> subprocess.CompletedProcess[str]:
    """A process that uses the kernels: a damaged library would end it by a signal."""
    return subprocess.run(
        [sys.executable, "-c", START.format(umask=umask)],
        env=os.environ | {"FMTHARNESS_CACHE": str(cache), "PYTHONPATH": import_path(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with the kernels."""
    folder = tmp_path / "cache"
    first = started(folder)
    assert (first.returncode, first.stderr) == (0, "")
    return folder


@pytest.fixture
def library(cache: Path) -> Path:
    (found,) = (cache / "kernels").iterdir()
    return found


@pytest.fixture
def planted(tmp_path: Path, ran: Path) -> bytes:
    """A library that runs code when it is loaded."""
    source = tmp_path / "planted.c"
    source.write_text(
        f"#include <stdio.h>\n__attribute__((constructor)) static void run(void) {{ "
        f'fclose(fopen("{ran}", "w")); }}\n'
    )
    out = tmp_path / "planted.so"
    compiler = str(cpu_kernels.compiler())
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(out), str(source)], check=True)
    return out.read_bytes()


def plant(library: Path, planted: bytes) -> Path:
    """Replace the library by one whose name has the right hash."""
    library.unlink()
    stem = library.stem.rpartition("-")[0]
    path = library.with_name(f"{stem}-{cpu_kernels._digest(planted)}.so")
    path.write_bytes(planted)
    path.chmod(0o700)
    return path


@needs_compiler
@pytest.mark.parametrize("how", ["content", "old name", "writable", "folder", "owner", "link"])
def test_a_planted_library_is_not_loaded(
    tmp_path: Path, library: Path, planted: bytes, ran: Path, how: str
) -> None:
    folder = library.parent
    if how == "owner" and os.getuid() != 0:
        pytest.skip("only root can give files away")
    if how == "content":
        library.write_bytes(planted)
    elif how == "old name":
        old = library.with_name(f"{library.stem.rpartition('-')[0]}.so")
        old.write_bytes(planted)
        library.unlink()
    else:
        path = plant(library, planted)
        if how == "writable":
            path.chmod(0o722)
        elif how == "folder":
            folder.chmod(0o777)
        elif how == "owner":
            os.chown(path, 65534, 65534)
        else:
            path.symlink_to(path.rename(tmp_path / "elsewhere.so"))
    done = started(folder.parent)
    assert (done.returncode, done.stderr, ran.exists()) == (0, "", False)
    if how != "folder":
        assert started(folder.parent).returncode == 0
    assert not ran.exists()


@needs_compiler
def test_a_planted_library_would_run(library: Path, planted: bytes, ran: Path) -> None:
    """The tests above rest on this: one that is the user's own is loaded."""
    plant(library, planted)
    started(library.parents[1])
    assert ran.exists()


@needs_compiler
@pytest.mark.parametrize("left", [0, 100, 5000, -1])
def test_a_damaged_library_is_built_anew(library: Path, left: int) -> None:
    whole = library.read_bytes()
    library.write_bytes(whole[:left])
    done = started(library.parents[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert library.read_bytes() == whole


@needs_compiler
def test_a_cache_that_is_open_to_others_is_not_used(tmp_path: Path) -> None:
    for umask, kept in (("000", 1), ("002", 1)):
        cache = tmp_path / umask
        assert started(cache, umask).returncode == 0
        assert len([*(cache / "kernels").iterdir()]) == kept
        (cache / "kernels").chmod(0o770)
        before = [*(cache / "kernels").iterdir()]
        before[0].write_bytes(b"")
        assert started(cache, umask).returncode == 0
        assert [*(cache / "kernels").iterdir()] == before and not before[0].read_bytes()
    (tmp_path / "none").touch()
    assert started(tmp_path / "none").returncode == 0, "no folder can be made there"
