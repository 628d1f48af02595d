"""Other people's models: the same texts, losses and gradients as by transformers and peft.

A few of the 41 architectures that `make models` tries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models import GRADIENT, LOSS, PROMPTS, compared_steps, resumes, same_texts
from tests.zoo import write

FEW = ("llama", "gemma", "gemma2", "gpt-oss", "granite", "bloom", "rwkv", "mixtral")
"""One of each way that fmtharness finds for a model."""


@pytest.fixture(scope="module", params=FEW)
def folder(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(request.param, tmp_path_factory.mktemp("models") / request.param)


def test_texts_are_those_of_generate(folder: Path) -> None:
    assert same_texts(folder) == len(PROMPTS)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_losses_and_gradients_are_those_of_peft(folder: Path, precision: str) -> None:
    steps = compared_steps(folder, precision)
    assert steps.loss <= LOSS[precision]
    assert steps.gradient <= GRADIENT[precision]


def test_a_training_resumes(folder: Path, tmp_path: Path) -> None:
    assert resumes(folder, tmp_path)
