"""What each trick of the training buys: its speed with one of them off at a time.

    python benchmarks/ablation.py                          the built-in model, on what is here
    python benchmarks/ablation.py --shape qwen2.5-0.5b --tricks graphs,attention
    -> a table: tokens/s without the trick, what it buys, its lines of code with tests

Each line is a process of its own; `--rounds` repeats all lines in turn; the median counts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import train

ROOT = Path(__file__).parents[1]


class Trick(NamedTuple):
    """Something that a training could do without."""

    devices: str
    """`cpu`, `cuda`, or both."""
    off: Callable[[], None]
    """Switches it off in this process, before anything is trained."""
    files: tuple[str, ...]
    """The files that would go with it; `path:function` counts one function or class."""
    settings: tuple[str, ...] = ()
    """Overrides of the config that switch it off instead."""


def _set(place: str, value: Any) -> None:
    """Put a value where a dotted path leads: the module, then the name in it."""
    import importlib

    module, name = place.rsplit(".", 1)
    setattr(importlib.import_module(module), name, value)


def _no_kernels() -> None:
    _set("fmtharness.harness.engine.kernels.choice._compiled", lambda: None)
    _set("fmtharness.harness.engine.kernels.choice._tried", lambda device, dtype: None)


def _no_lanes() -> None:
    _set("fmtharness.trainers.step.cpu_passes.lanes_for", lambda sizes, most: 1)


def _no_tree() -> None:
    from fmtharness.trainers.batch.tree import pack_tree

    def unshared(rows: Any, *, share: bool = True) -> Any:
        return pack_tree(rows, share=False)

    _set("fmtharness.trainers.step.cpu_passes.pack_tree", unshared)


def _no_fused_adapter() -> None:
    _set("fmtharness.harness.engine.fused_layers.group_layers", lambda model, patches: None)


def _no_fused_norms() -> None:
    _set("fmtharness.harness.engine.fused_layers.fuse_norms", lambda model, patches: 0)


def _no_fused_mlps() -> None:
    _set("fmtharness.harness.engine.fused_layers.fuse_mlps", lambda model, dtype, patches: 0)


def _head_everywhere() -> None:
    import torch

    from fmtharness.trainers.step import forward, loss

    def every(model: Any, packed: Any, logits_bytes: int = 2**29) -> torch.Tensor:
        causal = loss._causal(model)
        head = causal.get_output_embeddings()
        hidden = loss._hidden(causal, packed)
        labels = torch.full((len(hidden),), -100, device=hidden.device)
        if packed.blocks:  # in a tree one token may predict several labels
            hidden = torch.cat([hidden, hidden.index_select(0, packed.before)])
            labels = torch.cat([labels, packed.labels])
        else:
            labels = labels.index_copy(0, packed.before, packed.labels)
        chunk = max(16, logits_bytes // (4 * len(head.weight)))
        made: torch.Tensor = loss._HeadLoss.apply(hidden, head.weight, head.bias, labels, chunk)  # type: ignore[no-untyped-call]
        return made

    _set("fmtharness.trainers.step.forward.FUSED", forward.FUSED._replace(losses=every))


def _one_row_a_pass() -> None:
    def singly(batch: Any, max_tokens: int, **_: Any) -> list[list[Any]]:
        return [[row] for row in sorted(batch, key=lambda row: -row.tokens)]

    _set("fmtharness.trainers.step.cpu_passes.micro_batches", singly)
    _set("fmtharness.trainers.step.gpu_passes.micro_batches", singly)


def _plain_attention() -> None:
    _set("fmtharness.trainers.attention.dispatch._is_plain", lambda module, model: False)


def _no_flash() -> None:
    _set("fmtharness.trainers.attention.dispatch.has_flash", lambda projected, heads: False)


def _nothing() -> None:
    pass


KERNELS = ("harness/engine/kernels/choice.py",)
TRICKS = {
    "kernels in C": Trick(
        "cpu",
        _no_kernels,
        (
            *KERNELS,
            "harness/engine/kernels/cpu.py",
            "harness/engine/kernels/cpu.c",
            "harness/engine/kernels/exponential.h",
            "tests/test_cpu_kernels.py",
        ),
    ),
    "kernels in Triton": Trick(
        "cuda",
        _no_kernels,
        (*KERNELS, "harness/engine/kernels/triton.py", "tests/test_kernels.py"),
    ),
    "lanes": Trick("cpu", _no_lanes, ("trainers/step/lanes.py", "tests/test_lanes.py")),
    "prefix tree": Trick("cpu", _no_tree, ("trainers/batch/tree.py", "trainers/attention/rows.py")),
    "fused adapter": Trick(
        "cpu,cuda", _no_fused_adapter, ("harness/engine/lora_linear.py", "tests/test_fused.py")
    ),
    "fused norms": Trick(
        "cpu,cuda",
        _no_fused_norms,
        tuple(
            f"harness/engine/fused_layers.py:{name}"
            for name in ("fuse_norms", "_is_plain_norm", "_norm", "_RmsNorm")
        ),
    ),
    "fused feed-forward": Trick(
        "cpu,cuda",
        _no_fused_mlps,
        tuple(
            f"harness/engine/fused_layers.py:{name}"
            for name in ("fuse_mlps", "_mlp", "_Gate", "_GatedLinear", "_gate_back")
        ),
    ),
    "head on labels only": Trick("cpu,cuda", _head_everywhere, ()),
    "packing": Trick("cpu,cuda", _one_row_a_pass, ("trainers/batch/packed.py",)),
    "CUDA graphs": Trick(
        "cuda",
        _nothing,
        ("trainers/step/graphs.py", "harness/engine/cuda_graphs.py"),
        ("train.cuda_graphs=never",),
    ),
    "attention of packed rows": Trick(
        "cpu,cuda",
        _plain_attention,
        (
            "trainers/attention/heads.py",
            "trainers/attention/rotary.py",
            "trainers/attention/rows.py",
            "trainers/attention/squares.py",
            "trainers/attention/flash.py",
        ),
    ),
    "flash attention": Trick("cuda", _no_flash, ("trainers/attention/flash.py",)),
}


def switch_off(name: str) -> None:
    TRICKS[name].off()


def lines_of(files: tuple[str, ...]) -> int:
    """The number of lines in these files and functions."""
    import ast

    found = 0
    for each in files:
        path, _, name = each.partition(":")
        text = (ROOT / path).read_text(encoding="utf-8")
        if not name:
            found += text.count("\n")
            continue
        node = next(n for n in ast.parse(text).body if getattr(n, "name", None) == name)
        found += (node.end_lineno or 0) - node.lineno + 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=train.SHAPES, help="random weights of this shape")
    parser.add_argument("--model", help="another model, or with --shape its tokenizer")
    parser.add_argument("--steps", type=int, default=12, help="optimizer steps of each line")
    parser.add_argument("--rounds", type=int, default=1, help="times each line runs, in turns")
    parser.add_argument("--limit", help="GPU memory, such as 3.5GiB")
    parser.add_argument("--tricks", help="only these, with commas between; all if unset")
    parser.add_argument("--config", type=Path, default=Path("benchmarks/speed.toml"))
    parser.add_argument("--set", action="append", default=[], help="override of the config")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spec = train._prepare(chosen, Path(folder))
        device = "cpu" if spec["device"] == "cpu" else "cuda"
        names = chosen.tricks.split(",") if chosen.tricks else list(TRICKS)
        names = [name for name in names if device in TRICKS[name].devices]
        sides: list[dict[str, Any]] = [{"name": "all on"}]
        for name in names:
            settings = [*spec["set"], *TRICKS[name].settings]
            sides.append({"name": name, "without": name, "set": settings})
        lines = [{**spec, "side": "ours", **side} for side in sides]
        rounds = [train._run_all(lines) for _ in range(chosen.rounds)]
    middle = [train._middle(same) for same in zip(*rounds, strict=True)]
    click.echo(f"\n{spec['device']}, {spec['label']}, {chosen.steps} steps; {spec['versions']}")
    _table(middle)


def _table(lines: list[dict[str, Any]]) -> None:
    from tabulate import tabulate

    whole = lines[0].get("rate", float("nan"))
    rows = []
    for line in lines:
        name = line["name"]
        files = TRICKS[name].files if name in TRICKS else ()
        code = str(lines_of(files)) if files else ""
        if "failed" in line:
            rows.append([name, line["failed"], "", code, ""])
            continue
        buys = f"{whole / line['rate'] - 1:+.1%}" if name in TRICKS else ""
        peak = max(line.get("cuda_reserved", 0), 0) or line["resident"]
        rows.append([name, f"{line['rate']:,.0f}", buys, code, f"{peak / 2**20:,.0f}"])
    heads = ["without", "tokens/s", "it buys", "lines", "peak MiB"]
    click.echo(tabulate(rows, heads, disable_numparse=True))


if __name__ == "__main__":
    main()
