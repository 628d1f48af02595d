"""The format keeps what every format promises, and names what is wrong."""

import pytest
from fmtharness_sample import SampleFormat

from fmtharness.harness.testing import check_format


def test_it_keeps_the_promises_of_a_format() -> None:
    check_format(SampleFormat())


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("city=Oslo\nnights=4", []),
        ("city=Oslo\n", []),
        ("city: Oslo\nnights=4", ["no_pair"]),
        ("city=Oslo\ncity=Riga", ["duplicate_key"]),
        ("Sure! Here it is:\ncity=Oslo", ["text_before"]),
    ],
)
def test_labels(text: str, labels: list[str]) -> None:
    assert [problem.label for problem in SampleFormat().parse(text).problems] == labels
