"""A backend measures its models; answers are encoded as they were generated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from fmtharness.harness.backends.transformers import (
    Likelihood,
    Transformers,
    loading_once,
    measure_with,
)
from fmtharness.harness.contracts import Loaded
from fmtharness.harness.engine import models
from fmtharness.harness.engine.encoding import Encoded, stop_token, text_of, token_ids
from fmtharness.harness.engine.likelihood import encode_answer
from fmtharness.harness.records import Completion, Example, Message
from tests import test_foreign_adapters as foreign
from tests.test_likelihood import PIECES, base, folder, options, patches
from tests.tiny import TEMPLATE, tiny_tokenizer

__all__ = ["base", "folder", "patches"]


def asked(text: str = "Good evening!") -> Example:
    return Example(id="0", prompt=(Message("user", text),), format="none")


def answer(text: str, **more: Any) -> Completion:
    return Completion(example_id="0", text=text, **{"finish_reason": "stop", **more})


def test_answers_are_encoded_as_they_were_generated(base: Loaded) -> None:
    stop = stop_token(base.tokenizer)
    whole = encode_answer(base, asked(), answer("Hello."))
    assert whole is not None
    assert text_of(base.tokenizer, whole.ids[: whole.prompt_length]).endswith("<|assistant|>")
    assert whole.ids[whole.prompt_length :] == [*token_ids(base.tokenizer, "Hello."), stop]
    cut = encode_answer(base, asked(), answer("Hello.", finish_reason="length"))
    assert cut == Encoded(whole.ids[:-1], whole.prompt_length)
    assert encode_answer(base, asked(), answer("", finish_reason="error")) is None
    assert encode_answer(base, asked("x" * 600), answer("Hello.")) is None
    targeted = Example(id="0", prompt=asked().prompt, format="json", completion="1", value=1)
    assert encode_answer(base, targeted, answer("Hello.")) == whole
    assert asked().value is UNSET


@pytest.mark.parametrize("begun", ["", "<think>\n"])
def test_an_answers_thought_is_encoded_too(base: Loaded, begun: str) -> None:
    template = TEMPLATE.replace("<|assistant|>{%", f"<|assistant|>{begun}{{#</think>#}}{{%")
    template += "{{ '</think>' if false else '' }}"
    loaded = Loaded(base.model, tiny_tokenizer(template))
    row = encode_answer(loaded, asked(), answer("Hi.", reasoning="They greet."))
    open_ = answer("<think>\nThey", unclosed=True, finish_reason="length")
    cut = encode_answer(loaded, asked(), open_)
    assert row is not None and cut is not None
    text = text_of(loaded.tokenizer, row.ids)
    assert text.endswith("<|assistant|><think>\nThey greet.\n</think>\n\nHi.<|end|>")
    assert text_of(loaded.tokenizer, cut.ids[cut.prompt_length :]) == "<think>\nThey"


def test_a_backend_measures_with_the_load_of_its_completions(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Any] = []
    real = models.load_model

    def counted(*given: Any, **named: Any) -> Loaded:
        loads.append(given[2])
        return real(*given, **named)

    monkeypatch.setattr(models, "load_model", counted)
    adapter = foreign.made(folder, tmp_path / "adapter", foreign.LIKE["lora"])
    backend, model = Transformers(max_new_tokens=4), options(folder)
    with loading_once():
        answers = list(zip([asked()], backend.complete([asked()], model, None), strict=True))
        base = backend.likelihood(PIECES, answers, model, None)
        assert loads == [None]
        list(backend.complete([asked()], model, adapter))
        tuned = backend.likelihood(PIECES, answers, model, adapter)
        assert loads == [None, adapter]
    assert base.divergence is None and base.positions == 0
    assert tuned.divergence is not None and tuned.divergence > 0
    assert tuned.tokens == base.tokens == sum(map(len, PIECES)) - len(PIECES)
    assert base.perplexity != tuned.perplexity
    assert backend.likelihood(PIECES, answers, model, adapter) == tuned
    assert len(loads) == 3


def test_nothing_to_measure_is_no_number(base: Loaded) -> None:
    assert measure_with(base, [], []) == Likelihood(None, 0, None, 0)
