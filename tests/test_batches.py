"""Which rows a step sees, how they are cut into passes, and which sizes the passes have."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from fmtharness.harness.engine.encoding import Encoded
from fmtharness.trainers.batch.order import Order, micro_batches, split_by_process
from fmtharness.trainers.batch.packed import LONGEST, Shape, buckets, shape_of
from fmtharness.trainers.batch.tree import pack_tree


def numbered(n: int) -> list[Encoded]:
    return [Encoded([i, 1, 2], 1) for i in range(n)]


def firsts(batches: Sequence[Sequence[Encoded]]) -> list[list[int]]:
    return [[row.ids[0] for row in batch] for batch in batches]


def taken(n: int, size: int, seed: int, count: int) -> list[list[int]]:
    order = Order(numbered(n), size, seed)
    return firsts([order.batch(step) for step in range(1, count + 1)])


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    epochs = taken(10, 4, 7, 9)
    assert epochs == taken(10, 4, 7, 9)
    assert epochs != taken(10, 4, 8, 9)
    one, two, three = (list(itertools.chain(*epochs[i : i + 3])) for i in (0, 3, 6))
    assert sorted(one) == sorted(two) == sorted(three) == list(range(10))
    assert one != two != three != one
    assert [len(batch) for batch in epochs] == [4, 4, 2] * 3


def test_the_order_is_the_same_on_every_machine_and_from_every_step() -> None:
    assert taken(6, 3, 0, 2) == [[0, 5, 1], [4, 3, 2]]
    order = Order(numbered(10), 4, 7)
    assert firsts([order.batch(step) for step in (8, 2, 8)]) == [
        taken(10, 4, 7, 8)[step - 1] for step in (8, 2, 8)
    ]


ROWS = st.lists(st.integers(1, 50), min_size=1, max_size=40).map(
    lambda lengths: [Encoded([i] * length, 0) for i, length in enumerate(lengths)]
)


@given(ROWS, st.integers(50, 300))
def test_micro_batches_cut_and_keep_all(rows: list[Encoded], budget: int) -> None:
    parts = micro_batches(rows, budget)
    assert sorted(itertools.chain(*parts)) == sorted(rows)
    sizes = [sum(len(row.ids) for row in part) for part in parts]
    assert max(sizes) <= budget
    longest = max(len(row.ids) for row in rows)
    fewest = -(-sum(sizes) // budget)
    assert fewest <= len(parts) <= -(-sum(sizes) // max(1, budget - longest))


@given(ROWS, st.integers(50, 300))
def test_passes_come_in_pairs_where_rows_allow_it(rows: list[Encoded], budget: int) -> None:
    parts = micro_batches(rows, budget, multiple_of=2)
    assert sorted(itertools.chain(*parts)) == sorted(rows)
    assert max(sum(len(row.ids) for row in part) for part in parts) <= budget
    assert all(parts)
    even = [Encoded([row] * 20, 0) for row in range(12)]
    for size in (240, 239, 80, 79, 40):
        assert len(micro_batches(even, size, multiple_of=2)) % 2 == 0


@given(ROWS, st.integers(1, 5))
def test_processes_share_all_rows_out_evenly(rows: list[Encoded], count: int) -> None:
    parts = split_by_process(rows, count)
    assert sorted(itertools.chain(*parts)) == sorted(rows)
    sizes = [sum(len(row.ids) for row in part) for part in parts]
    assert max(sizes) - min(sizes) <= max(len(row.ids) for row in rows)
    assert split_by_process(rows, 1) == [sorted(rows, key=lambda row: -len(row.ids))]


def test_no_process_has_all_the_longer_rows() -> None:
    rows = [Encoded([i] * length, 1) for i, length in enumerate((100, 60, 50, 40))]
    sizes = [[len(row.ids) for row in part] for part in split_by_process(rows, 2)]
    assert sizes == [[100, 40], [60, 50]]


def test_rows_of_one_length_come_together() -> None:
    rows = [Encoded([0] * length, 0) for length in (10, 30, 10, 30, 10, 30, 10, 30)]
    lengths = [[len(row.ids) for row in part] for part in micro_batches(rows, 90)]
    assert lengths == [[30, 30, 30], [30, 10, 10, 10, 10]]


def test_passes_by_text_are_alike_in_what_is_computed() -> None:
    begin_alike = [Encoded([*range(100), 200 + i, *[i] * 9], 100) for i in range(4)]
    others = [Encoded([300 + i] * 60, 30) for i in range(4)]
    parts = micro_batches([*others, *begin_alike], 1000, by_text=True, multiple_of=2)
    assert sorted(itertools.chain(*parts)) == sorted([*others, *begin_alike])
    assert sorted(pack_tree(part).ids.shape[1] for part in parts) == [180, 200]


@given(ROWS, st.integers(100, 300))
def test_passes_by_text_keep_all_rows_and_the_budget(rows: list[Encoded], budget: int) -> None:
    parts = micro_batches(rows, budget, by_text=True, multiple_of=2)
    assert sorted(itertools.chain(*parts)) == sorted(rows)
    assert max(sum(len(row.ids) for row in part) for part in parts) <= budget


def test_a_row_over_the_budget_goes_alone() -> None:
    rows = [Encoded([1] * 9, 1), Encoded([1] * 9, 1), Encoded([1], 0)]
    assert micro_batches(rows, 4) == [[row] for row in rows]
    assert micro_batches([], 4) == []


SHAPES = st.lists(
    st.builds(Shape, st.integers(1, 3000), st.integers(1, 40), st.integers(1, 500), st.just(7)),
    max_size=60,
)


@given(SHAPES)
def test_a_bucket_has_room_and_is_hardly_longer(shapes: list[Shape]) -> None:
    found = buckets(shapes)
    assert found.keys() == set(shapes)
    for shape, bucket in found.items():
        assert all(room >= need for room, need in zip(bucket, shape, strict=True))
        assert bucket.tokens <= LONGEST * shape.tokens
    assert len(set(found.values())) <= 165, "log(3000) / log(1.05) at most"


def test_a_shape_leaves_one_token_and_one_place_empty() -> None:
    assert shape_of([Encoded([5, 6, 7], 1), Encoded([5, 6], 1)]) == Shape(6, 2, 4, 3)
