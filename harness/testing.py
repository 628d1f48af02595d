"""One call tests a Format: what every Format must keep to, found out with hypothesis.

    def test_the_format_keeps_its_promises():
        check_format(Ini())

    -> AssertionError: ini: 'a = 1 ' is rendered from {'a': '1 '}, yet read as {'a': '1'}

It needs hypothesis (`pip install "fmtharness[test]"`). What an instruction says is not looked at
beyond that it is one, and whether the strict parser agrees with other parsers is not known here.
"""

from __future__ import annotations

from typing import get_args

from harness.contracts import Format, Shape
from harness.format_checks import PROMISES
from harness.sample_values import mutated, plain_values, values

__all__ = ["check_format", "mutated", "plain_values", "values"]


def check_format(tested: Format, *, examples: int = 60) -> None:
    """Raise AssertionError where the Format breaks a promise, with the text that shows it.

    - What it renders it parses back; what it cannot hold it refuses with a ValueError, and plain
      words in the shapes it claims it holds.
    - Each corruption gives a text that is rejected with the corruption's own label, and each can be
      had of some value.
    - Text around a rendered value is rejected. Where any line may be data, as in YAML, a line that
      reads as data may pass, and then changes the value: nothing is ever passed over.
    - No text makes it raise; problems have spans inside the text and labels that are explained.
    - It is linear: 16 times a hostile text takes nothing like the 256 times of quadratic work.
      What is compared is the processor's time, the least of several.

    `examples` is how many values and texts each promise is tried with.
    """
    assert tested.shapes, f"{tested.name}: it claims no shape"
    unknown = sorted(set(tested.shapes) - set(get_args(Shape)))
    assert not unknown, f"{tested.name}: there is no shape {', '.join(unknown)}"
    for promise in PROMISES:
        promise(tested, examples)
