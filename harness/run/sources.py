"""Where Examples, Completions and configs come from: files, a run's folder, a model.

known_examples(Path("eval.jsonl"))                      {"eval-0": Example(...), ...}
completions_by(backend, model, adapter, examples, arm="sft")   Completions of the arm `sft`
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fmtharness.harness.config import Config, EvalOptions, load_config
from fmtharness.harness.contracts import Backend, ModelOptions
from fmtharness.harness.dataset.reader import Source, examples
from fmtharness.harness.errors import ConfigError, DataError, ModelError, PluginError
from fmtharness.harness.files import shipped
from fmtharness.harness.options import check
from fmtharness.harness.plugins import component
from fmtharness.harness.progress import say
from fmtharness.harness.records import Completion, Example, encode
from fmtharness.harness.requirements import loads_models
from fmtharness.harness.schemas import Schema
from fmtharness.harness.trained_on import TRAINED_ON, trained_on

EXAMPLES = "data/examples/eval.jsonl"
NAME = "model.name"
LOCAL: str = EvalOptions.model_fields["backend"].default


def config_for(
    path: Path | None,
    adapter: Path | None,
    overrides: Sequence[str] = (),
    *,
    model: str | None = None,
) -> Config:
    """The given config; else the defaults, with what the adapter says that it was trained with.

    `model` is another base. Raises ModelError if the adapter's base is a path that is not here, and
    if its code would run: an adapter's folder chooses no code.
    """
    settings = [] if path is not None or adapter is None else _settings_of(adapter, model)
    if model is not None:
        settings.append(f"model.name={json.dumps(model)}")
    config = load_config(path, overrides=[*settings, *overrides], trains=path is not None)
    named = model is not None or any(each.partition("=")[0].strip() == NAME for each in overrides)
    if settings and not named and config.model.trust_remote_code:
        raise ModelError(
            f"adapter {adapter}: model.trust_remote_code would run the code of "
            f"{config.model.name!r}, which only the adapter's folder names; name the base with "
            f"--model"
        )
    return config


def _settings_of(adapter: Path, model: str | None) -> list[str]:
    """Overrides for base, quantization, template and decoding; if trained elsewhere, only the base.

    The options of a backend that is not the default may be paths, addresses or commands: none is
    taken from an adapter's folder.
    """
    told = trained_on(adapter)
    base = told.base if told else _base_in_peft(adapter)
    if base and model is None and Path(base).is_absolute() and not Path(base).exists():
        raise ModelError(
            f"adapter {adapter}: it was trained on {base}, which is not here; name the base with "
            f"--model"
        )
    found: dict[str, Any] = {NAME: base}
    if told:
        found["model.quantization"] = told.quantization
        found["model.revision"] = told.revision if model is None else None
        found["model.template_date"] = told.template_date
        for key, value in told.chat_template_kwargs.items():
            found[f"model.chat_template_kwargs.{key}"] = value
        if told.backend == LOCAL:
            where = f"{adapter / TRAINED_ON}: backend {told.backend}"
            _, faults = check(component("backends", LOCAL), told.backend_options, where)
            if faults:
                raise ConfigError("\n".join(faults))
            found |= {f"eval.{key}": value for key, value in told.backend_options.items()}
        else:
            say(
                f"adapter {adapter}: the backend of its run, {told.backend!r}, is not taken from "
                f"an adapter's folder; ask for it with --set eval.backend and its options"
            )
    known = {key: value for key, value in found.items() if value is not None}
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in known.items()]


def _base_in_peft(adapter: Path) -> str | None:
    try:
        settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        return str(settings["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def known_examples(
    data: Path | None,
    limit: int | None = None,
    *,
    form: str | None = None,
    target_format: str | None = None,
    schema: Schema | None = None,
) -> dict[str, Example]:
    """The first rows of a file in any form, or of the committed Examples, by id.

    `form`, `target_format` and `schema` say how the rows are read, as in `Source`.
    Raises DataError if there is none, or as the reader does, which lets no two share an id.
    """
    path = data or shipped(EXAMPLES)
    source = Source(str(path), form=form, format=target_format, schema=schema, limit=limit)
    known = {example.id: example for example in examples(source)}
    if not known:
        raise DataError(f"{path}: there is no Example in it")
    return known


def completions_by(
    backend: Backend,
    model: ModelOptions,
    adapter: Path | None,
    examples: Sequence[Example],
    *,
    arm: str,
) -> Iterator[Completion]:
    """The backend's Completions as they come, each with the name of its arm, which the run sets.

    Where an Example is asked several times, a Completion whose backend does not tell which sample
    it is becomes the next that has none.
    """
    waiting: defaultdict[str, list[int]] = defaultdict(list)
    for example in examples:
        waiting[example.id].append(example.sample)
    for completion in backend.complete(examples, model, adapter):
        left, sample = waiting[completion.example_id], completion.sample
        if left:
            sample = left.pop(left.index(sample) if sample in left else 0)
        yield msgspec.structs.replace(completion, arm=arm, sample=sample)


def sampled(examples: Iterable[Example], n: int) -> list[Example]:
    """Each Example n times, as a backend is asked for n Completions of its prompt."""
    draws: Counter[bytes] = Counter()
    found = []
    for each in examples:
        prompt = encode((each.prompt, each.tools))
        first = draws[prompt]
        draws[prompt] += n
        found += [msgspec.structs.replace(each, sample=k, draw=first + k) for k in range(n)]
    return found


def in_order(
    examples: Iterable[Example], completions: Iterable[Completion]
) -> Iterator[Completion]:
    """The Completions in the order of their Examples, each as soon as those before it are there.

    Raises PluginError if an Example has none.
    """
    early: dict[tuple[str, int], Completion] = {}
    coming = iter(completions)
    for example in examples:
        while (example.id, example.sample) not in early:
            completion = next(coming, None)
            if completion is None:
                raise PluginError(f"the backend gave no Completion for Example {example.id!r}")
            early[completion.example_id, completion.sample] = completion
        yield early.pop((example.id, example.sample))


def conditions(
    config: Config,
    adapter: Path | None,
    prompts: int,
    data: Path,
    n: int = 1,
    *,
    where: str | None = None,
) -> str:
    """What a result was made with, in one line: base, quantization, adapter, device, prompts.

    A backend's `source` stands in place of a local model, and `where` in place of this machine's
    device.
    """
    of_each = f", {n} completions of each" if n > 1 else ""
    if server := getattr(config.backend, "source", None):
        return f"{server}, {prompts} prompts of {data}{of_each}"
    model = config.model
    revision = f" at {model.revision}" if model.revision else ""
    weights = "unquantized" if model.quantization == "none" else model.quantization
    on_it = f"adapter {adapter}" if adapter else "no adapter"
    return (
        f"base {model.name}{revision} ({weights}), {on_it}, {where or _where(config)}, "
        f"{prompts} prompts of {data}{of_each}"
    )


def _where(config: Config) -> str:
    """The device of a local model; the name of another backend."""
    if not loads_models(config.backend):
        return f"backend {config.backend.name}"
    from fmtharness.harness.engine.models import device_of

    return f"device {device_of(config.model)}"


def check_answers(
    path: Path,
    last_id: str | None,
    examples: Mapping[str, Example],
    data: Path | None,
    *,
    fits: bool,
) -> None:
    """Raise DataError for a file without a completion (no `last_id`), or if no id `fits`."""
    if last_id is None:
        raise DataError(f"{path}: there is no completion in it")
    if not fits:
        where = f" in {data}" if data else ""
        raise DataError(
            f"{path}: no row's id ({last_id!r}, ...) is an Example's id{where} "
            f"({next(iter(examples))!r}, ...); a row without id or example_id has its line number"
        )
