"""Greedy generation beside transformers' generate(): same weights, prompts and token limit.

    python benchmarks/generate.py                        48 prompts of quick.toml and of speed.toml
    python benchmarks/generate.py configs/quick.toml --prompts 200 --adapter runs/quick/adapter
    python benchmarks/generate.py --ways dynamic,static,compiled,continuous,ours --repeats 3
    -> a table: seconds, CPU seconds, new tokens, tokens/s, and how many completions are the same

All get the prompts sorted by length and the same model in memory; transformers pads on the left to
its batch's longest prompt, except in continuous batching. The first call is reported apart from the
best of the other `--repeats`, each in turn with the others, since a machine is rarely idle. The
first call includes what generation sets up once, but not loading, whose time is printed apart. A
way that fails says so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import click
import torch
from transformers import GenerationConfig

from fmtharness.harness.config.load import load_config
from fmtharness.harness.contracts import Loaded
from fmtharness.harness.engine.encoding import encode_prompt, stop_token, stop_tokens
from fmtharness.harness.engine.generation import generate
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.run.answering import bound_generator
from fmtharness.harness.text import first_line

Texts = dict[int, list[int]]
"""New tokens by the prompt's index, without the stop token."""


class Line(NamedTuple):
    """One line of the table."""

    name: str
    first: float
    """Seconds of the first call."""
    seconds: float
    """Of the fastest call but the first, if there are others."""
    cpu_seconds: float
    """Of all threads: what a busy machine leaves to compare, with OMP_NUM_THREADS=1."""
    texts: Texts
    error: str = ""


def prompts_of(config: Any, loaded: Loaded, count: int) -> list[list[int]]:
    """The token ids of the config's first eval prompts."""
    with bound_generator(config) as generator:
        examples = list(islice(generator.generate("eval", count, Random(config.seed)), count))
    return [encode_prompt(loaded.tokenizer, each.prompt, each.tools) for each in examples]


def ours(loaded: Loaded, prompts: Sequence[list[int]], limit: int, batch_size: int) -> Texts:
    stop = stop_token(loaded.tokenizer)
    found = generate(
        loaded.model,
        prompts,
        stop_ids=stop_tokens(loaded),
        pad_id=stop,
        max_new_tokens=limit,
        batch_size=batch_size,
    )
    return {each.place: each.ids for each in found}


def settings_of(loaded: Loaded, limit: int, **more: Any) -> Any:
    """transformers' settings for greedy decoding."""
    greedy: Any = GenerationConfig
    stops, pad = sorted(stop_tokens(loaded)), stop_token(loaded.tokenizer)
    return greedy(
        do_sample=False, max_new_tokens=limit, eos_token_id=stops, pad_token_id=pad, **more
    )


def cut(ids: Sequence[int], stops: Collection[int]) -> list[int]:
    """The tokens before the first stop token."""
    return list(takewhile(lambda token: token not in stops, ids))


def continuous(loaded: Loaded, prompts: Sequence[list[int]], limit: int) -> Texts:
    """By transformers' continuous batching."""
    made = loaded.model.generate_batch(list(prompts), settings_of(loaded, limit))
    if len(made) < len(prompts):
        raise RuntimeError(f"only {len(made)} of {len(prompts)} prompts were answered")
    numbered = sorted(made.items(), key=lambda each: int(each[0].rpartition("_")[2]))
    stops = stop_tokens(loaded)
    return {i: cut(one.generated_tokens, stops) for i, (_, one) in enumerate(numbered)}


