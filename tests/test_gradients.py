"""Gradients are right after an evaluation, on every way the base weights can be held.

bitsandbytes repacks 4-bit weights at an evaluation forward on some CPUs and then loses gradients;
the reference here never saw bitsandbytes: plain fp32 layers with the expanded NF4 weights.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity

from fmtharness.harness.backends.transformers import complete_with
from fmtharness.harness.contracts import Loaded, ModelOptions
from fmtharness.harness.engine.encoding import encode_example, stop_token
from fmtharness.harness.engine.likelihood import divergence
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.records import Example, Message
from fmtharness.trainers.batch.tree import pack_tree
from fmtharness.trainers.lora import QLora
from fmtharness.trainers.step.adapter import AdapterWeights, adapted
from fmtharness.trainers.step.forward import replace_layers
from fmtharness.trainers.step.loss import summed_loss

EXAMPLES = [
    Example(
        id=str(index),
        prompt=(Message("user", f"name: Ada {index}; age: {40 + index}. As JSON."),),
        completion=f'{{"name": "Ada {index}", "age": {40 + index}}}',
        format="json",
        value={"name": f"Ada {index}", "age": 40 + index},
    )
    for index in range(3)
]


def drawn(options: ModelOptions) -> Loaded:
    """The model with an adapter whose weights are drawn, so that every tensor has a gradient."""
    patches = Patches()
    loaded = load_model(options, patches)
    model = replace_layers(adapted(loaded.model, QLora(), patches), patches)
    generator = torch.Generator().manual_seed(5)
    for name, weight in sorted(model.named_parameters()):
        if "lora_" in name:
            weight.data.copy_(torch.randn(weight.shape, generator=generator) * 0.02)
    return Loaded(model, loaded.tokenizer)


def gradients(loaded: Loaded) -> dict[str, torch.Tensor]:
    model, tokenizer, *_ = loaded
    model.train()
    stop_id = stop_token(tokenizer)
    rows = [encode_example(tokenizer, example, stop_id) for example in EXAMPLES]
    names = {id(weight): name for name, weight in model.named_parameters()}
    weights = AdapterWeights(model)
    weights.gradient += weights.gradient_of(summed_loss(model, pack_tree(rows)))
    parts = torch.split(weights.gradient, [weight.numel() for weight in weights.parameters])
    return {names[id(w)]: part for w, part in zip(weights.parameters, parts, strict=True)}


def evaluate(loaded: Loaded) -> None:
    loaded.model.eval()
    for _ in complete_with(loaded, EXAMPLES, max_new_tokens=4, batch_size=2):
        pass
    tokenizer = loaded.tokenizer
    rows = [encode_example(tokenizer, each, stop_token(tokenizer)) for each in EXAMPLES]
    assert divergence(loaded, rows)


@pytest.fixture(scope="module")
def reference() -> dict[str, torch.Tensor]:
    expanded = load_model(
        ModelOptions(device="cpu", quantization="nf4", precision="bf16"), Patches()
    ).model.state_dict()
    loaded = drawn(ModelOptions(device="cpu", quantization="none", precision="fp32"))
    base: Any = loaded.model
    weights = dict(base.named_parameters())
    for name, value in expanded.items():
        inner = "base_model.model." + name
        wrapped = inner.removesuffix(".weight") + ".base_layer.weight"
        target = weights.get(wrapped, weights.get(inner))
        if target is not None:
            target.data.copy_(value)
    return gradients(loaded)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("dequantize", ["auto", "never"])
def test_after_an_evaluation_every_adapter_gradient_matches_the_reference(
    dequantize: Any, reference: dict[str, torch.Tensor]
) -> None:
    options = ModelOptions(
        device="cpu", quantization="nf4", precision="bf16", dequantize=dequantize
    )
    loaded = drawn(options)
    evaluate(loaded)
    found = gradients(loaded)
    assert found.keys() == reference.keys()
    assert len(found) == 2 * 7 * loaded.model.config.num_hidden_layers
    worst = min(
        (cosine_similarity(found[name], reference[name], dim=0).item(), name) for name in found
    )
    assert worst[0] > 0.98, worst


@pytest.mark.model
@pytest.mark.slow
def test_the_trap_is_real_where_this_cpu_springs_it(
    reference: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitsandbytes.functional import has_avx512bf16
    from bitsandbytes.nn.modules import Linear4bit

    if not has_avx512bf16():
        pytest.skip("bitsandbytes repacks 4-bit weights only on CPUs with AVX512-BF16")
    monkeypatch.setattr(
        "fmtharness.trainers.step.adapter.fuse", lambda model: None
    )  # bitsandbytes' layers
    loaded = drawn(
        ModelOptions(device="cpu", quantization="nf4", precision="bf16", dequantize="never")
    )
    for module in loaded.model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = True
    evaluate(loaded)
    found = gradients(loaded)
    worst = min(
        cosine_similarity(found[name], reference[name], dim=0).item() if name in found else 0.0
        for name in reference
    )
    assert worst < 0.98
