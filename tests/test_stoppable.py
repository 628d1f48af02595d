"""What hangs can be stopped: by Ctrl-C, by SIGTERM, by its parent's end, and by the time limit."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import jsonschema_rs
import pytest

from fmtharness.evaluators.json.schema import JsonSchema
from fmtharness.evaluators.json.schema_size import unfolded
from fmtharness.harness.contracts import Options
from fmtharness.harness.judging import limit
from fmtharness.harness.judging.rows import BLOCK_BYTES
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import build
from fmtharness.harness.records import Completion, Example, Verdict
from tests.fakes import ROOT, wait_for

PLUGIN = '''
import collections, itertools, os, time
from typing import ClassVar
from fmtharness import harness
from fmtharness.harness.contracts import Options
from fmtharness.harness.records import Verdict

class Hangs(Options):
    """Hangs on some texts."""
    name: ClassVar[str] = "hangs"
    metric: ClassVar[str] = "hangs_rate"

    def evaluate(self, example, completion):
        text = completion.text
        if "python" in text:
            while True:
                try:
                    time.sleep(0.01)
                except Exception:
                    pass
        if "stubborn" in text:
            while True:
                try:
                    time.sleep(0.01)
                except BaseException:
                    pass
        if "native" in text:  # holds the interpreter's lock and never asks for signals
            collections.deque(itertools.count(), maxlen=0)
        if "prints" in text:
            print("from\\x1b[2Jpython")
            os.system("echo from a process")
        passed = "good" in text
        return Verdict(id=completion.example_id, evaluator=self.name, passed=passed,
                       labels=() if passed else ("bad",))

@harness.hookimpl
def fmtharness_evaluators():
    return [Hangs]
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that PYTHONPATH makes an installed plugin."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "hangs.py").write_text(PLUGIN)
    info = folder / "hangs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hangs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fmtharness]\nhangs = hangs\n")
    return folder


def rows(path: Path, *texts: str, blocks: int = 1) -> Path:
    """The texts, followed by good ones that fill so many blocks."""
    lines = [json.dumps({"text": text}) for text in texts]
    filler = json.dumps({"text": "good" + " " * 1000})
    if blocks > 1:
        lines += [filler] * (blocks * BLOCK_BYTES // len(filler))
    path.write_text("\n".join(lines) + "\n")
    return path


def started(plugin: Path, file: Path, *options: str, **kwargs: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fmtharness", "eval", "--completions", str(file)]
    return subprocess.Popen(
        [*command, "--evaluator", "hangs", "--json", *options],
        env={**os.environ, "PYTHONPATH": f"{plugin}{os.pathsep}{ROOT}"},
        text=True,
        start_new_session=True,
        # A shell's background job starts with SIGINT ignored, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **kwargs,
    )


def group(running: subprocess.Popen[str]) -> set[int]:
    """The living processes of its session, in /proc's words."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == running.pid and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def judging(running: subprocess.Popen[str]) -> bool:
    """Whether its workers have had time to begin."""
    return len(group(running)) >= 3