def stock(
    loaded: Loaded, prompts: Sequence[list[int]], limit: int, batch_size: int, **more: Any
) -> Texts:
    """By transformers' `generate`, in batches; `more`: of its GenerationConfig."""
    stops, pad = stop_tokens(loaded), stop_token(loaded.tokenizer)
    settings = settings_of(loaded, limit, **more)
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    written: Texts = {}
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        width = max(len(prompts[index]) for index in batch)
        padded = [[pad] * (width - len(prompts[i])) + prompts[i] for i in batch]
        masked = [[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in batch]
        with torch.inference_mode():
            made = loaded.model.generate(
                input_ids=torch.tensor(padded, device=loaded.model.device),
                attention_mask=torch.tensor(masked, device=loaded.model.device),
                generation_config=settings,
            )
        for index, row in zip(batch, made[:, width:].tolist(), strict=True):
            written[index] = cut(row, stops)
    return written


def fastest(ways: Mapping[str, Callable[[], Texts]], repeats: int) -> list[Line]:
    """Call each in turn, `repeats` times: the first call, and the fastest of the others."""
    found: dict[str, Line] = {}
    for turn in range(repeats):
        for name, call in ways.items():
            if turn and found[name].error:
                continue
            began = time.perf_counter(), time.process_time()
            try:
                texts, error = call(), ""
            except Exception as failure:  # what does not run here is a line of the table, too
                texts, error = {}, first_line(failure)
            seconds, busy = time.perf_counter() - began[0], time.process_time() - began[1]
            click.echo(f"{name}: {error or f'{seconds:.1f} s'}", err=True)
            first = found[name].first if turn else seconds
            if turn < 2 or error or seconds < found[name].seconds:
                found[name] = Line(name, first, seconds, busy, texts, error)
    return list(found.values())


def table(lines: Sequence[Line]) -> str:
    """A Markdown table; the texts are compared with the first line's that did not fail."""
    head = "| | first s | s | CPU s | new tokens | tokens/s | same texts |"
    rows = [head, "|---" * 7 + "|"]
    known: Texts = next((line.texts for line in lines if not line.error), {})
    for line in lines:
        if line.error:
            rows.append(f"| {line.name} | {line.error} | | | | | |")
            continue
        tokens = sum(map(len, line.texts.values()))
        same = sum(line.texts.get(index) == ids for index, ids in known.items())
        cells = [line.name, f"{line.first:.1f}", f"{line.seconds:.1f}", f"{line.cpu_seconds:.1f}"]
        cells += [f"{tokens:,}", f"{tokens / line.seconds:,.0f}", f"{same} of {len(line.texts)}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def measured(path: Path, asked: argparse.Namespace) -> list[Line]:
    """The lines of one config: transformers' and ours."""
    config: Any = load_config(path, overrides=asked.settings, trains=False)
    limit = config.backend.max_new_tokens
    size, of_stock = asked.batch_size, asked.stock_batch_size
    size = size or config.backend.per_device_eval_batch_size
    options = config.model.model_copy(
        update={"precision": "auto", "quantization": "none", "memory_limit": None}
    )
    with Patches() as patches:
        began = time.perf_counter()
        loaded = load_model(options, patches, asked.adapter)
        click.echo(f"{path.stem}: loaded in {time.perf_counter() - began:.1f} s", err=True)
        prompts = prompts_of(config, loaded, asked.prompts)
        dtype = str(loaded.model.dtype).removeprefix("torch.")
        name = f"{path.stem}, {len(prompts)} prompts, {dtype}"
        by_stock = partial(stock, loaded, prompts, limit, of_stock)
        static: dict[str, Any] = {"cache_implementation": "static"}
        every = {
            "dynamic": (f"generate(), batch {of_stock}", by_stock),
            "static": (
                f"the same, static cache, batch {of_stock}",
                partial(by_stock, **static, disable_compile=True),
            ),
            "compiled": (
                f"the same, compiled, batch {of_stock}",
                partial(by_stock, **static),
            ),
            "continuous": (
                "generate_batch(), continuous",
                partial(continuous, loaded, prompts, limit),
            ),
            "ours": (
                f"fmtharness, batch {size}",
                partial(ours, loaded, prompts, limit, size),
            ),
        }
        chosen = [every[way] for way in asked.ways.split(",")]
        ways = {f"{name}: {label}": call for label, call in chosen}
        return fastest(ways, asked.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    presets = [Path("configs/quick.toml"), Path("benchmarks/speed.toml")]
    parser.add_argument("configs", type=Path, nargs="*", default=presets)
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--batch-size", type=int, help="ours; default: the config's")
    parser.add_argument("--stock-batch-size", type=int, default=16)
    parser.add_argument(
        "--ways",
        default="dynamic,ours",
        help="of dynamic,static,compiled,continuous,ours; compiled only on a GPU",
    )
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    asked = parser.parse_args()
    for path in asked.configs:
        click.echo(table(measured(path, asked)))


if __name__ == "__main__":
    main()
