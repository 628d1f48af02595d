"""`--engine ray` on Ray's own clusters: a node that is killed, rows that end their process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fmtharness.harness.records import encode
from tests.fakes import ROOT, example
from tests.ray_plugin import installed, on_path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install '.[ray]'"
    ),
]
CORES = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that every worker's Python finds the plugin in."""
    monkeypatch.setenv("PYTHONPATH", on_path(installed(tmp_path)))
    monkeypatch.setenv("STEADY_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return tmp_path


@pytest.fixture
def cluster(place: Path) -> Iterator[Any]:
    """A head without a core, and three nodes of one core each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={**CORES, "num_cpus": 0})
    made.nodes = [made.add_node(**CORES) for _ in range(3)]
    made.wait_for_nodes()
    yield made
    made.shutdown()


def started(place: Path, names: Sequence[str], *more: str, size: int) -> subprocess.Popen[str]:
    rows = place / "rows.jsonl"
    rows.write_bytes(b"".join(encode(example(name)) for name in names))
    command = [sys.executable, "-m", "fmtharness", "eval", "--engine", "ray", "--json"]
    command += ["--data", str(rows), "--out", str(place / "out"), "--shard-rows", str(size)]
    if "eval.backend=openai" not in more:
        command += ["--set", "eval.backend=steady"]
    command += more
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def written(place: Path) -> list[dict[str, Any]]:
    parts = sorted((place / "out/completions").glob("part-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


def test_a_node_is_killed_in_the_middle(place: Path, cluster: Any) -> None:
    names = [f"e{at}" for at in range(600)]
    at_it = ("--ray-address", cluster.address, "--set", "eval.seconds=0.02")
    running = started(place, names, *at_it, size=15)
    until = time.monotonic() + 100
    while len([*place.glob("out/completions/part-*.jsonl")]) < 10:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)
    assert len([*place.glob("out/completions/part-*.jsonl")]) < 30
    cluster.remove_node(cluster.nodes[1], allow_graceful=False)
    out, err = running.communicate(timeout=200)
    assert running.returncode == 0, err
    judged = json.loads(out)["json_strict"]
    assert (judged["scored"], judged["unscored"]) == (600, 0)
    assert [row["example_id"] for row in written(place)] == names
    told = (place / "log").read_text().split()
    assert set(told[1::2]) == set(names)
    assert len({*told[::2]}) >= 3
    assert len(told) // 2 <= 600 + 15 * 3  # what is asked again was in the killed node's hands

    again = started(place, names, *at_it, size=15)
    same, err = again.communicate(timeout=100)
    assert (again.returncode, json.loads(same)) == (0, json.loads(out))
    assert "all 40 shards are up to date" in err


def test_rows_that_raise_hang_or_end_their_process(place: Path) -> None:
    names = ["e0", "boom", "e2", "dead", "e4", "endless", "e6", "e7"]
    more = ("--evaluator", "patient", "--set", "eval.timeout_s=1", "--concurrency", "2")
    running = started(place, names, *more, size=4)
    out, err = running.communicate(timeout=200)
    assert running.returncode == 3, err
    errors = {row["example_id"]: row["error"] for row in written(place) if row["error"]}
    assert errors == {
        "boom": "backend 'steady' raised RuntimeError: a bad prompt",
        "dead": "the process ended while it was asked",
    }
    verdicts = (place / "out/verdicts/part-00001.jsonl").read_text().splitlines()
    unscored = [row for row in map(json.loads, verdicts) if row["passed"] is None]
    assert [row["id"] for row in unscored] == ["endless"]
    assert json.loads(out)["patient"]["unscored"] == 3
    assert len(written(place)) == 8


def test_what_no_worker_can_do_is_one_sentence(place: Path) -> None:
    asked = ["--set", "eval.backend=openai", "--set", "eval.model=m"]
    asked += ["--set", "eval.base_url=http://127.0.0.1:9/v1", "--adapter", str(place)]
    running = started(place, ["e0", "e1"], *asked, size=1)
    _, err = running.communicate(timeout=200)
    assert running.returncode == 2, err
    assert "cannot put the adapter" in err.splitlines()[-1]


def test_no_cluster_at_the_address(place: Path) -> None:
    running = started(place, ["e0"], "--ray-address", "127.0.0.1:9", size=4)
    _, err = running.communicate(timeout=200)
    assert running.returncode == 2, err
    assert "--ray-address 127.0.0.1:9: no cluster answers there" in err
