"""Tests in one call, with hypothesis, that a Format keeps the promises of every Format.

    def test_the_format_keeps_its_promises():
        check_format(Ini())

    -> AssertionError: ini: 'a = 1 ' is rendered from {'a': '1 '}, yet read as {'a': '1'}

It needs hypothesis (`pip install "fmtharness[test]"`). The wording of an instruction is not
checked, nor whether the strict parser agrees with other parsers.
"""

from __future__ import annotations

from typing import get_args

from fmtharness.harness.contracts import Format, Shape
from fmtharness.harness.testing.promises import PROMISES
from fmtharness.harness.testing.sample_values import mutated, plain_values, values

__all__ = ["check_format", "mutated", "plain_values", "values"]


def check_format(tested: Format, *, examples: int = 60) -> None:
    """Raise AssertionError if the Format breaks a promise, with the text that shows it.

    - Every rendered value parses back to itself. A value that the Format cannot hold is refused
      with a ValueError, but plain words in the shapes it claims are not.
    - Each corruption gives a text that is rejected with the corruption's own label, and each
      applies to some value.
    - Text around a rendered value is rejected. If any line may be data, as in YAML, a line that
      reads as data may pass, and then changes the value: no text is ever ignored.
    - No text makes it raise; problems have spans inside the text and labels that are explained.
    - It is linear: 16 times a hostile text takes far less than the 256 times of quadratic work.
      Processor times are compared, each the least of several.

    `examples` is how many values and texts each promise is tested with.
    """
    assert tested.shapes, f"{tested.name}: it claims no shape"
    unknown = sorted(set(tested.shapes) - set(get_args(Shape)))
    assert not unknown, f"{tested.name}: there is no shape {', '.join(unknown)}"
    for promise in PROMISES:
        promise(tested, examples)
