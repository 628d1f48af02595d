"""A decode step of the built-in model on a GPU: its time, its kernels, and what it writes.

    python benchmarks/decode_step.py                     needs a GPU; 90 seconds on an H200
    -> a table of ms a step by graph replay alone and as decoded, tokens/s and kernels a step, for
       1 to 512 slots, base and with a fresh adapter; the slowest kernels; and how many texts differ
       between one slot and 512

Prompts are those of benchmarks/speed.toml. `alone` replays the captured step of full slots. `as
decoded` divides the whole second call of `generate`, with its prefills and checks, by its steps.
What fails prints its error, and the rest still runs.
"""

from __future__ import annotations

import argparse
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from generate import prompts_of

from fmtharness.harness.config.load import load_config
from fmtharness.harness.contracts import Loaded
from fmtharness.harness.engine import fused_decode
from fmtharness.harness.engine import slots as engine_slots
from fmtharness.harness.engine.encoding import stop_token, stop_tokens
from fmtharness.harness.engine.fused_layers import fuse
from fmtharness.harness.engine.generation import generate
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.slots import Slots, slots_for

COUNTS = {1: 4, 8: 32, 64: 250, 512: 1000}
"""Prompts that are decoded, by the number of slots."""
REPLAYS = 30
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Step(NamedTuple):
    """A captured step alone: its time, its kernels by their time, and whether it is fused."""

    ms: float
    kernels: list[tuple[str, float, int]]
    fused: bool


class Decoding(NamedTuple):
    """A call of `generate`: seconds, launched steps, new tokens."""

    seconds: float
    steps: int
    texts: dict[int, list[int]]

    @property
    def tokens(self) -> int:
        """All new tokens, but for stop tokens."""
        return sum(map(len, self.texts.values()))


def decoded(loaded: Loaded, prompts: Sequence[list[int]], limit: int, count: int) -> Decoding:
    """Decode all prompts in `count` slots."""
    steps = 0
    replay = Slots._replay

    def counted(self: Slots) -> None:
        nonlocal steps
        steps += 1
        replay(self)

    Slots._replay = counted  # type: ignore[method-assign]
    try:
        torch.cuda.synchronize()
        began = time.perf_counter()
        found = generate(
            loaded.model,
            prompts,
            stop_ids=stop_tokens(loaded),
            pad_id=stop_token(loaded.tokenizer),
            max_new_tokens=limit,
            batch_size=count,
        )
        texts = {each.place: each.ids for each in found}
        torch.cuda.synchronize()
        return Decoding(time.perf_counter() - began, steps, texts)
    finally:
        Slots._replay = replay  # type: ignore[method-assign]


@torch.inference_mode()
def step_alone(model: Any, prompts: Sequence[list[int]], limit: int, count: int) -> Step:
    """Replay the step of `count` slots that hold prompts, in the middle of their answers."""
    length = max(map(len, prompts)) + limit
    with Patches() as patches:
        order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
        slots = slots_for(model, patches, prompts, order, count=count, length=length, kind=Slots)
        if slots is None:
            raise RuntimeError("slots were refused; see the message above")
        if not slots._fused:
            click.echo(f"not fused: {why_not_fused(model)}")
        slots.enter({slot: prompts[slot % len(prompts)] for slot in range(count)})
        for _ in range(min(REPLAYS, limit) // 2):
            slots.step()
        torch.cuda.synchronize()
        timer: Any = torch.cuda.Event
        began, ended = (timer(enable_timing=True) for _ in range(2))
        began.record()
        for _ in range(REPLAYS):
            slots._replay()
        ended.record()
        torch.cuda.synchronize()
        return Step(began.elapsed_time(ended) / REPLAYS, kernels_of(slots), slots._fused)


def why_not_fused(model: Any) -> str:
    """What keeps the first layer's step from being fused."""
    rotary = [m for m in model.modules() if type(m).__name__.endswith("RotaryEmbedding")]
    layers = [
        m for m in model.modules() if {name for name, _ in m.named_children()} == fused_decode.LAYER
    ]
    if len(rotary) != 1 or not layers:
        return f"{len(rotary)} rotary embeddings, {len(layers)} layers of the plain shape"
    parts = fused_decode._parts(layers[0], model.dtype)
    if parts is None:
        return "no kernel for its heads, or a linear layer of another kind"
    try:
        far = fused_decode._distance(parts, rotary[0], model.dtype)
    except Exception:  # the error is what is asked for
        return traceback.format_exc(limit=-4)
    known = model in fused_decode.unfused
    return f"its first layer is {far:.2f} of its rounding apart; known as unfit: {known}"


def kernels_of(slots: Slots) -> list[tuple[str, float, int]]:
    """The name, us and launches of each kernel of one replay, the costliest first."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        slots._replay()
        torch.cuda.synchronize()
    found = [
        (event.key, float(event.self_device_time_total), event.count)
        for event in profile.key_averages()
        if event.self_device_time_total > 0
    ]
    return sorted(found, key=lambda each: -each[1])


def tried(what: str, call: Callable[[], Any]) -> Any:
    """What the call returns, or None where it fails, with the error printed."""
    try:
        return call()
    except Exception:  # a variant that fails must not hide the others
        click.echo(f"{what} FAILED:\n{traceback.format_exc(limit=-6)}")
        with suppress(Exception):
            torch.cuda.empty_cache()
        return None


def loaded_model(config: Any, patches: Patches, adapter: bool) -> Loaded:
    """The config's model, with a fresh rank 16 adapter whose B is random, or without."""
    options = config.model.model_copy(
        update={"precision": "auto", "quantization": "none", "memory_limit": None}
    )
    loaded = load_model(options, patches, None)
    if not adapter:
        return loaded
    from peft import LoraConfig, get_peft_model

    model: Any = get_peft_model(loaded.model, LoraConfig(r=16, target_modules=TARGETS)).eval()
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = weight.data.to(loaded.model.dtype)
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.01)
    fuse(model, patches)
    return Loaded(model, loaded.tokenizer)


