"""How long `fmtharness data` takes for a million rows, and how much memory.

    python benchmarks/data.py [--rows 1000000] [--dev 10000]

    1,000,000 rows, 361 MB, 2 processes: 49.3 s (...), 323 MB at most in all processes together

The rows are TRL's prompt/completion, of about 200 and 100 characters, with JSON as the target; the
command runs in a process of its own. Memory is the sum of the resident sizes of that process and
those that it starts, sampled 20 times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from random import Random

FIRST = ("Ada", "Ben", "Carla", "Dag", "Elif", "Finn", "Grace", "Hugo", "Iris", "Jan", "Kofi")
LAST = ("Berg", "Costa", "Dahl", "Egger", "Fischer", "Garcia", "Haas", "Ito", "Jansen", "Kaya")
CITIES = ("Oslo", "Riga", "Bern", "Lima", "Cairo", "Quito", "Tunis", "Seoul", "Dakar", "Malmö")


def row(dice: Random, number: int, who: str) -> str:
    """One row as a line."""
    name = f"{dice.choice(FIRST)} {dice.choice(LAST)}"
    city, nights, price = dice.choice(CITIES), dice.randint(1, 28), dice.randint(4000, 90000) / 100
    code = f"{who}-{number:07}"
    prompt = (
        f"Booking {code} came in by mail: the guest {name} stays {nights} nights in {city}, at "
        f"{price} euros in all, and arrives late. Answer with one JSON object and nothing else, "
        f"with the keys code, guest, city, nights and price."
    )
    value = {"code": code, "guest": name, "city": city, "nights": nights, "price": price}
    completion = json.dumps(value, ensure_ascii=False)
    return json.dumps({"prompt": prompt, "completion": completion}, ensure_ascii=False)


def write(path: Path, count: int, who: str) -> None:
    dice = Random(who)
    with path.open("w", encoding="utf-8") as out:
        for number in range(count):
            out.write(row(dice, number, who) + "\n")


def resident(pid: int) -> int:
    """Bytes of a process and of all that it started (Linux)."""
    total, waiting = 0, [pid]
    while waiting:
        each = waiting.pop()
        try:
            pages = int(Path(f"/proc/{each}/statm").read_text().split()[1])
            total += pages * os.sysconf("SC_PAGE_SIZE")
            for task in Path(f"/proc/{each}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except (OSError, ValueError, IndexError):
            continue
    return total


def measured(command: list[str]) -> tuple[float, float, int, int]:
    """Wall-clock seconds, CPU seconds, the peak of memory in bytes, and the exit code."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr)
    peak, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.05):
            peak = max(peak, resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    ended.set()
    watcher.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, peak, code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dev", type=int, default=0, help="rows of a dev file beside them")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows, dev = Path(folder, "rows.jsonl"), Path(folder, "dev.jsonl")
        write(rows, options.rows, "TR")
        command = [sys.executable, "-m", "fmtharness", "data", str(rows)]
        command += ["--processes", str(options.processes)]
        if options.dev:
            write(dev, options.dev, "DE")
            command += ["--dev", str(dev)]
        seconds, busy, peak, code = measured(command)
        size = rows.stat().st_size
    print(  # noqa: T201
        f"{options.rows:,} rows, {size / 1e6:.0f} MB, {options.processes} processes: {seconds:.1f} "
        f"s ({busy:.1f} s of all cores), {peak / 1e6:.0f} MB at most in all processes together"
    )
    if code:
        sys.exit(f"the command exited with {code}")


if __name__ == "__main__":
    main()
