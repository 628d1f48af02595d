"""Many completions through `fmtharness eval --engine ray`, while one of its nodes is killed.

    python benchmarks/ray_engine.py                   100,000 rows, 4 nodes of one core: minutes
    python benchmarks/ray_engine.py --rows 2000       a look
    ->  one table: rows, seconds, rows/s, duplicates, missing, peak memory of the driver

Ray's own local cluster of several nodes works on the rows; the driver is a process of its own. Its
backend answers a row in a fifth of a millisecond, so that what is measured is the engine. One node
is killed without a warning when a third of the shards is there. Then the same command is given
again, which must find all of it, and a tenth of the rows shows that memory does not grow with them.
Exits with 1 if a row is missing or there twice.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from fmtharness.harness.records import encode
from tests.fakes import ROOT, example
from tests.ray_plugin import installed, on_path

SHARD_ROWS = 500
STORE = 100 * 2**20
HEADERS = ("", "rows", "seconds", "rows/s", "duplicates", "missing", "driver peak, MiB")


class Outcome(NamedTuple):
    """One run of the command."""

    what: str
    rows: int
    seconds: float
    duplicates: int
    missing: int
    peak: float
    """The driver's resident memory at most, in MiB."""

    @property
    def row(self) -> tuple[object, ...]:
        rate = f"{self.rows / self.seconds:,.0f}"
        peak = f"{self.peak:.0f}"
        return (
            *(self.what, f"{self.rows:,}", f"{self.seconds:.1f}", rate),
            *(self.duplicates, self.missing, peak),
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--nodes", type=int, default=4)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="ray-engine-") as made:
        folder = Path(made)
        os.environ["PYTHONPATH"] = on_path(installed(folder))
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        outcomes = measured(folder, asked.rows, asked.nodes)
    table = tabulate([each.row for each in outcomes], HEADERS, disable_numparse=True)
    sys.stdout.write(f"{table}\n")
    sys.exit(any(each.duplicates or each.missing for each in outcomes))


def measured(folder: Path, rows: int, nodes: int) -> list[Outcome]:
    """A tenth of the rows, all of them with a node killed, and the same command again."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        held = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(nodes)]
        cluster.wait_for_nodes()
        tenth = run(folder / "tenth", rows // 10, cluster.address, "no node killed")
        killed = run(
            folder / "all",
            rows,
            cluster.address,
            f"1 of {nodes} nodes killed",
            lambda: cluster.remove_node(held[1], allow_graceful=False),
        )
        again = run(folder / "all", rows, cluster.address, "the same command again")
    finally:
        cluster.shutdown()
    return [tenth, killed, again]


def run(folder: Path, count: int, address: str, what: str, kill: Any = None) -> Outcome:
    """Run the command on `count` rows; `kill` is called when a third of its shards is there."""
    folder.mkdir(exist_ok=True)
    rows, out = folder / "rows.jsonl", folder / "out"
    with rows.open("wb") as file:
        file.writelines(encode(example(f"row-{at}")) for at in range(count))
    command = [sys.executable, "-m", "fmtharness", "eval", "--engine", "ray", "--json"]
    command += ["--data", str(rows), "--out", str(out), "--ray-address", address]
    command += ["--shard-rows", str(SHARD_ROWS)]
    command += ["--set", "eval.backend=steady", "--set", "eval.seconds=0.0002"]
    began = time.perf_counter()
    with (folder / "result.json").open("wb") as result:
        process = subprocess.Popen(command, cwd=ROOT, stdout=result)
        shards = -(-count // SHARD_ROWS)
        while kill is not None and process.poll() is None:
            if 3 * len([*out.glob("completions/part-*.jsonl")]) >= shards:
                kill()
                break
            time.sleep(0.1)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        sys.exit(f"{what}: the command ended with {os.waitstatus_to_exitcode(status)}")
    known: Counter[str] = Counter()
    for part in out.glob("completions/part-*.jsonl"):
        with part.open("rb") as lines:
            known.update(json.loads(line)["example_id"] for line in lines)
    missing = sum(not known[f"row-{at}"] for at in range(count))
    return Outcome(
        what, count, seconds, known.total() - len(known), missing, usage.ru_maxrss / 1024
    )


if __name__ == "__main__":
    main()
