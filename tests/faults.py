"""Faults in every file that a run holds, one at a time, and what each command makes of them.

python -m tests.faults            300 faults, and a table; exit code 1 if one is met badly
python -m tests.faults 50 7       50 faults, of seed 7

A fault is met by the undisturbed result, or by one sentence and exit code 2 (3 where something
cannot be scored, 1 at a gate). Anything else is bad: another result with exit code 0, a traceback.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from click.testing import CliRunner

from fmtharness.harness.cli import main as fmtharness
from tests.tiny import tiny_config

SETTINGS = ("train.num_train_epochs=1", "data.n_train=12", "train.n_format_eval_prompts=1")
RESULTS = (
    *(f"data/{split}.jsonl" for split in ("train", "dev", "eval")),
    *(f"{kind}/{arm}.jsonl" for kind in ("completions", "verdicts") for arm in ("base", "sft")),
    "adapter/adapter_model.safetensors",
)
"""What a run is for: the files that must be those of the undisturbed run."""
GATE = 'run = "run"\n[thresholds.json_strict]\nformat_success_rate = { max = 0.5 }\n'
KILLS = 6
"""One fault in so many is a kill -9 at a random moment instead."""
GOOD = ("as undisturbed", "made again", "one sentence")


class Met(NamedTuple):
    """What a command made of a fault: its kind, and what it printed if that is bad."""

    kind: str
    shown: str = ""


def flip(path: Path, random: Random) -> None:
    """One bit of one byte."""
    held = bytearray(path.read_bytes())
    if held:
        held[random.randrange(len(held))] ^= 1 << random.randrange(8)
    path.write_bytes(held)


def cut(path: Path, random: Random) -> None:
    """The file's beginning only."""
    held = path.read_bytes()
    path.write_bytes(held[: random.randrange(len(held))] if held else held)


def lose_a_line(path: Path, random: Random) -> None:
    """One line is gone, as after an edit by hand."""
    lines = path.read_bytes().splitlines(keepends=True)
    if lines:
        del lines[random.randrange(len(lines))]
    path.write_bytes(b"".join(lines))


def double(path: Path, random: Random) -> None:
    """The file twice, one after the other."""
    path.write_bytes(path.read_bytes() * 2)


def empty(path: Path, random: Random) -> None:
    """No byte is left."""
    path.write_bytes(b"")


def remove(path: Path, random: Random) -> None:
    """The file is gone."""
    path.unlink()


def make_folder(path: Path, random: Random) -> None:
    """A folder of the file's name."""
    path.unlink()
    path.mkdir()


def zeros(path: Path, random: Random) -> None:
    """A file of the same size that was never written to the disk."""
    path.write_bytes(bytes(path.stat().st_size))


FAULTS: tuple[Callable[[Path, Random], None], ...] = (
    *(flip, cut, lose_a_line, double, empty, remove, make_folder, zeros),
)


def command(name: str, folder: Path) -> list[str]:
    """A command's arguments, for the run in folder/run."""
    out = str(folder / "run")
    config = [str(folder / "tiny.toml")]
    changed = [part for setting in SETTINGS for part in ("--set", setting)]
    return {
        "run": ["run", *config, "--out", out, *changed],
        "compare": ["compare", "--out", out],
        "eval": [
            "eval",
            "--adapter",
            f"{out}/adapter",
            "--data",
            f"{folder}/eval.jsonl",
            "--json",
        ],
    }[name]


def called(name: str, folder: Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    if name == "gate":
        gate = folder / "answers.fmt.toml"
        gate.write_text(GATE, encoding="utf-8")
        arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(gate)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=folder)
        return done.returncode, done.stdout, done.stderr
    result = CliRunner().invoke(fmtharness, command(name, folder))
    return result.exit_code, result.stdout, result.stderr


def results(folder: Path) -> dict[str, bytes]:
    """The run's results, by file; of those that are there."""
    run = folder / "run"
    return {name: (run / name).read_bytes() for name in RESULTS if (run / name).is_file()}


