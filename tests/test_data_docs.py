"""The Examples in docs/data.md are real: rows of data/examples/, as the generator makes them today.

Run this file to write them anew.
"""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

from fmtharness.generators.families import FAMILIES
from fmtharness.generators.tasks import Tasks
from fmtharness.harness.records import Example

PAGE = Path(__file__).parent.parent / "docs" / "data.md"
SEED = 748
OPTIONS = Tasks(
    hard_negative_prob_train=0.5,
    hard_negative_prob_eval=0.5,
    fix_bad_output_prob_train=0.2,
    fix_bad_output_prob_eval=0.1,
    train_strictness="mixed",
    eval_strictness="mixed",
)
"""What configs/examples.toml holds: 32 train, 32 dev and 48 eval rows."""


def rows() -> list[Example]:
    train = OPTIONS.generate("train", 32, Random(SEED))
    return [*train, *OPTIONS.generate("eval", 48, Random(SEED))]


def transcript(example: Example) -> str:
    """An Example as people read it."""
    turns = [f"{turn.role}: {turn.content}" for turn in example.prompt]
    return "\n".join([f"# {example.id}", *turns, f"-> {example.completion}"])


def chosen(name: str) -> Example:
    """The shortest row of a family without anything else, or the shortest with the tag."""
    if name in FAMILIES:
        plain = [row for row in rows() if row.tags["family"] == name]
        found = [
            row for row in plain if not row.tags["hard_negatives"] + row.tags["bad_outputs"]
        ] or plain
    else:
        found = [row for row in rows() if row.tags[name]]
    return min(found, key=lambda row: len(transcript(row)))


def written(page: str) -> str:
    """The page with its example blocks filled in."""
    return re.sub(
        r"^````example (\w+)\n.*?^````$",
        lambda block: f"````example {block[1]}\n{transcript(chosen(block[1]))}\n````",
        page,
        flags=re.MULTILINE | re.DOTALL,
    )


def test_rows_are_real() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "run python tests/test_data_docs.py"
    assert page.count("````example ") == len(FAMILIES) + 2


def test_page_names_everything() -> None:
    from fmtharness.generators.temptations import TEMPTATIONS

    page = PAGE.read_text(encoding="utf-8")
    for name in (*FAMILIES, *TEMPTATIONS, *Tasks.model_fields):
        assert f"`{name}`" in page, name


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