@pytest.mark.parametrize("kind", ["python", "stubborn", "native"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_what_hangs(
    plugin: Path, tmp_path: Path, kind: str, sent: signal.Signals
) -> None:
    file = rows(tmp_path / "rows.jsonl", kind, blocks=3)
    with started(plugin, file, "--processes", "2") as running:
        wait_for(lambda: judging(running), running)
        time.sleep(1.5)
        begun = time.monotonic()
        os.killpg(running.pid, sent) if sent == signal.SIGINT else running.send_signal(sent)
        code = running.wait(timeout=30)
        assert time.monotonic() - begun < 3
        assert code == (130 if sent == signal.SIGINT else -signal.SIGTERM)
        while group(running):
            assert time.monotonic() - begun < 5, "a process is left"
            time.sleep(0.01)


@pytest.mark.parametrize("blocks", [1, 3])
def test_what_takes_too_long_is_unscored(plugin: Path, tmp_path: Path, blocks: int) -> None:
    file = rows(tmp_path / "r.jsonl", "good", "python", "native", "bad", "stubborn", blocks=blocks)
    verdicts = tmp_path / "v.jsonl"
    options = ["--set", "eval.timeout_s=0.2", "--verdicts", str(verdicts), "--processes", "2"]
    with started(plugin, file, *options) as running:
        out, err = running.communicate(timeout=100)
    assert running.returncode == 3, err
    found = [json.loads(line) for line in verdicts.read_text().splitlines()]
    assert [row["passed"] for row in found[:5]] == [True, None, None, False, None]
    assert all(row["passed"] for row in found[5:])
    assert found[2]["problems"][0]["message"] == "hangs took longer than timeout_s = 0.2 s"
    assert json.loads(out)["hangs"]["unscored"] == 3


def test_what_a_plugin_prints_goes_to_standard_error(plugin: Path, tmp_path: Path) -> None:
    for options in ((), ("--num-prompts", "1")):
        with started(plugin, rows(tmp_path / "rows.jsonl", "prints"), *options) as running:
            out, err = running.communicate(timeout=60)
        assert json.loads(out)["hangs"]["scored"] == 1
        assert "from␛[2Jpython" in err and "from a process" in err


class Slow(Options):
    """Passes after a while."""

    name: ClassVar[str] = "slow"
    metric: ClassVar[str] = "slow_rate"

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        end = time.monotonic() + float(completion.text)
        while time.monotonic() < end:
            pass
        return Verdict(id=completion.example_id, evaluator=self.name, passed=True)


def test_the_limit_holds_for_each_evaluation() -> None:
    limit.limit(0.4)
    try:
        texts = ["0.3", "0.3", "9", "0", "0.3"]
        asked = [Completion(example_id=str(n), text=text) for n, text in enumerate(texts)]
        found = [verdict.passed for verdict in judge([Slow()], {}, asked)]
        assert found == [True, True, None, True, True]
        time.sleep(0.2)
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    finally:
        limit.limit(limit.DEFAULT_SECONDS)


def chain(levels: int, keyword: str = "anyOf", *, inside: bool = False) -> dict[str, Any]:
    """Definitions, each of which names the next one twice."""
    definitions: dict[str, Any] = {f"L{levels}": {"type": "string"}}
    for level in range(levels):
        following: dict[str, Any] = {"$ref": f"#/$defs/L{level + 1}"}
        if inside:
            following = {"properties": {"a": following}}
        definitions[f"L{level}"] = {keyword: [following, dict(following)]}
    return {"$defs": definitions, "$ref": "#/$defs/L0"}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf"])
def test_a_schema_that_explodes_is_unscored(keyword: str, inside: bool) -> None:
    text = '{"a":' * 60 + "5" + "}" * 60 if inside else "5"
    tags = {"json_schema": chain(60, keyword, inside=inside)}
    asked = Example(id="1", prompt=(), completion="", format="json", value=None, tags=tags)
    begun = time.monotonic()
    [verdict] = judge([JsonSchema()], {"1": asked}, [Completion(example_id="1", text=text)])
    assert time.monotonic() - begun < 2
    assert verdict.passed is None
    assert "the schema is too large for this text" in verdict.problems[0].message


def test_how_large_a_schema_is() -> None:
    assert unfolded({"type": "object"}) == 2 - 1
    assert unfolded({"$ref": "#"}) == 2
    sizes = [unfolded(chain(levels)) for levels in (3, 4, 5)]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])
    anchored = {"$defs": {"x": {"$anchor": "here", "not": {}}}, "$ref": "#here"}
    assert unfolded(anchored) == 3
    own = {"$id": "http://a/b", "$defs": {"c": {"$id": "c", "not": {}}}, "$ref": "http://a/c"}
    assert unfolded(own) == 3
    jsonschema_rs.validator_for(own, offline=True)


PAIRS = list(itertools.pairwise("abcdefghijklmnop"))
BOMBS = {
    "yaml_strict": "a: &a [x, x]\n"
    + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in PAIRS)
    + "z: [*p, *p]\n",
    "xml_strict": '<!DOCTYPE a [<!ENTITY a "x">'
    + "".join(f'<!ENTITY {b} "&{a};&{a};">' for a, b in PAIRS)
    + "]><a>&p;</a>",
    "toml_strict": "a = " + "[" * 50_000 + "]" * 50_000,
    "regex_strict:pattern=(a+)+b": "a" * 50_000,
}


@pytest.mark.parametrize("spec", BOMBS)
def test_bombs_are_judged_at_once(spec: str) -> None:
    begun = time.monotonic()
    asked = [Completion(example_id="1", text=BOMBS[spec])]
    [verdict] = judge([build("evaluators", spec)], {}, asked)
    assert time.monotonic() - begun < 2
    assert verdict.passed is False
