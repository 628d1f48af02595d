"""Training speed and memory beside TRL's SFTTrainer: same weights, Examples, batches and steps.

    python benchmarks/train.py                        the built-in model, on what this machine has
    python benchmarks/train.py --shape qwen2.5-0.5b --steps 40 --limit 3.5GiB
    -> a table: tokens/s after the warm-up, seconds in all, peak memory, largest difference in loss

Each line is a process of its own. TRL runs once per configuration, and its best one counts; needs
`pip install trl==1.16.0`, and `liger-kernel` for the configurations that use it. The weights of
`--shape` are random; its tokenizer is the built-in model's.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

SHAPES: dict[str, dict[str, Any]] = {
    "smollm2-135m": {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
        "rope_theta": 100_000.0,
    },
    "qwen2.5-0.5b": {
        "model_type": "qwen2",
        "vocab_size": 151936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "rope_theta": 1_000_000.0,
    },
}
"""Models by their published config.json."""
PER_STEP = 16
RATE = 2e-4
GPU_GRID = (
    {"micro": 16},
    {"micro": 16, "liger": True},
    {"micro": 16, "padding_free": True},
    {"micro": 16, "padding_free": True, "liger": True},
    {"micro": 1, "packing": True},
    {"micro": 1, "packing": True, "liger": True},
    {"micro": 16, "checkpointing": True, "liger": True},
    {"micro": 4, "liger": True},
    {"micro": 4},
    {"micro": 1},
)
SETTINGS = ("micro", "liger", "padding_free", "packing", "checkpointing")
CPU_GRID = ({"micro": 1}, {"micro": 4}, {"micro": 16}, {"micro": 16, "padding_free": True})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, help="random weights of this shape")
    parser.add_argument("--model", help="another model, or with --shape its tokenizer")
    parser.add_argument("--steps", type=int, default=12, help="optimizer steps of each line")
    parser.add_argument("--limit", help="GPU memory for both sides, such as 3.5GiB")
    parser.add_argument("--config", type=Path, default=Path("benchmarks/speed.toml"))
    parser.add_argument("--set", action="append", default=[], help="override for our side")
    parser.add_argument("--only", choices=["ours", "trl"])
    parser.add_argument("--rounds", type=int, default=1, help="times each line runs, in turns")
    parser.add_argument("--grid", help="TRL's configurations by number, such as 0,3; all if unset")
    parser.add_argument("--peak", action="store_true", help="only the memory of one long row")
    parser.add_argument("--whole", action="store_true", help="TRL's best and ours, all steps")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        spec = json.loads(chosen.worker)
        sides = {"ours": _ours, "trl": _trl, "peak": _peak}
        _import_all(spec["side"])
        Path(spec["ready"]).touch()
        if sys.stdin.readline():  # it is this line's turn
            click.echo("\n" + json.dumps(sides[spec["side"]](spec)))
        return
    with tempfile.TemporaryDirectory() as folder:
        _compare(chosen, Path(folder))


def _compare(chosen: argparse.Namespace, folder: Path) -> None:
    spec = _prepare(chosen, folder)
    on_gpu = spec["device"] != "cpu"
    if chosen.peak:
        (line,) = _run_all([{**spec, "side": "peak", "name": "one row of 512 tokens"}])
        click.echo(line.get("failed") or json.dumps(line["peaks"]))
        return
    sides: list[dict[str, Any]] = []
    if chosen.only != "trl":
        sides.append({"side": "ours", "name": "ours"})
    if chosen.only != "ours":
        grid: Any = GPU_GRID if on_gpu else CPU_GRID
        for settings in [grid[int(i)] for i in chosen.grid.split(",")] if chosen.grid else grid:
            name = "trl " + " ".join(f"{key}={value}" for key, value in settings.items())
            sides.append({"side": "trl", "name": name, **settings})
    rounds = [_run_all([{**spec, **side} for side in sides]) for _ in range(chosen.rounds)]
    lines = [_middle(same) for same in zip(*rounds, strict=True)]
    click.echo(
        f"\n{spec['device']}, {platform.machine()}, {os.cpu_count()} cores; {spec['versions']}"
    )
    click.echo(
        f"{spec['label']}, {chosen.steps} steps of {PER_STEP} Examples, limit {chosen.limit}, "
        f"the middle one of {chosen.rounds}"
    )
    _table(lines)
    done = [line for line in lines if "rate" in line]
    theirs = [line for line in done if line["side"] == "trl"]
    if chosen.only or not theirs or done[0]["side"] != "ours":
        return
    best = max(theirs, key=lambda line: line["rate"])
    click.echo(
        f"\nours {done[0]['rate'] / best['rate']:.2f} times the best of TRL ({best['name']})"
    )
    if chosen.whole:
        every = _prepare(argparse.Namespace(**{**vars(chosen), "steps": None}), folder)
        settings = {key: best[key] for key in SETTINGS if key in best}
        both = (
            {"side": "ours", "name": "ours"},
            {"side": "trl", "name": best["name"], **settings},
        )
        whole = _run_all([{**every, **side} for side in both])
        click.echo(f"\nall {every['steps']} steps:")
        _table(whole)
        if all("seconds" in line for line in whole):
            times = whole[1]["seconds"] / whole[0]["seconds"]
            click.echo(f"\nthe whole training {times:.2f} times faster")


def _prepare(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write the model and the rows of each step; returns what every worker is told."""
    import torch
    import transformers

    from fmtharness.harness.config import ALL, load_config
    from fmtharness.harness.engine.encoding import encode_example, stop_token
    from fmtharness.harness.engine.gguf import resolve
    from fmtharness.trainers.batch.order import Order

    config = load_config(chosen.config)
    model = resolve(chosen.model or config.model.name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    if chosen.shape:
        model = str(folder / chosen.shape)
        if not Path(model).is_dir():
            shape = transformers.AutoConfig.for_model(**SHAPES[chosen.shape])
            torch.manual_seed(0)
            causal: Any = transformers.AutoModelForCausalLM
            with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
                made = causal.from_config(shape, dtype=torch.bfloat16)
            made.save_pretrained(model)
            del made
            torch.cuda.empty_cache()  # the lines run beside this process
            tokenizer.save_pretrained(model)
    from random import Random

    count = config.data.n_train or ALL
    examples = list(config.generator.generate("train", count, Random(config.seed)))
    stop_id = stop_token(tokenizer)
    longest = config.trainer.max_seq_length  # type: ignore[attr-defined]
    rows = [encode_example(tokenizer, example, stop_id) for example in examples]
    kept = [pair for pair in zip(examples, rows, strict=True) if len(pair[1].ids) <= longest]
    epochs = config.trainer.num_train_epochs  # type: ignore[attr-defined]
    steps = chosen.steps or math.ceil(epochs * math.ceil(len(kept) / PER_STEP))
    order = Order([row for _, row in kept], PER_STEP, config.seed)
    batches = [order.batch(step) for step in range(1, steps + 1)]
    (folder / "batches.json").write_text(json.dumps(batches))
    return {
        "folder": str(folder),
        "model": model,
        "config": str(chosen.config),
        "set": chosen.set,
        "steps": steps,
        "epochs": steps / order.steps_per_epoch,
        "limit": chosen.limit,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "label": chosen.shape or Path(model).name,
        "versions": f"torch {torch.__version__}, transformers {transformers.__version__}",
    }


def _run_all(specs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each line in a process of its own, one after the other; all import beforehand, at once."""
    places = [Path(spec["folder"]) / f"line-{index}" for index, spec in enumerate(specs)]
    processes = [_start(spec, said) for spec, said in zip(specs, places, strict=True)]
    try:
        for process, said in zip(processes, places, strict=True):
            while process.poll() is None and not said.with_suffix(".ready").exists():
                time.sleep(0.1)
        return [_result(*each) for each in zip(specs, processes, places, strict=True)]
    finally:
        for process in processes:
            process.kill()
        for said in places:
            said.with_suffix(".ready").unlink(missing_ok=True)


def _start(spec: dict[str, Any], said: Path) -> subprocess.Popen[str]:
    """A process that waits for its turn; what it says goes into files of this name."""
    spec = {**spec, "ready": str(said.with_suffix(".ready"))}
    with said.with_suffix(".out").open("w") as out, said.with_suffix(".err").open("w") as err:
        return subprocess.Popen(
            [sys.executable, __file__, "--worker", json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])},
        )


def _result(spec: dict[str, Any], process: subprocess.Popen[str], said: Path) -> dict[str, Any]:
    """What a line returns once it has had its turn; a failure keeps its last words."""
    click.echo(f"... {spec['name']}", err=True)
    process.communicate("go\n")
    if process.returncode:
        errors = said.with_suffix(".err").read_text().strip()
        last = (errors.splitlines() or ["nothing"])[-1]
        return {**spec, "failed": "out of memory" if "OutOfMemory" in errors else last[:200]}
    result: dict[str, Any] = json.loads(
        said.with_suffix(".out").read_text().strip().splitlines()[-1]
    )
    if "rate" in result:
        figures = f"... {result['rate']:,.0f} tokens/s, {result['seconds']:.1f} s in all"
        click.echo(figures, err=True)
    return {**spec, **result}


def _import_all(side: str) -> None:
    """What takes seconds and is no part of a training."""
    names = ["accelerate", "peft", "transformers", "fmtharness.harness.run.training"]
    if importlib.util.find_spec("bitsandbytes"):  # LoRA on unquantized weights needs none
        names.append("bitsandbytes")
    for name in [*names, "datasets", "trl.trainer.sft_trainer"] if side == "trl" else names:
        importlib.import_module(name)


def _middle(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The run of one line that has the median rate, with the rates of all."""
    done = sorted((line for line in lines if "rate" in line), key=lambda line: line["rate"])
    if not done:
        return lines[0]
    return {**done[len(done) // 2], "rates": [line["rate"] for line in done]}


def _peak(spec: dict[str, Any]) -> dict[str, Any]:
    """Three steps on one row of 512 tokens, all but the first of them labels."""
    import torch

    from fmtharness.harness.contracts import ModelOptions
    from fmtharness.harness.engine.encoding import Encoded
    from fmtharness.harness.engine.models import load_model, memory_peaks
    from fmtharness.harness.engine.patching import Patches
    from fmtharness.trainers.lora import QLora
    from fmtharness.trainers.step.adapter import AdapterWeights, adapted
    from fmtharness.trainers.step.forward import replace_layers
    from fmtharness.trainers.step.passes import Passes
    from fmtharness.trainers.step.update import Update

    options = QLora(gradient_checkpointing="always")
    model = ModelOptions(name=spec["model"], quantization="nf4", dequantize="never")
    patches = Patches()
    made = replace_layers(adapted(load_model(model, patches).model, options, patches), patches)
    weights = AdapterWeights(made)
    update = Update(weights, options, None)
    passes = Passes(made, weights, options, None)
    batch = [Encoded(list(range(512)), 1)]
    passes.plan([batch])
    torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        passes.gradient(batch, 511)
        update(1e-4)
    torch.cuda.synchronize()
    return {"peaks": {key: value / 2**20 for key, value in memory_peaks().items()}}


def _ours(spec: dict[str, Any]) -> dict[str, Any]:
    from random import Random

    from fmtharness.harness.backends.transformers import complete_with
    from fmtharness.harness.config import ALL, load_config
    from fmtharness.harness.engine.models import memory_peaks
    from fmtharness.harness.run.training import Training

    if "without" in spec:
        import ablation

        ablation.switch_off(spec["without"])

    limit = spec["limit"] or "1000GiB"  # else the config's own would apply
    config = load_config(
        Path(spec["config"]),
        overrides=[
            f'model.name="{spec["model"]}"',
            f'model.memory_limit="{limit}"',
            "train.trainer=qlora",
            f"train.num_train_epochs={spec['epochs']}",
            "train.warmup_ratio=0.03",
            "train.logging_steps=1",
            "train.eval_steps=1000000",
            "train.save_steps=1000000",
            "train.n_format_eval_prompts=1",
            "train.format_eval_max_new_tokens=1",
            *spec["set"],
        ],
    )
    count = config.data.n_train or ALL
    examples = list(config.generator.generate("train", count, Random(config.seed)))
    dev = list(config.generator.generate("dev", 1, Random(config.seed)))
    times: list[tuple[float, float]] = []

    class Watched(Training):
        def log(self, step: int, values: dict[str, float]) -> None:
            if "train/loss" in values:
                times.append((time.perf_counter(), values["train/loss"]))

    with tempfile.TemporaryDirectory() as folder:
        run = Watched(
            Path(folder),
            seed=config.seed,
            model=config.model,
            tb_logdir=Path(folder),
            evaluators=config.evaluators,
            dev_examples=dev,
            inputs="",
            backend="transformers",
            fed={},
            complete=complete_with,
        )
        began = time.perf_counter()
        config.trainer.train(examples, run)
        seconds = time.perf_counter() - began
    batches = json.loads((Path(spec["folder"]) / "batches.json").read_text())
    tokens = [sum(len(ids) for ids, _ in batch) for batch in batches]
    return _figures(tokens, times, seconds, memory_peaks())


def _trl(spec: dict[str, Any]) -> dict[str, Any]:
    import torch
    import transformers
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from peft import LoraConfig, get_peft_model
    from trl import SFTConfig, SFTTrainer

    from fmtharness.harness.engine.models import memory_peaks
    from fmtharness.harness.engine.torch_private import cpu_has_bf16
    from fmtharness.harness.text import bytes_of

    on_gpu = torch.cuda.is_available()
    if spec["limit"] and on_gpu:
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(bytes_of(spec["limit"]) / whole)
    batches = json.loads((Path(spec["folder"]) / "batches.json").read_text())[: spec["steps"]]
    rows = [row for batch in batches for row in batch]
    columns = {
        "input_ids": [ids for ids, _ in rows],
        "labels": [[-100] * start + ids[start:] for ids, start in rows],
    }
    # Without a name of its own the data is pickled for one, which fails with pyarrow 26.
    data = Dataset(InMemoryTable.from_pydict(columns), fingerprint="rows")
    times: list[tuple[float, float]] = []

    class Ordered(SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *arguments: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def log(self, logs: dict[str, float], *arguments: Any, **kwargs: Any) -> None:
            if "loss" in logs:
                times.append((time.perf_counter(), logs["loss"]))

    nf4: Any = transformers.BitsAndBytesConfig
    began = time.perf_counter()
    torch.manual_seed(0)
    dtype = torch.bfloat16 if on_gpu or cpu_has_bf16() else torch.float32  # the faster, as ours
    model = transformers.AutoModelForCausalLM.from_pretrained(
        spec["model"],
        dtype=dtype,
        quantization_config=nf4(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        ),
        **({"device_map": {"": 0}} if on_gpu else {}),
    )
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    padding_free, packing = spec.get("padding_free", False), spec.get("packing", False)
    mean = sum(len(ids) for ids, _ in rows) // len(batches)
    arguments = SFTConfig(
        output_dir=spec["folder"],
        per_device_train_batch_size=spec["micro"],
        gradient_accumulation_steps=1 if packing else PER_STEP // spec["micro"],
        max_steps=spec["steps"],
        learning_rate=RATE,
        lr_scheduler_type="linear",
        warmup_steps=math.ceil(0.03 * spec["steps"]),
        bf16=dtype == torch.bfloat16,
        use_cpu=not on_gpu,
        gradient_checkpointing=spec.get("checkpointing", False),
        gradient_checkpointing_kwargs={"use_reentrant": False},
        use_liger_kernel=spec.get("liger", False),
        padding_free=padding_free,
        packing=packing,
        max_length=None if padding_free else mean if packing else 512,
        optim="adamw_torch_fused",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        # The rows are token ids and labels already.
        dataset_kwargs=None if packing else {"skip_prepare_dataset": True},
        disable_tqdm=True,
    )
    torch.manual_seed(0)
    trainer = Ordered(
        model=get_peft_model(model, lora),
        args=arguments,
        train_dataset=data,
        processing_class=transformers.AutoTokenizer.from_pretrained(spec["model"]),
    )
    sizes = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    per_step = spec["micro"] * arguments.gradient_accumulation_steps
    tokens = [sum(sizes[at : at + per_step]) for at in range(0, len(sizes), per_step)]
    trainer.train()
    return _figures(tokens, times, time.perf_counter() - began, memory_peaks())


def _figures(
    tokens: list[int], times: list[tuple[float, float]], seconds: float, peaks: dict[str, int]
) -> dict[str, Any]:
    """Tokens a second over the second half of the steps, so that no warm-up is in it."""
    half, steps = len(times) // 2, len(times)
    spent = times[-1][0] - times[half - 1][0]
    return {
        "rate": sum(tokens[half:steps]) / spent,
        "seconds": seconds,
        "losses": [loss for _, loss in times],
        **peaks,
    }


def _table(lines: list[dict[str, Any]]) -> None:
    from tabulate import tabulate

    reference: list[float] = next((line["losses"] for line in lines if "losses" in line), [])
    shown = []
    for line in lines:
        if "failed" in line:
            shown.append([line["name"], line["failed"]])
            continue
        pairs = zip(line["losses"], reference, strict=False)
        apart = max(abs(own - other) / other for own, other in pairs)
        memory = [line.get(key, 0) / 2**20 for key in ("cuda_allocated", "cuda_reserved")]
        if not any(memory):
            memory = [line["resident"] / 2**20, math.nan]
        rates = line.get("rates", [line["rate"]])
        spread = f" ({rates[0]:,.0f} .. {rates[-1]:,.0f})" if len(rates) > 1 else ""
        row = [
            f"{line['rate']:,.0f}{spread}",
            f"{line['seconds']:.1f}",
            *(f"{m:,.0f}" for m in memory),
        ]
        shown.append(
            [
                line["name"],
                *row,
                f"{line['losses'][0]:.3f} .. {line['losses'][-1]:.3f}",
                f"{apart:.1%}",
            ]
        )
    heads = ["", "tokens/s", "seconds", "peak MiB", "reserved", "loss", "apart"]
    click.echo(tabulate(shown, heads, disable_numparse=True))


if __name__ == "__main__":
    main()