def met(name: str, folder: Path, known: dict[str, bytes], usual: dict[str, str]) -> Met:
    """What the command makes of the run as it is now."""
    code, out, err = called(name, folder)
    if "Traceback" in err or code not in (0, 1, 2, 3):
        return Met("TRACEBACK", (out + err)[-3000:])
    if code == 0 and name == "run":
        found = results(folder)
        if found == known:
            again = "runs again" in err or "resuming" in err or "completions:" in err
            return Met("made again" if again else "as undisturbed")
        differing = [key for key in known if found.get(key) != known[key]]
        return Met("ANOTHER RESULT", f"{differing}\n{err[-2000:]}")
    if code == 0:
        same = plain(out, folder) == usual[name]
        return Met("as undisturbed") if same else Met("ANOTHER RESULT", out[-2000:] + err[-1000:])
    if name == "gate":
        return Met("one sentence") if code == 1 else Met("WRONG EXIT CODE", out[-2000:])
    sentences = [line for line in err.splitlines() if line.lower().startswith("error: ")]
    if code in (2, 3) and (len(sentences) == 1 or code == 3):
        return Met("one sentence")
    return Met("WRONG EXIT CODE" if sentences else "NO SENTENCE", f"{code}\n{(out + err)[-2000:]}")


def plain(out: str, folder: Path) -> str:
    """A command's output without the folder's name and times."""
    text = out.replace(str(folder), "FOLDER")
    return "\n".join(line for line in text.splitlines() if " passed in " not in line)


def inject(folder: Path, random: Random) -> str:
    """Make one fault; returns its name."""
    files = sorted(p for p in (folder / "run").rglob("*") if p.is_file() and p.stat().st_size)
    path = random.choice(files)
    fault = random.choice(FAULTS)
    fault(path, random)
    return f"{fault.__name__} {path.relative_to(folder)}"


def killed(folder: Path, random: Random) -> str:
    """Start the run from some stage anew and kill it after a moment; returns what was done."""
    stage = random.choice(["data", "completions", "verdicts", "adapter", "checkpoints"])
    shutil.rmtree(folder / "run" / stage, ignore_errors=True)
    arguments = [sys.executable, "-m", "fmtharness", *command("run", folder)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(random.uniform(1, 12))
    process.send_signal(signal.SIGKILL)
    process.wait()
    return f"kill -9 after {stage}/ was removed"


def main(count: int = 300, seed: int = 0) -> int:
    """Make the faults and print the table; 1 if any was met badly."""
    counts: Counter[tuple[str, str]] = Counter()
    bad = []
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary) / "home"
        home.mkdir()
        tiny_config(home)
        os.chdir(home)
        code, out, err = called("run", home)
        if code:
            sys.stderr.write(out + err)
            return 1
        known = results(home)
        shutil.copy(home / "run/data/eval.jsonl", home)
        others = ("compare", "eval", "gate")
        usual = {name: plain(called(name, home)[1], home) for name in others}
        kept = Path(temporary) / "kept"
        shutil.copytree(home, kept)
        for number in range(count):
            random = Random(f"{seed} {number}")
            shutil.rmtree(home / "run")
            shutil.copytree(kept / "run", home / "run")
            if number % KILLS == KILLS - 1:
                fault, name = killed(home, random), "run"
            else:
                fault, name = inject(home, random), random.choice(["run", "run", *others])
            found = met(name, home, known, usual)
            counts[name, found.kind] += 1
            if found.kind not in GOOD:
                bad.append(f"{number}: {name}, {fault}: {found.kind}\n{found.shown}")
                sys.stderr.write(bad[-1] + "\n")
    for (name, kind), n in sorted(counts.items()):
        sys.stdout.write(f"{name:10} {kind:20} {n:5}\n")
    sys.stdout.write(json.dumps({"faults": count, "bad": len(bad)}) + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
