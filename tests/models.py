"""Other people's models beside fmtharness: texts, training steps and a resumed training.

python -m tests.models               a row per architecture of tests.zoo; exit code 1 if one differs
python -m tests.models gemma2 mpt    only these

Beside each is transformers' generate() or peft's own forward pass, of the model as loaded.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fmtharness.harness.engine.encoding import Encoded
from tests.tiny import CONFIG
from tests.zoo import ZOO, write

# Some are longer than the windows in tests.zoo, and all rows of compared_steps are shorter.
PROMPTS = [list(range(20 + n, 20 + n + size)) for n, size in enumerate((7, 30, 12, 19, 25, 9))]
ROWS = [Encoded(prompt[:20], len(prompt[:20]) // 2) for prompt in PROMPTS]
STEPS = 3
LOSS = {"fp32": 1e-5, "bf16": 0.02}
"""The largest relative difference of a step's loss."""
GRADIENT = {"fp32": 1e-3, "bf16": 0.25}
"""The largest difference of a step's gradient, relative to its norm."""

BASE = {"gpt2": "chatml", "gpt-neox": "plain", "opt": "plain", "llama": "chatml"}
"""Architectures that train as a base model without a chat template, by the layout asked for."""


class Steps(NamedTuple):
    """The largest relative differences over some steps of training."""

    loss: float
    gradient: float
    losses: list[float]
    """Of each step, in nats per label."""
    said: str
    """What the training said of its way to run the model."""


def same_texts(folder: Path) -> int:
    """How many of PROMPTS are continued as by generate(), greedily in fp32."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    from fmtharness.harness.contracts import ModelOptions
    from fmtharness.harness.engine.generation import generate
    from fmtharness.harness.engine.models import device_of, load_model
    from fmtharness.harness.engine.patching import Patches

    greedy: Any = GenerationConfig
    settings = greedy(do_sample=False, max_new_tokens=12, eos_token_id=0, pad_token_id=0)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    _with_caps(model).to(device_of(ModelOptions()))
    expected = []
    for prompt in PROMPTS:
        ids = torch.tensor([prompt], device=model.device)
        made = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings
        )
        expected.append([token for token in made[0, len(prompt) :].tolist() if token])
    with Patches() as patches:
        loaded = load_model(ModelOptions(name=str(folder), precision="fp32"), patches)
        found = {
            each.place: each.ids
            for each in generate(
                loaded.model, PROMPTS, stop_ids={0}, pad_id=0, max_new_tokens=12, batch_size=4
            )
        }
    return sum(found[index] == ids for index, ids in enumerate(expected))


def summed_loss(model: Any, packed: Any, logits_bytes: int = 2**29) -> Any:
    """The losses of a pass's labels, summed."""
    from fmtharness.trainers.step.loss import label_losses

    return label_losses(model, packed, logits_bytes).sum()


