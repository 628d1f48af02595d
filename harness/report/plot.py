"""A PNG of a run's scalars, read from its TensorBoard logs.

    draw(Path("outputs/quick/tb"), Path("outputs/quick/curves.png"))  ->  ["eval/...", "train/loss"]

A rate `eval/x` is drawn with its interval `eval_low/x` to `eval_high/x`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from fmtharness.harness.errors import DataError
from fmtharness.harness.files import atomic_file
from fmtharness.harness.progress import say

Series = Mapping[str, list[tuple[int, float]]]


def read_scalars(logdir: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar of the event files below `logdir`, as (step, value) in order of step.

    TensorBoard's own reader ends silently at a damaged record; here a message says so. Texts,
    images and histograms are skipped. Raises DataError if there is no scalar at all, or if there
    are the logs of several runs.
    """
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util import tensor_util

    paths = sorted(logdir.rglob("*tfevents*"))
    runs = sorted({str(path.parent) for path in paths})
    if len(runs) > 1:
        raise DataError(f"{logdir} holds the logs of several runs, name one: {', '.join(runs)}")
    series: dict[str, dict[int, float]] = {}
    for path in paths:
        if not _is_whole(path):
            say(f"plot: {path} is damaged; what comes after the damage is missing")
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                array = tensor_util.make_ndarray(value.tensor)
                if array.size == 1 and array.dtype.kind in "fiu":
                    series.setdefault(value.tag, {})[event.step] = float(array.item())
    if not series:
        raise DataError(f"{logdir}: no TensorBoard scalars there; name a run's tb folder")
    return {tag: sorted(points.items()) for tag, points in sorted(series.items())}


def _is_whole(path: Path) -> bool:
    """Whether the records (length, its checksum, data, its checksum) reach the file's end."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    data = path.read_bytes()
    place = 0
    while place < len(data):
        length = data[place : place + 8]
        end = place + 12 + int.from_bytes(length, "little")
        for part, checksum in (
            (length, data[place + 8 : place + 12]),
            (data[place + 12 : end], data[end : end + 4]),
        ):
            if masked_crc32c(part).to_bytes(4, "little") != checksum:
                return False
        place = end + 4
    return True


def draw(logdir: Path, png: Path) -> list[str]:
    """Draw one panel per scalar and return their names."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    series = read_scalars(logdir)
    names = [name for name in series if not _is_bound(name, series)]
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


def _is_bound(name: str, series: Series) -> bool:
    group, _, metric = name.partition("/")
    return group in ("eval_low", "eval_high") and f"eval/{metric}" in series


def _panel(axis: object, name: str, series: Series) -> None:
    steps, values = zip(*series[name], strict=True)
    axis.plot(steps, values, marker="o", markersize=3, linewidth=1.5)  # type: ignore[attr-defined]
    group, _, metric = name.partition("/")
    low, high = (dict(series.get(f"{group}_{side}/{metric}", ())) for side in ("low", "high"))
    # Damaged logs may hold a rate whose bounds are cut off.
    if both := [step for step in steps if step in low and step in high]:
        bounds = [[side[step] for step in both] for side in (low, high)]
        axis.fill_between(both, *bounds, alpha=0.2)  # type: ignore[attr-defined]
        axis.set_ylim(-0.03, 1.03)  # type: ignore[attr-defined]
    axis.set_title(name, fontsize=10)  # type: ignore[attr-defined]
    axis.set_xlabel("step", fontsize=8)  # type: ignore[attr-defined]
    axis.grid(alpha=0.3)  # type: ignore[attr-defined]
