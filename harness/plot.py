"""A PNG of a run's scalars, read from its TensorBoard logs.

    draw(Path("outputs/quick/tb"), Path("outputs/quick/curves.png"))  ->  ["eval/...", "train/loss"]

A rate `eval/x` is drawn with its interval `eval_low/x` to `eval_high/x`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from harness.errors import DataError
from harness.progress import say
from harness.records import atomic_file

Series = Mapping[str, list[tuple[int, float]]]


def read_scalars(logdir: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar of the event files below `logdir`, as (step, value) in order of step.

    TensorBoard's own reader ends silently at a damaged record; here that is said. Raises DataError
    where there is no scalar at all.
    """
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util import tensor_util

    series: dict[str, dict[int, float]] = {}
    for path in sorted(logdir.rglob("*tfevents*")):
        if not _is_whole(path):
            say(f"plot: {path} is damaged; what comes after the damage is missing")
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                number = float(tensor_util.make_ndarray(value.tensor).item())
                series.setdefault(value.tag, {})[event.step] = number
    if not series:
        raise DataError(f"{logdir}: no TensorBoard scalars there; name a run's tb folder")
    return {tag: sorted(points.items()) for tag, points in sorted(series.items())}


def _is_whole(path: Path) -> bool:
    """Whether the file's records reach its end: length, its checksum, data, its checksum."""
    data = path.read_bytes()
    place = 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 8], "little")
        place += 8 + 4 + length + 4
    return place == len(data)


def draw(logdir: Path, png: Path) -> list[str]:
    """Draw one panel per scalar and return their names."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    series = read_scalars(logdir)
    names = [name for name in series if not name.startswith(("eval_low/", "eval_high/"))]
    columns = min(3, len(names))
    height = math.ceil(len(names) / columns)
    figure, axes = pyplot.subplots(
        height, columns, figsize=(5 * columns, 3 * height), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes.flat, names, strict=False):
        _panel(axis, name, series)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    with atomic_file(png) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    pyplot.close(figure)
    return names


def _panel(axis: object, name: str, series: Series) -> None:
    steps, values = zip(*series[name], strict=True)
    axis.plot(steps, values, marker="o", markersize=3, linewidth=1.5)  # type: ignore[attr-defined]
    group, _, metric = name.partition("/")
    low, high = (series.get(f"{group}_{side}/{metric}") for side in ("low", "high"))
    if low and high:
        bounds = [[value for _, value in side] for side in (low, high)]
        axis.fill_between(steps, *bounds, alpha=0.2)  # type: ignore[attr-defined]
        axis.set_ylim(-0.03, 1.03)  # type: ignore[attr-defined]
    axis.set_title(name, fontsize=10)  # type: ignore[attr-defined]
    axis.set_xlabel("step", fontsize=8)  # type: ignore[attr-defined]
    axis.grid(alpha=0.3)  # type: ignore[attr-defined]