def compared_steps(
    folder: Path,
    precision: Any,
    rows: Sequence[Encoded] = ROWS,
    *,
    steps: int = STEPS,
    learning_rate: float = 1e-2,
) -> Steps:
    """Steps on these rows beside peft's forward pass and torch's AdamW, in the same type."""
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import AutoModelForCausalLM

    from fmtharness.harness.contracts import ModelOptions
    from fmtharness.harness.engine.models import load_model
    from fmtharness.harness.engine.patching import Patches
    from fmtharness.trainers.lora import Lora
    from fmtharness.trainers.step.adapter import AdapterWeights, adapted
    from fmtharness.trainers.step.forward import fast_forward
    from fmtharness.trainers.step.passes import Passes
    from fmtharness.trainers.step.update import Update

    options = Lora(learning_rate=learning_rate, lora_r=4)
    labels = sum(len(row.ids) - row.prompt_length for row in rows)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    ours: list[tuple[float, dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []
    with Patches() as patches, contextlib.redirect_stderr(io.StringIO()) as said:
        loaded = load_model(ModelOptions(name=str(folder), precision=precision), patches)
        torch.manual_seed(0)
        model = adapted(loaded.model, options, patches)
        forward = fast_forward(model, rows, patches)
        weights = AdapterWeights(model)
        names = {id(weight): name for name, weight in model.named_parameters()}
        update = Update(weights, options, None)
        passes = Passes(model, weights, options, None, forward)
        sizes = [weight.numel() for weight in weights.parameters]
        for _ in range(steps):
            began = {names[id(w)]: w.detach().clone() for w in weights.parameters}
            passes.gradient(rows, labels)
            parts = torch.split(weights.gradient.clone(), sizes)
            pairs = zip(weights.parameters, parts, strict=True)
            ours.append((float(passes.loss), {names[id(w)]: part for w, part in pairs}, began))
            update(options.learning_rate)
    with Patches() as patches:
        base: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        _with_caps(base).to(weights.device)
        torch.manual_seed(0)
        peft_model = adapted(base, options, patches)
        trained = {n: w for n, w in peft_model.named_parameters() if w.requires_grad}
        adamw = torch.optim.AdamW(trained.values(), lr=options.learning_rate, weight_decay=0)
        worst_loss = worst_gradient = 0.0
        for our_loss, our_gradient, began in ours:
            assert began.keys() == trained.keys()
            # AdamW's first steps are signs, so in bf16 two trainings part after one of them.
            if precision == "bf16":
                for name, weight in trained.items():
                    weight.data.copy_(began[name])
            loss: Any = 0.0
            for row in rows:
                ids = torch.tensor([row.ids], device=weights.device)
                logits = peft_model(input_ids=ids, use_cache=False).logits[0]
                predicted = logits[row.prompt_length - 1 : -1].float()
                targets = ids[0, row.prompt_length :]
                loss = loss + cross_entropy(predicted, targets, reduction="sum") / labels
            adamw.zero_grad()
            loss.backward()
            grads = [w.new_zeros(w.shape) if w.grad is None else w.grad for w in trained.values()]
            theirs = torch.cat([gradient.flatten() for gradient in grads])
            own = torch.cat([our_gradient[name].flatten() for name in trained])
            worst_loss = max(worst_loss, abs(our_loss / float(loss.detach()) - 1))
            worst_gradient = max(worst_gradient, float((own - theirs).norm() / theirs.norm()))
            torch.nn.utils.clip_grad_norm_(trained.values(), options.max_grad_norm)
            adamw.step()
    losses = [loss for loss, _, _ in ours]
    return Steps(worst_loss, worst_gradient, losses, said.getvalue().strip())


def _with_caps(model: Any) -> Any:
    """Gemma 2 with its capped scores, which SDPA leaves out in older versions of transformers."""
    if getattr(model.config, "attn_logit_softcapping", None):
        model.set_attn_implementation("eager")
    return model


def resumes(folder: Path, out: Path, layout: str | None = None) -> bool:
    """Whether a training of 3 steps that goes on from step 2 ends in the same bytes.

    With a `layout` the model has no chat template, and gets this one.

    On a GPU, where the last bits of a repeated step may differ, in the same numbers.
    """
    import safetensors.torch
    import torch
    from click.testing import CliRunner

    from fmtharness.harness.cli import main as fmtharness

    config = out / "tiny.toml"
    config.write_text(CONFIG.format(model=folder))
    changed = ["data.n_train=12", "train.num_train_epochs=1", "train.n_format_eval_prompts=1"]
    settings = [part for setting in changed for part in ("--set", setting)]
    if layout:
        (folder / "chat_template.jinja").unlink()
        settings += ["--template", layout]
    command = ["train", str(config), "--out", str(out / "run"), *settings]
    made = []
    for _ in range(2):
        result = CliRunner().invoke(fmtharness, command)
        if result.exit_code:
            raise RuntimeError(result.output)
        made.append((out / "run/adapter/adapter_model.safetensors").read_bytes())
        shutil.rmtree(out / "run/adapter")
        shutil.rmtree(out / f"run/checkpoints/step-{STEPS}")
    if "resuming from step 2" not in result.output:
        raise RuntimeError(result.output)
    if not torch.cuda.is_available():
        return made[0] == made[1]
    one, other = map(safetensors.torch.load, made)
    far = sum(float((one[name] - other[name]).square().sum()) for name in one)
    return far <= 1e-3**2 * sum(float(weight.square().sum()) for weight in one.values())


def row(name: str) -> tuple[str, bool]:
    """One line of the table, and whether all in it is equal."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = write(name, Path(temporary) / "model")
        texts = same_texts(folder)
        steps = {precision: compared_steps(folder, precision) for precision in LOSS}
        again = resumes(folder, Path(temporary), BASE.get(name))
    good = texts == len(PROMPTS) and again
    good &= all(s.loss <= LOSS[p] and s.gradient <= GRADIENT[p] for p, s in steps.items())
    numbers = "  ".join(f"{s.loss:7.0e} {s.gradient:7.0e}" for s in steps.values())
    how = steps["bf16"].said.removeprefix("train: ") or "packed rows"
    how += f", as a base model with --template {BASE[name]}" if name in BASE else ""
    resumed = "same" if again else "OTHER"
    return f"{name:20} {texts}/{len(PROMPTS)}  {numbers}  {resumed:6}  {how}", good


def main(names: list[str]) -> int:
    """Print the table; 1 if something differs."""
    sys.stdout.write(
        f"{'':20} texts  fp32: loss, gradient  bf16: loss, gradient  resumed  training in bf16\n"
    )
    every = True
    for name in names or ZOO:
        line, good = row(name)
        sys.stdout.write(f"{line if good else f'{line}  DIFFERS'}\n")
        sys.stdout.flush()
        every &= good
    return 0 if every else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
