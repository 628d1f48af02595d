"""Which split owns a text, and that every split owns enough of each kind."""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random

from fmtharness.generators import pools
from fmtharness.generators.families import classify, listing, table, tool_call
from fmtharness.generators.ownership import SPLITS, by_split, owner
from fmtharness.generators.schemas import DOMAINS
from fmtharness.generators.tasks import Tasks
from fmtharness.harness.contracts import Split


def test_every_text_has_one_owner() -> None:
    counts = Counter(owner(str(number)) for number in range(6000))
    assert 2850 < counts["train"] < 3150
    assert 900 < counts["dev"] < 1100
    assert owner("Lisbon") == owner("LISBON")
    words = ["Ada", "Emil", "Hana", "Lars", "Mila", "Noor", "Olga", "Petra"]
    divided = by_split([*words, "Ada"])
    assert sorted(itertools.chain.from_iterable(divided.values())) == sorted(words)
    # Were one of these to move, train.jsonl would not be what the same config gave before.
    owners = {word: owner(word) for word in ("Ada", "Aisha", "Alba", "2031", "order id")}
    assert [*owners.values()] == ["train", "dev", "eval", "train", "eval"]


def test_each_split_owns_enough_that_no_draw_goes_on_for_ever() -> None:
    for name, pool in vars(pools).items():
        if name.isupper():
            assert min(map(len, pool.values())) >= 12, name  # a list has up to six different ones
    assert min(map(len, classify.LABELS.values())) >= 6  # a classification has up to three
    assert min(map(len, tool_call.VERBS.values())) >= 8  # a tool call has up to three
    assert min(map(len, listing.NAMES.values())) >= 13
    assert min(map(len, table.NAMES.values())) >= 4
    pairs = itertools.product(classify.LABEL_KEYS, classify.SENDER_KEYS)
    assert min(Counter(owner(",".join(sorted(pair))) for pair in pairs).values()) >= 20
    for size in (2, 3, 4, 5):
        found = Counter[tuple[Split, str]]()
        for domain, fields in DOMAINS.items():
            for labels in itertools.combinations(fields, size):
                found[owner(",".join(sorted(labels))), domain] += 1
        assert len(found) == len(SPLITS) * len(DOMAINS)
        for split in SPLITS:
            assert sum(found[split, domain] for domain in DOMAINS) > 75
    for split in SPLITS:  # an edit needs a schema and a smaller one, prose values of all kinds
        for name in ("edit", "prose"):
            rows = Tasks(families={name: 1.0}).generate(split, 200, Random(7))
            assert len(list(rows)) == 200
