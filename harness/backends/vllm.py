"""Backend that generates Completions with vLLM in this process, also with an adapter of LoRA.

Vllm(max_new_tokens=128).complete(examples, ModelOptions(name="./model"), Path("adapter"))
    yields Completion(example_id="eval-0", text='{"a": 1}', finish_reason="stop", ...)

vLLM is given token ids, those that the backend `transformers` feeds. It has not been run with vLLM
itself: the tests have a fake module with the few calls that are made here.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from fmtharness.harness.contracts import ModelOptions, Options
from fmtharness.harness.errors import ConfigError, ModelError
from fmtharness.harness.records import Completion, Example
from fmtharness.harness.requirements import needs
from fmtharness.harness.text import first_line

AT_ONCE = 2048
"""Prompts that vLLM gets in one call, whose Completions come together."""
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The maximum ranks that vLLM can be started with."""
DTYPES = {"auto": "auto", "bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


class Vllm(Options):
    """Decoding with vLLM, offline, on GPUs of its own.

    `{"id": "eval-0", "prompt": [...]}` becomes `{"example_id": "eval-0", "text": "{\\"a\\": 1}",
    "finish_reason": "stop", "prompt_tokens": 31, "completion_tokens": 6}`.
    """

    name: ClassVar[str] = "vllm"
    incidental: ClassVar[frozenset[str]] = frozenset(
        {"gpu_memory_utilization", "tensor_parallel_size"}
    )

    max_new_tokens: int = Field(default=128, ge=1)
    """Maximum new tokens; a longer completion is cut off with finish_reason `length`."""
    temperature: float = Field(default=0.0, ge=0)
    """The temperature of sampling; with 0 the likeliest token is taken."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Sample from the likeliest tokens of this total probability."""
    seed: int = 0
    """The seed of sampling; each completion has a seed made of it and its Example's id."""
    max_model_len: int | None = Field(default=None, ge=1)
    """The most tokens of a prompt and its answer; the model's context if not set."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """The share of a GPU's memory that vLLM takes."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """How many GPUs the model is spread over."""

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        """Load the model and yield one Completion per Example, in the order of `examples`.

        Raises ConfigError for options of the model that vLLM lacks, and ModelError for what vLLM
        refuses.
        """
        needs(f"backend {self.name}", "vllm")
        _refuse(model)
        from fmtharness.harness.engine.prompts import Prompts
        from fmtharness.harness.engine.weightless import weightless

        source, loaded = weightless(model, adapter)
        prompts = Prompts(loaded, examples, self.max_model_len)
        engine = self._engine(source, model, adapter)
        try:
            for begin in range(0, len(examples), AT_ONCE):
                some = range(begin, min(begin + AT_ONCE, len(examples)))
                yield from self._answers(engine, prompts, some, loaded, adapter)
        finally:
            del engine
            gc.collect()  # its memory must be free before the next model is loaded
        prompts.end()

    def _engine(self, source: str, model: ModelOptions, adapter: Path | None) -> Any:
        from vllm import LLM

        lora = {"enable_lora": True, "max_lora_rank": _rank(adapter)} if adapter else {}
        try:
            return LLM(
                model=source,
                revision=model.revision,
                trust_remote_code=model.trust_remote_code,
                dtype=DTYPES[model.precision],
                max_model_len=self.max_model_len,
                gpu_memory_utilization=self.gpu_memory_utilization,
                tensor_parallel_size=self.tensor_parallel_size,
                generation_config="vllm",  # a hub model's sampling defaults have no effect
                **lora,
            )
        except (ValueError, RuntimeError) as error:
            raise _refused(model.name, error) from error

    def _answers(
        self,
        engine: Any,
        prompts: Any,
        places: Sequence[int],
        loaded: Any,
        adapter: Path | None,
    ) -> Iterator[Completion]:
        from vllm.lora.request import LoRARequest

        from fmtharness.harness.engine.encoding import stop_tokens

        stop_ids = stop_tokens(loaded)
        request = LoRARequest("adapter", 1, str(adapter)) if adapter else None
        asked = [place for place in places if place not in prompts.errors]
        try:
            outputs = engine.generate(
                [{"prompt_token_ids": prompts.ids[place]} for place in asked],
                [self._sampling(prompts, place, stop_ids) for place in asked],
                lora_request=request,
            )
        except (ValueError, RuntimeError) as error:
            raise _refused(str(loaded.tokenizer.name_or_path), error) from error
        found = dict(zip(asked, (output.outputs[0] for output in outputs), strict=True))
        for place in places:
            if place not in found:
                yield prompts.completion(place, [], "error")
                continue
            ids, reason = list(found[place].token_ids), found[place].finish_reason
            if reason == "stop" and ids and ids[-1] in stop_ids:
                ids.pop()
            if reason in ("stop", "length"):
                yield prompts.completion(place, ids, reason)
            else:
                why = f"vLLM ended the completion with {reason!r}"
                yield prompts.completion(place, ids, "error", error=why)

    def _sampling(self, prompts: Any, place: int, stop_ids: set[int]) -> Any:
        from vllm import SamplingParams

        from fmtharness.harness.engine.sampling import seed_of

        example, most = prompts.examples[place], self.max_new_tokens
        if prompts.context is not None:
            most = min(most, prompts.context - len(prompts.ids[place]))
        return SamplingParams(
            n=1,
            temperature=self.temperature,
            top_p=self.top_p if self.temperature else 1.0,
            seed=seed_of(self.seed, example.id, example.sample) if self.temperature else None,
            max_tokens=most,
            stop_token_ids=sorted(stop_ids),
            detokenize=False,
        )


def _refuse(model: ModelOptions) -> None:
    """Raise ConfigError for what vLLM cannot do."""
    if model.quantization == "nf4":
        raise ConfigError(
            'backend vllm: it serves no weights in NF4; set model.quantization = "none", and train '
            'with trainer = "lora"'
        )
    if model.memory_limit is not None:
        raise ConfigError(
            "backend vllm: model.memory_limit has no effect there; leave it out and set "
            "eval.gpu_memory_utilization"
        )
    if model.device == "cpu" or ":" in model.device:
        raise ConfigError(
            f"backend vllm: it chooses its GPUs by itself, and not {model.device!r}; set "
            f'model.device = "auto", and CUDA_VISIBLE_DEVICES where some GPUs are not for it'
        )


def _rank(adapter: Path) -> int:
    """The maximum rank to start vLLM with. Raises ModelError for an adapter above all of RANKS."""
    path = adapter / "adapter_config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        ranks = [int(settings["r"]), *map(int, (settings.get("rank_pattern") or {}).values())]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: it does not tell the adapter's rank ({error}), so vLLM cannot serve it; "
            f"name the folder of an adapter of LoRA"
        ) from error
    if max(ranks) > RANKS[-1]:
        raise ModelError(
            f"{path}: its rank {max(ranks)} is above the {RANKS[-1]} that vLLM can serve; use "
            f"backend transformers"
        )
    return min(rank for rank in RANKS if rank >= max(ranks))


def _refused(name: str, error: Exception) -> ModelError:
    return ModelError(
        f"backend vllm: vLLM cannot serve model {name!r} so ({first_line(error)}); change that, or "
        f"use backend transformers"
    )
