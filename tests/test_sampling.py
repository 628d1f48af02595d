"""Sampling: the right distribution, and texts that do not depend on the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from scipy.stats import chisquare, kstest
from transformers import LlamaConfig, LlamaForCausalLM

from fmtharness.harness.backends.transformers import Transformers, complete_with
from fmtharness.harness.contracts import Loaded, ModelOptions
from fmtharness.harness.engine import decode_check
from fmtharness.harness.engine.generation import generate
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.sampling import Sampler, Sampling, choose
from fmtharness.harness.records import Example, Message
from fmtharness.harness.run.sources import in_order
from tests.tiny import tiny_model

SHARES = [0.5, 0.3, 0.1, 0.06, 0.04]
PROMPTS = [[5, 9, 2, 11], [7], [3, 3, 8], [20, 21, 22, 23, 24, 25], [4, 6], [7], [1, 2, 3]]
NAMES = [(f"eval-{at}", 0) for at in range(5)] + [("eval-1", 1), ("eval-6", 0)]
SAMPLER = Sampler(Sampling(0.8, 0.9, 5), NAMES)


def drawn(temperature: float = 1.0, top_p: float = 1.0, count: int = 20_000) -> list[int]:
    """How often each of five tokens is drawn."""
    sampling = Sampling(temperature, top_p, seed=1)
    numbers = Sampler(sampling, [("toy", 0)]).draws(0, count)[:, None]
    logits = torch.tensor(SHARES).log().expand(count, -1)
    return torch.bincount(choose(logits, numbers, sampling)[:, 0], minlength=5).tolist()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_by_their_probabilities(temperature: float) -> None:
    weights = [share ** (1 / temperature) for share in SHARES]
    expected = [20_000 * weight / sum(weights) for weight in weights]
    assert chisquare(drawn(temperature), expected).pvalue > 0.01


@pytest.mark.parametrize(("top_p", "kept"), [(0.3, 1), (0.6, 2), (0.79, 2), (0.85, 3), (0.99, 5)])
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p: float, kept: int) -> None:
    found = drawn(top_p=top_p)
    assert [count > 0 for count in found] == [True] * kept + [False] * (5 - kept)
    if kept > 1:
        expected = [20_000 * share / sum(SHARES[:kept]) for share in SHARES[:kept]]
        assert chisquare(found[:kept], expected).pvalue > 0.01


def test_top_p_of_a_flat_distribution_needs_more_than_the_first_tokens() -> None:
    logits = torch.linspace(0, 1, 5000)[torch.randperm(5000)].expand(2000, -1)
    numbers = Sampler(Sampling(1.0), [("flat", 0)]).draws(0, 2000)[:, None]
    found = set(logits[0, choose(logits, numbers, Sampling(1.0, 0.7))[:, 0]].tolist())
    kept = logits[0].double().softmax(-1).sort(descending=True).values.cumsum(0)
    least = float(logits[0].sort(descending=True).values[int((kept < 0.7).sum())])
    assert least <= min(found) < least + 0.01


def test_ties_with_the_last_token_of_top_p_stay() -> None:
    numbers = torch.linspace(0, 0.999, 50, dtype=torch.float64)[:, None]
    found = choose(torch.zeros(50, 4), numbers, Sampling(1.0, 0.1))
    assert sorted(set(found[:, 0].tolist())) == [0, 1, 2, 3]


@pytest.mark.parametrize("number", [0.0, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("temperature", [1e-300, 1e-3, 1.0, 100.0])
def test_a_forbidden_token_is_never_drawn(number: float, temperature: float) -> None:
    logits = torch.full((1, 1000), float("-inf"))
    logits[0, [3, 500]] = torch.tensor([1.0, 1.5])
    numbers = torch.full((1, 1), number, dtype=torch.float64)
    token = int(choose(logits, numbers, Sampling(temperature)))
    coldest = temperature < 1e-2 and number > 0
    assert token == 500 if coldest or number > 0.5 else token in (3, 500)


def test_the_numbers_depend_on_seed_example_and_sample_alone() -> None:
    first = SAMPLER.draws(1, 50)
    assert torch.equal(first, SAMPLER.draws(1, 9999)[:50])
    assert torch.equal(first, Sampler(Sampling(2.0, 0.1, 5), [("eval-1", 0)]).draws(0, 50))
    others = [
        Sampler(Sampling(0.8, 0.9, 6), NAMES).draws(1, 50),
        SAMPLER.draws(2, 50),
        SAMPLER.draws(5, 50),
        Sampler(SAMPLER.sampling, [("\ud83d", 3)]).draws(0, 50),
    ]
    assert not any(set(first.tolist()) & set(each.tolist()) for each in others)
    assert kstest(SAMPLER.draws(0, 5000), "uniform").pvalue > 0.01
    pinned = Sampler(Sampling(1.0, seed=0), [("eval-0", 0)]).draws(0, 2)
    assert pinned.tolist() == PINNED


PINNED = [0.2891764870830774, 0.9573112274091392]
"""What must be the same on every machine and in every later version."""


@pytest.fixture(params=["cpu", "cuda"])
def model(request: pytest.FixtureRequest) -> Any:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA GPU here")
    torch.manual_seed(3)
    sizes: dict[str, Any] = {
        "vocab_size": 40,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.2,
    }
    made: Any = LlamaForCausalLM(LlamaConfig(**sizes))
    return made.to(request.param).eval()


@pytest.fixture(params=["slots", "loop", "alone"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The three ways in which prompts are decoded."""
    if request.param != "slots":
        fits = "fmtharness.harness.engine.generation.fits_slots"
        monkeypatch.setattr(fits, lambda model: False)
    if request.param == "alone":
        name = "fmtharness.harness.engine.generation.decodes_right"
        monkeypatch.setattr(name, lambda *_, **__: False)
    return str(request.param)


