"""Training sees the prompts that generation sees; labels are the completion and its stop."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from fmtharness.harness.contracts import BUILTIN_MODEL
from fmtharness.harness.engine.encoding import (
    encode_example,
    encode_prompt,
    stop_token,
    token_ids,
)
from fmtharness.harness.engine.gguf import resolve
from fmtharness.harness.errors import ModelError
from fmtharness.harness.records import Example, Message
from fmtharness.trainers.batch.tree import pack_tree
from tests.models import summed_loss

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(resolve(BUILTIN_MODEL))


def example(text: str, *, name: str = "0") -> Example:
    return Example(
        id=name,
        prompt=(Message("system", "Use JSON."), Message("user", f"x is {text}")),
        completion=json.dumps({"x": text}, ensure_ascii=False),
        format="json",
        value={"x": text},
    )


EXAMPLES = [
    example(text, name=str(index))
    for index, text in enumerate(["Ada", " leading", "<|im_end|>", "名前", "", 'a "b"', "\n\n"])
]


def test_the_stop_token_is_the_one_that_ends_a_turn_in_the_template(tokenizer: Any) -> None:
    assert tokenizer.decode([stop_token(tokenizer)]) == "<|im_end|>"


def test_pad_equals_stop_in_this_tokenizer_so_labels_by_token_id_would_be_wrong(
    tokenizer: Any,
) -> None:
    assert tokenizer.pad_token_id == stop_token(tokenizer)


@pytest.mark.parametrize("row", EXAMPLES, ids=lambda e: e.id)
def test_the_ids_before_the_first_label_are_the_prompt_of_generation(
    tokenizer: Any, row: Example
) -> None:
    encoded = encode_example(tokenizer, row, stop_token(tokenizer))
    prompt = encode_prompt(tokenizer, row.prompt)
    assert encoded.ids[: encoded.prompt_length] == prompt
    assert encoded.ids[-1] == stop_token(tokenizer)
    assert tokenizer.decode(encoded.ids[encoded.prompt_length : -1]) == row.completion
    assert tokenizer.decode(prompt).endswith("<|im_start|>assistant\n")


NESTED = '{"a": {"b": ["x"]}, "c": [[1], {"d": "}]"}], "e": {"f": [{}, [2]]}, "g": [[[]]]}'


def answer_ids(tokenizer: Any, form: str, text: str = NESTED) -> list[int]:
    row = Example(id="0", prompt=(Message("user", "Go."),), completion=text, format=form)
    encoded = encode_example(tokenizer, row, stop_token(tokenizer))
    return encoded.ids[encoded.prompt_length : -1]


def test_no_token_of_an_answer_closes_two_brackets(tokenizer: Any) -> None:
    ids = answer_ids(tokenizer, "json")
    assert tokenizer.decode(ids) == NESTED

    def brackets(tokens: list[int]) -> list[int]:
        return [sum(tokenizer.decode([token]).count(c) for c in "}]") for token in tokens]

    assert max(brackets(ids)) == 1
    assert max(brackets(token_ids(tokenizer, NESTED))) > 1


def test_the_other_tokens_of_an_answer_stay(tokenizer: Any) -> None:
    flat = '{"a": "no end, (yet)", "b": [1, {"c": "x"}, 2], "d": 3}'
    assert answer_ids(tokenizer, "json", flat) == token_ids(tokenizer, flat)
    assert answer_ids(tokenizer, "none") == token_ids(tokenizer, NESTED)


def test_a_tokenizer_without_a_chat_template_is_a_clear_error(tokenizer: Any) -> None:
    kept = tokenizer.chat_template
    tokenizer.chat_template = None
    try:
        with pytest.raises(ModelError, match="chat template"):
            encode_prompt(tokenizer, EXAMPLES[0].prompt)
    finally:
        tokenizer.chat_template = kept


class Recorder(torch.nn.Module):
    """Uniform logits, so the loss counts its labels: log(vocabulary) each."""

    def base_model(self, input_ids: torch.Tensor, **_: Any) -> Any:
        return type("Out", (), {"last_hidden_state": torch.zeros(*input_ids.shape, 4)})

    def get_output_embeddings(self) -> torch.nn.Linear:
        return torch.nn.Linear(4, 49152, bias=False)


def test_the_loss_covers_the_completion_and_the_stop_token_and_nothing_else(
    tokenizer: Any,
) -> None:
    stop_id = stop_token(tokenizer)
    rows = [encode_example(tokenizer, row, stop_id) for row in EXAMPLES]
    labels = sum(len(row.ids) - row.prompt_length for row in rows)
    loss = summed_loss(Recorder(), pack_tree(rows))
    assert loss.item() / torch.tensor(49152.0).log().item() == pytest.approx(labels, rel=1e-5)
