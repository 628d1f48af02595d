"""Completes a trained adapter's folder with what its use needs, wherever it is copied to.

describe(adapter, config, certificate)
    adapter/fmtharness.json     contracts.TrainedOn: base, quantization, template, ...
    adapter/tokenizer.json ...  the tokenizer, with the chat template
    adapter/README.md           a model card
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from fmtharness.harness.config import Config
from fmtharness.harness.contracts import BUILTIN_MODEL, HUB_ID_OF_BUILTIN
from fmtharness.harness.files import atomic_file, file_digest, on_disk
from fmtharness.harness.text import markdown as as_markdown
from fmtharness.harness.text import one_line
from fmtharness.harness.trained_on import TRAINED_ON, TrainedOn

CARD = """---
library_name: peft
{front}tags:
- fmtharness
- lora
---

# {name}

A low-rank adapter for `{base}`, trained with fmtharness {version} to answer in a strict format.

| | |
|---|---|
| base | `{base}`{revision} |
| base weights | {quantization} |
| computed in | {precision} |
| trainer | {trainer}, {steps} steps, {tokens} tokens |
| prompts | the chat template in this folder; completions end with `{stop_token}` |
| data | generator `{generator}`, {n_train} Examples, seed {seed} |
{retention}
`fmtharness eval --adapter FOLDER` loads the base and judges. With peft alone:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer{more_imports}

base = AutoModelForCausalLM.from_pretrained({loadable}{quantized})
model = PeftModel.from_pretrained(base, "FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
```
"""

HASHED = ("adapter_model.safetensors", "adapter_config.json", "tokenizer.json")
"""Files whose SHA-256 stands in fmtharness.json; they decide what the adapter writes."""
NF4 = """, quantization_config=BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
)"""


def describe(
    adapter: Path, config: Config, certificate: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Add the tokenizer, fmtharness.json and the card; nothing to a folder that is not peft's.

    A README.md that is there is a person's, and stays.
    """
    settings = adapter / "adapter_config.json"
    if not settings.is_file():
        return
    from fmtharness.harness.engine.models import state_for
    from fmtharness.harness.engine.templates import writes_date

    told, tokenizer = state_for(config.model)
    tokenizer.save_pretrained(adapter)
    options = config.backend.model_dump(mode="json", exclude_defaults=True)  # type: ignore[attr-defined]
    model = config.model
    told = msgspec.structs.replace(
        told,
        backend=config.backend.name,
        backend_options=options,
        chat_template_kwargs=model.chat_template_kwargs,
        template_date=model.template_date if writes_date(tokenizer) else None,
    )
    peft = json.loads(settings.read_text(encoding="utf-8"))
    peft |= {"base_model_name_or_path": told.base, "revision": told.revision}
    with atomic_file(settings) as temporary:
        temporary.write_text(json.dumps(peft, indent=2) + "\n", encoding="utf-8")
    held = {name: adapter / name for name in HASHED if (adapter / name).is_file()}
    hashes = {name: file_digest(path) for name, path in held.items()}
    told = msgspec.structs.replace(told, sha256=hashes)
    with atomic_file(adapter / TRAINED_ON) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
    if os.path.lexists(adapter / "README.md"):
        return
    with atomic_file(adapter / "README.md") as temporary:
        temporary.write_text(_card(config, told, certificate, facts), encoding="utf-8")


def _card(
    config: Config, told: TrainedOn, certificate: Mapping[str, Any], facts: Mapping[str, Any]
) -> str:
    builtin, local = told.base == BUILTIN_MODEL, on_disk(told.base) is not None
    loadable = HUB_ID_OF_BUILTIN if builtin else one_line(told.base)
    nf4 = told.quantization == "nf4"
    return CARD.format(
        front="" if local else f"base_model: {json.dumps(loadable)}\n",
        name=as_markdown(config.name),
        base=_code(told.base),
        revision=f" at `{_code(told.revision)}`" if told.revision else "",
        quantization="NF4, double-quantized" if nf4 else "not quantized",
        precision=told.precision,
        trainer=config.trainer.name,
        steps=facts.get("best_step") or facts.get("steps", "?"),
        tokens=facts.get("train_tokens", "?"),
        stop_token=_code(str(certificate.get("stop_token", "?"))),
        generator=config.data.generator,
        n_train=config.data.n_train or "all",
        seed=config.seed,
        retention=_retention(config, facts.get("retention", {})),
        loadable=json.dumps(loadable),
        more_imports=", BitsAndBytesConfig" if nf4 else "",
        quantized=NF4 if nf4 else "",
        version=importlib.metadata.version("fmtharness"),
    )


def _retention(config: Config, numbers: Mapping[str, float]) -> str:
    """The row about the prompts that ask for no format; empty if nothing was measured."""
    if not numbers:
        return ""
    shown = ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())
    return f"| retention | {shown}, on {config.retention.in_training} dev prompts |\n"


def _code(text: str) -> str:
    """The text as it can stand between two backticks in a table."""
    return one_line(text).replace("`", "'").replace("|", "\\|")
