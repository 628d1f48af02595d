"""llama.cpp's server on the built-in GGUF: its speed, and what its response formats guarantee.

    python benchmarks/llama_server.py --slots 8 16 32 --threads 1 2
    -> a row per setting: seconds, tokens, tokens/s
    python benchmarks/llama_server.py --guarantees answers/
    -> a row per response format and token limit: strict, cut off, and each label; answers/*.jsonl

Greedy, on the eval prompts of a config; `make servers` builds the server first.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.harness.backends.llama_server import serving
from fmtharness.harness.config import load_config
from fmtharness.harness.engine.gguf import builtin_gguf
from fmtharness.harness.records import Completion, Example, write_records
from fmtharness.harness.report.tables import table

TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("configs/quick.toml"))
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--max-tokens", type=int, nargs="+", default=[96])
    parser.add_argument("--slots", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=1, help="runs on each server, all told")
    parser.add_argument("--guarantees", type=Path, help="the folder for the answers")
    chosen = parser.parse_args()
    config = load_config(chosen.config)
    examples = [*config.generator.generate("eval", chosen.prompts, Random(config.seed))]
    if chosen.guarantees:
        rows = guarantees(examples, chosen.guarantees, chosen.max_tokens, chosen.threads[-1])
        heading = ["response_format", "max_tokens", "answers", "strict", "cut off", "labels"]
    else:
        rows = speeds(examples, chosen)
        heading = ["threads", "slots", "round", "seconds", "prompt tokens", "tokens", "tokens/s"]
    sys.stdout.write(table(heading, [*rows]) + "\n")


def speeds(examples: Sequence[Example], chosen: argparse.Namespace) -> Iterator[list[str]]:
    """A row per setting and round; as many requests wait at the server as it has slots."""
    for threads in chosen.threads:
        for slots in chosen.slots:
            # What earlier requests left in the cache would make prompts shorter.
            fresh = ["--no-cache-prompt", "--cache-ram", "0"]
            with serving(builtin_gguf(), slots=slots, threads=threads, arguments=fresh) as url:
                for turn in range(chosen.rounds):
                    began = time.perf_counter()
                    found = answers(url, examples, slots, max_tokens=chosen.max_tokens[0])
                    seconds = time.perf_counter() - began
                    read = sum(each.prompt_tokens or 0 for each in found)
                    made = sum(each.completion_tokens or 0 for each in found)
                    row = [threads, slots, turn + 1, f"{seconds:.2f}", read, made]
                    yield [*map(str, row), f"{made / seconds:.1f}"]


def guarantees(
    examples: Sequence[Example], folder: Path, limits: Sequence[int], threads: int
) -> Iterator[list[str]]:
    """A row per response format and limit: how many answers the strict judge passes, and why not.

    The answers go to `folder/FORMAT-LIMIT.jsonl`, as `fmtharness eval --completions` reads them.
    """
    slots, json_format = 8, JsonFormat()
    folder.mkdir(parents=True, exist_ok=True)
    with serving(builtin_gguf(), slots=slots, threads=threads) as url:
        for kind in ("json_object", "json_schema"):
            for limit in limits:
                found = answers(url, examples, slots, max_tokens=limit, response_format=kind)
                write_records(folder / f"{kind}-{limit}.jsonl", found)
                parsed = [json_format.parse(each.text) for each in found]
                labels = Counter(
                    label for each in parsed for label in {p.label for p in each.problems}
                )
                cut = sum(each.finish_reason == "length" for each in found)
                row = [kind, limit, len(found), sum(each.ok for each in parsed), cut]
                said = ", ".join(f"{label} {count}" for label, count in labels.most_common())
                yield [*map(str, row), said]


def answers(
    url: str, examples: Sequence[Example], workers: int, **options: Any
) -> list[Completion]:
    """The server's Completions in the order of the examples, `workers` requests at a time."""
    with ThreadPoolExecutor(workers) as pool:
        return [*pool.map(lambda example: answer(url, example, **options), examples)]


def answer(
    url: str, example: Example, *, max_tokens: int, response_format: str | None = None
) -> Completion:
    """One Completion of the server, greedy."""
    body: dict[str, Any] = {
        "messages": msgspec.to_builtins(example.prompt),
        "max_tokens": max_tokens,
        "temperature": 0,
    }
    if response_format:
        body["response_format"] = {"type": response_format}
    if response_format == "json_schema":
        schema = schema_of(example.value)
        body["response_format"]["json_schema"] = {"name": "answer", "schema": schema}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=600) as response:
        said = json.load(response)
    (choice,) = said["choices"]
    return Completion(
        example_id=example.id,
        text=choice["message"]["content"] or "",
        finish_reason=choice["finish_reason"],
        prompt_tokens=said["usage"]["prompt_tokens"],
        completion_tokens=said["usage"]["completion_tokens"],
        arm="server:llama",
    )


def schema_of(value: Any) -> dict[str, Any]:
    """The JSON Schema of values that are like this one, with the same keys: {"a": 1}, {"a": 2}."""
    if isinstance(value, dict):
        keys = {key: schema_of(inner) for key, inner in value.items()}
        closed = {"required": [*keys], "additionalProperties": False}
        return {"type": "object", "properties": keys, **closed}
    if isinstance(value, list):
        return {"type": "array"} | ({"items": schema_of(value[0])} if value else {})
    return {"type": TYPES[type(value)]}


if __name__ == "__main__":
    main()