def lines_of(name: str, loaded: Loaded, prompts: Sequence[list[int]], limit: int) -> list[str]:
    """The table's lines of one model; prints its kernels and compares its texts."""
    lines, most = [], {}
    for count, asked in COUNTS.items():
        what, some = f"{name}, {count} slots", prompts[:asked]
        step = tried(f"{what}, step", lambda: step_alone(loaded.model, some, limit, count))  # noqa: B023
        runs = [
            tried(f"{what}, decode", lambda: decoded(loaded, some, limit, count))  # noqa: B023
            for _ in range(2)
        ]
        cells = [name, f"{count}", "-", "-", "-", "-", "-", "-", "-"]
        if step:
            launches = sum(number for _, _, number in step.kernels)
            busy = sum(us for _, us, _ in step.kernels) / 1000
            cells[2:6] = [
                "yes" if step.fused else "no",
                f"{step.ms:.2f}",
                f"{busy:.2f}",
                str(launches),
            ]
            most[count] = step.kernels[:10]
        if first := runs[0]:
            cells[6] = f"{first.tokens / first.seconds:,.0f}"
        if warm := runs[1]:
            cells[7] = f"{1000 * warm.seconds / max(1, warm.steps):.2f}"
            cells[8] = f"{warm.tokens / warm.seconds:,.0f}"
        lines.append(f"| {' | '.join(cells)} |")
    for count, kernels in most.items():
        if count in (1, 512):
            click.echo(f"{name}, {count} slots, the dearest kernels of a step:")
            for key, us, number in kernels:
                click.echo(f"  {us:8.1f} us {number:4d} x {key[:110]}")
    return lines


def compared(name: str, loaded: Loaded, prompts: Sequence[list[int]], limit: int) -> str:
    """How many of 100 texts differ between one slot and 512; the 512 hold all prompts."""
    alone, many = decoded(loaded, prompts[:100], limit, 1), decoded(loaded, prompts, limit, 512)
    differ = [i for i in alone.texts if alone.texts[i] != many.texts[i]]
    return (
        f"{name}: {len(differ)} of {len(alone.texts)} texts differ between 1 and 512 slots; "
        f"1 slot: {alone.tokens / alone.seconds:,.0f} tokens/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=Path, default=Path("benchmarks/speed.toml"))
    parser.add_argument("--new-tokens", type=int, default=128)
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/decode_step.py needs a GPU")
    config: Any = load_config(asked.config, trains=False)
    began, rows = time.perf_counter(), []
    click.echo(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", err=True)
    for adapter in (False, True):
        name = "adapter" if adapter else "base"
        engine_slots._unfit.clear()
        with Patches() as patches:
            loaded = tried(name, lambda: loaded_model(config, patches, adapter))  # noqa: B023
            if loaded is None:
                continue
            prompts = prompts_of(config, loaded, max(COUNTS.values()))
            rows += lines_of(name, loaded, prompts, asked.new_tokens)
            if said := tried(
                f"{name}, texts",
                lambda: compared(name, loaded, prompts, asked.new_tokens),  # noqa: B023
            ):
                click.echo(said)
        click.echo(f"{time.perf_counter() - began:.0f} s so far", err=True)
    head = "model | slots | fused | ms/step alone | of it kernels | kernels | first call tokens/s"
    click.echo(f"| {head} | warm ms/step as decoded | warm tokens/s |")
    click.echo("|---" * 9 + "|")
    for row in rows:
        click.echo(row)


if __name__ == "__main__":
    main()
