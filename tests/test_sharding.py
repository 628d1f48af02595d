"""A base sharded over two processes: the gradient of a whole base, from half of the bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fmtharness.harness import processes
from fmtharness.harness.contracts import Loaded, ModelOptions
from fmtharness.harness.engine import collectives
from fmtharness.harness.engine.encoding import Encoded
from fmtharness.harness.engine.likelihood import divergence
from fmtharness.harness.engine.lora_linear import groups
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.errors import UserError
from fmtharness.trainers.lora import Lora
from fmtharness.trainers.step.adapter import AdapterWeights, adapted
from fmtharness.trainers.step.forward import replace_layers
from fmtharness.trainers.step.passes import Passes
from fmtharness.trainers.step.sharding import load_for_sharding, shard
from tests.tiny import tiny_model

ROWS = [Encoded([7, 8, *range(20, 40 + 3 * i), 0], 12) for i in range(5)]
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


@pytest.mark.parametrize("quantization", ["none", pytest.param("nf4", marks=pytest.mark.slow)])
def test_shards_give_the_same_gradient(quantization: str, tmp_path: Path) -> None:
    name = str(tiny_model(tmp_path / "tiny", layers=3))
    done = subprocess.run(
        [*LAUNCH, "-m", "tests.test_sharding", name, quantization],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the same") == 2


def test_a_layer_that_is_not_fused_is_named(tmp_path: Path) -> None:
    loaded = load_for_sharding(
        ModelOptions(name=str(tiny_model(tmp_path / "tiny")), quantization="none"),
        Patches(),
    )
    model = replace_layers(adapted(loaded.model, Lora(), Patches()), Patches())
    layer = model.get_base_model().model.layers[1].mlp.down_proj
    del layer.forward  # as for a variant of LoRA
    with pytest.raises(UserError, match=r"layers.1.mlp.down_proj \(Linear\) cannot be sharded"):
        shard(model, torch.device("cpu"))


def test_experts_of_their_own_are_refused(tmp_path: Path) -> None:
    loaded = load_for_sharding(
        ModelOptions(name=str(tiny_model(tmp_path / "tiny")), quantization="none"),
        Patches(),
    )
    model = replace_layers(adapted(loaded.model, Lora(), Patches()), Patches())
    layer = model.get_base_model().model.layers[1]
    layer.experts = torch.nn.ModuleList([layer.mlp])
    del layer.mlp
    with pytest.raises(UserError, match=r"experts.0.gate_proj \(Linear\) cannot be sharded"):
        shard(model, torch.device("cpu"))


def _compare(name: str, quantization: str) -> None:
    options = Lora(max_seq_length=40, max_micro_batch_tokens=40)
    model = ModelOptions.model_validate(
        {"name": name, "device": "cpu", "quantization": quantization, "precision": "fp32"}
        | {"dequantize": "never"}
    )
    share = ROWS[processes.rank() :: processes.count()]  # three rows, and two

    def gradient(peft_model: object) -> tuple[float, torch.Tensor]:
        weights = AdapterWeights(peft_model)
        weights.vector += 0.02 * torch.randn(len(weights.vector), generator=torch.manual_seed(0))
        weights.refresh()
        passes = Passes(peft_model, weights, options, None)
        passes.gradient(share, labels=100)
        collectives.all_reduce(weights.gradient, passes.loss)
        return passes.loss.item(), weights.gradient

    torch.manual_seed(0)
    whole = replace_layers(
        adapted(load_model(model, Patches()).model, options, Patches()), Patches()
    )
    held = sum(_bytes(whole))
    expected = gradient(whole)
    far = divergence(Loaded(whole, None), ROWS)
    os.environ["ACCELERATE_USE_FSDP"] = "true"
    torch.manual_seed(0)
    pieces = replace_layers(
        adapted(load_for_sharding(model, Patches()).model, options, Patches()), Patches()
    )
    shard(pieces, torch.device("cpu"))
    found = gradient(pieces)
    moved = divergence(Loaded(pieces, None), ROWS)
    assert far is not None and moved is not None
    assert abs(far.nats - moved.nats) < 1e-5 < far.nats
    assert moved.positions == far.positions > 0
    assert abs(found[0] - expected[0]) < 1e-5
    torch.testing.assert_close(found[1], expected[1])
    assert expected[1].abs().max() > 0
    assert sum(_bytes(pieces)) <= held / 2 + len(_bytes(pieces))
    collectives.destroy()
    print("the same")  # noqa: T201


def _bytes(model: torch.nn.Module) -> list[int]:
    bases = [layer.base_layer.weight for group in groups(model) for layer in group.layers]
    return [weight.untyped_storage().nbytes() for weight in bases]


if __name__ == "__main__":
    _compare(*sys.argv[1:])
