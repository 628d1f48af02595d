"""Runs of a preset and of its ablations over several seeds: what each part of a recipe buys.

    python benchmarks/recipe.py configs/hard.toml --out /tmp/recipe --seeds 1,2,3
    python benchmarks/recipe.py configs/hard.toml --out /tmp/recipe --variants full,one_round

Each run is `fmtharness run` with a few overrides, in a folder of its own, so an interrupted call
goes on where it was. The table has a line per variant: mean and spread over the seeds, of the arm
`sft` on the eval halves. `--parallel 3` runs three at a time, for a GPU that one does not fill.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import tomli_w

OPEN = (
    "open_writing",
    "described_document",
    "schema_instance",
    "fill_the_example",
    "nested_record",
    "long_list",
    "question_about_passage",
)
"""The families that leave their content to the model, or ask for long texts."""
HELD_OUT = ("convert", "nested", "described_document", "question_about_passage", "long_list")
"""Whole families that `leave_out` trains without and is judged on."""

Tables = dict[str, Any]


def _parts(tables: Tables) -> Iterator[Tables]:
    """The [data] table, or each source of its mix."""
    data = tables["data"]
    yield from data["mix"].values() if "mix" in data else (data,)


def _families(tables: Tables, without: Iterable[str]) -> None:
    from fmtharness.generators.families import FAMILIES

    for part in _parts(tables):
        if part.get("generator", "tasks") == "tasks":
            weights = part.get("families") or dict.fromkeys(FAMILIES, 1.0)
            part["families"] = {k: w for k, w in weights.items() if k not in without}


def _full(tables: Tables) -> None:
    """The preset as it is."""


def _drop_empty(tables: Tables) -> None:
    """Leave out the sources of the mix that have nothing left to make."""
    kinds = {"open": 1, "retention": 1, "plain": 0}  # the defaults of self_answers
    mix = tables["data"].get("mix", {})
    for name, part in list(mix.items()):
        if part.get("generator") == "self_answers":
            makes = any(part.get(kind, weight) for kind, weight in kinds.items())
        else:
            makes = bool(part.get("families", True))
        if not makes:
            del mix[name]


def _no_retention(tables: Tables) -> None:
    for part in _parts(tables):
        if part.get("generator") == "self_answers":
            part["retention"] = part["plain"] = 0.0
    _drop_empty(tables)


def _no_open(tables: Tables) -> None:
    _families(tables, OPEN)
    for part in _parts(tables):
        if part.get("generator") == "self_answers":
            part["open"] = 0.0
    _drop_empty(tables)


def _one_round(tables: Tables) -> None:
    tables["train"].pop("next_round", None)
    tables["train"]["rounds"] = 1


def _no_dpo(tables: Tables) -> None:
    for table in (tables["train"], tables["train"].get("next_round", {})):
        if table.get("trainer") == "dpo":
            table["trainer"] = "qlora"
        for key in ("beta", "reference", "sft_weight", "target_margin"):
            table.pop(key, None)
    for part in _parts(tables):
        part.pop("loop_prob_train", None)


def _leave_out(tables: Tables) -> None:
    _families(tables, HELD_OUT)
    shared = {"hard_negative_prob_eval", "eval_strictness", "quote_prob"}
    tasks = next(p for p in _parts(tables) if p.get("generator", "tasks") == "tasks")
    held_out = {
        "generator": "tasks",
        "families": dict.fromkeys(HELD_OUT, 1.0),
        "num_prompts": 500,
        "max_new_tokens": 1024,
        **{key: tasks[key] for key in shared & tasks.keys()},
    }
    tables["eval"].setdefault("sets", {})["held_out_families"] = held_out


VARIANTS: dict[str, Callable[[Tables], None]] = {
    "full": _full,
    "no_retention": _no_retention,
    "no_open": _no_open,
    "one_round": _one_round,
    "no_dpo": _no_dpo,
    "leave_out": _leave_out,
}


def run(config: Path, job: tuple[str, int], out: Path, settings: list[str]) -> Path:
    """One run of a variant and a seed, with a log beside its folder; returns the folder."""
    variant, seed = job
    folder = out / f"{config.stem}-{variant}-{seed}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    tables = tomllib.loads(config.read_text(encoding="utf-8"))
    VARIANTS[variant](tables)
    tables |= {"seed": seed, "name": folder.name}
    own = out / f"{folder.name}.toml"
    own.write_text(tomli_w.dumps(tables), encoding="utf-8")
    call = [sys.executable, "-m", "fmtharness", "run", str(own), "--out", str(folder)]
    call += [part for each in settings for part in ("--set", each)]
    began = time.perf_counter()
    with (out / f"{folder.name}.log").open("wb") as log:
        done = subprocess.run(call, stdout=log, stderr=subprocess.STDOUT, check=False)
    seconds = time.perf_counter() - began
    click.echo(f"{folder.name}: exit {done.returncode} after {seconds:.0f} s", err=True)
    return folder


def numbers(folder: Path, arm: str = "sft") -> dict[str, float]:
    """The arm's numbers: rates of each set, and retention."""
    found: dict[str, float] = {}
    for path in sorted((folder / "verdicts").rglob(f"{arm}.jsonl")):
        inside = path.relative_to(folder / "verdicts").parent.as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        passed: dict[str, list[bool]] = {}
        for line in path.read_bytes().splitlines():
            row = json.loads(line)
            if row["passed"] is not None:
                passed.setdefault(row["evaluator"], []).append(row["passed"])
        found |= {f"{prefix}{name}": statistics.mean(each) for name, each in passed.items()}
    measured = folder / "retention" / f"{arm}.json"
    if measured.is_file():
        rows = json.loads(measured.read_text(encoding="utf-8"))
        found |= {f"retention/{k}": v for k, v in rows.items() if isinstance(v, int | float)}
    return found


def table(rows: dict[str, list[dict[str, float]]]) -> str:
    """A Markdown table with a line per number and a column per variant."""
    names = sorted({name for runs in rows.values() for each in runs for name in each})
    lines = ["| share that passes | " + " | ".join(rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for name in names:
        cells = []
        for runs in rows.values():
            values = [each[name] for each in runs if name in each]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}" if values else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, default=Path("outputs/recipe"))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    asked = parser.parse_args()
    jobs = [
        (variant, int(seed))
        for seed in asked.seeds.split(",")
        for variant in asked.variants.split(",")
    ]
    with ThreadPoolExecutor(asked.parallel) as pool:
        folders = list(
            pool.map(lambda job: run(asked.config, job, asked.out, asked.settings), jobs)
        )
    rows: dict[str, list[dict[str, float]]] = {}
    for (variant, _), folder in zip(jobs, folders, strict=True):
        rows.setdefault("base", []).append(numbers(folder, "base"))
        rows.setdefault(variant, []).append(numbers(folder))
    click.echo(table(rows))


if __name__ == "__main__":
    main()