def run(model: Any, batch_size: int, sampler: Sampler | None = SAMPLER) -> list[list[int]]:
    found = generate(
        model,
        PROMPTS,
        stop_ids={1},
        pad_id=0,
        max_new_tokens=12,
        batch_size=batch_size,
        sampler=sampler,
    )
    return [each.ids for each in sorted(found)]


def expected(model: Any, place: int) -> list[int]:
    """The same without a cache, by the plain definition of the inverse."""
    ids = list(PROMPTS[place])
    temperature, top_p, _ = SAMPLER.sampling
    for number in SAMPLER.draws(place, 12).tolist():
        row = torch.tensor([ids], device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=row).logits[0, -1].double()
        shares = (logits / temperature).softmax(-1).tolist()
        kept: list[int] = []
        for token in sorted(range(40), key=lambda token: -shares[token]):
            if sum(shares[each] for each in kept) < top_p:
                kept.append(token)
        left = number * sum(shares[each] for each in kept)
        for token in sorted(kept):
            left -= shares[token]
            if left < 0:
                break
        if token == 1:
            break
        ids.append(token)
    return ids[len(PROMPTS[place]) :]


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_texts_do_not_depend_on_the_batch(model: Any, way: str, batch_size: int) -> None:
    found = run(model, batch_size)
    assert found == [expected(model, place) for place in range(7)]
    assert found[1] != found[5], "two samples of one prompt"
    greedy = run(model, batch_size, None)
    assert greedy != found
    assert greedy[1] == greedy[5]


def test_the_lowest_temperatures_are_greedy(model: Any, way: str) -> None:
    assert run(model, 3, Sampler(Sampling(1e-9), NAMES)) == run(model, 3, None)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    with Patches() as patches:
        folder = tiny_model(tmp_path_factory.mktemp("sampled"))
        yield load_model(ModelOptions(name=str(folder), precision="fp32"), patches)


def asked(count: int, samples: int = 1) -> list[Example]:
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "y", "z"]}}, "required": ["a"]}
    return [
        Example(
            id=f"eval-{at}",
            prompt=(Message("user", f"Number {at}"),),
            format="json",
            tags={"json_schema": schema | {"additionalProperties": False}},
            sample=sample,
        )
        for at in range(count)
        for sample in range(samples)
    ]


def texts(loaded: Loaded, examples: Sequence[Example], **options: Any) -> list[str]:
    settings: dict[str, Any] = {"max_new_tokens": 24, "batch_size": 4} | options
    found = list(in_order(examples, complete_with(loaded, examples, **settings)))
    assert [(each.example_id, each.sample) for each in found] == [
        (each.id, each.sample) for each in examples
    ]
    return [each.text for each in found]


@pytest.mark.parametrize("constrained", [False, True])
def test_samples_of_one_example_differ_and_return(loaded: Loaded, constrained: bool) -> None:
    if constrained:
        pytest.importorskip("llguidance")
    examples = asked(2, samples=4)
    options = {"temperature": 1.0, "seed": 4, "constrained": constrained}
    found = texts(loaded, examples, batch_size=7, **options)
    assert found == texts(loaded, examples, batch_size=1, **options)
    assert found[5:6] == texts(loaded, examples[5:6], **options), "asked for again alone"
    assert len({*found[:4]}) > 1
    assert len({*found[4:]}) > 1
    assert found != texts(loaded, examples, **options | {"seed": 5})
    if constrained:
        assert all(text.split('"')[1:4:2] in (["a", v] for v in "xyz") for text in found)


def test_a_sampled_row_of_the_model_s_own_generate_keeps_to_its_grammar(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("llguidance")
    options = {"temperature": 1.0, "seed": 4, "constrained": True}
    in_slots = texts(loaded, asked(3), **options)
    monkeypatch.setattr("fmtharness.harness.engine.generation.fits_slots", lambda model: False)
    monkeypatch.setitem(decode_check._known, loaded.model, False)
    assert texts(loaded, asked(3), **options) == in_slots


def test_temperature_0_is_greedy(loaded: Loaded) -> None:
    assert texts(loaded, asked(3), temperature=0.0, top_p=0.1, seed=9) == texts(loaded, asked(3))


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"temperature": -0.1}, {"top_p": 0.0}, {"top_p": 1.1}, {"seed": 0.5}):
        with pytest.raises(ValidationError):
            Transformers(**wrong)  # type: ignore[arg-type]
