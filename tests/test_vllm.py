"""Backend `vllm` against a small fake of its module, which decodes with transformers."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch

from fmtharness.harness.backends.transformers import Transformers
from fmtharness.harness.backends.vllm import Vllm
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine.sampling import seed_of
from fmtharness.harness.errors import ConfigError, HarnessError, ModelError, UserError
from fmtharness.harness.records import Completion, Example, Message
from fmtharness.harness.run.sources import in_order
from tests.tiny import tiny_model

CALLS: list[SimpleNamespace] = []
"""What `generate` of the fake was given."""
STARTED: list[dict[str, Any]] = []


class SamplingParams:
    """Refuses what the real class does not know."""

    def __init__(
        self,
        *,
        n: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int | None = None,
        max_tokens: int | None = 16,
        stop_token_ids: list[int] | None = None,
        detokenize: bool = True,
    ) -> None:
        assert n == 1 and not detokenize and max_tokens and max_tokens > 0
        self.temperature, self.top_p, self.seed = temperature, top_p, seed
        self.max_tokens, self.stop_token_ids = max_tokens, stop_token_ids or []


class LoRARequest(NamedTuple):
    lora_name: str
    lora_int_id: int
    lora_path: str


class LLM:
    """Greedy decoding of one prompt at a time."""

    def __init__(
        self,
        model: str,
        *,
        revision: str | None,
        trust_remote_code: bool,
        dtype: str,
        max_model_len: int | None,
        gpu_memory_utilization: float,
        tensor_parallel_size: int,
        generation_config: str,
        enable_lora: bool = False,
        max_lora_rank: int = 16,
    ) -> None:
        from transformers import AutoModelForCausalLM

        if tensor_parallel_size > 1:
            raise ValueError(
                "World size (2) is larger than the number of available GPUs (0).\nMore"
            )
        STARTED.append({"model": model, "dtype": dtype, "lora": enable_lora, "r": max_lora_rank})
        load: Any = AutoModelForCausalLM.from_pretrained
        self.model = load(model, dtype=torch.float32).eval()

    def generate(
        self,
        prompts: Sequence[Mapping[str, Any]],
        sampling_params: Sequence[SamplingParams],
        *,
        lora_request: LoRARequest | None = None,
    ) -> list[Any]:
        CALLS.append(SimpleNamespace(prompts=prompts, params=sampling_params, lora=lora_request))
        return [
            SimpleNamespace(outputs=[self._one(list(prompt["prompt_token_ids"]), params)])
            for prompt, params in zip(prompts, sampling_params, strict=True)
        ]

    def _one(self, ids: list[int], params: SamplingParams) -> SimpleNamespace:
        begin = len(ids)
        while True:
            with torch.inference_mode():
                ids.append(int(self.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            ended = ids[-1] in params.stop_token_ids
            if ended or len(ids) - begin == params.max_tokens:
                reason = "stop" if ended else "length"
                return SimpleNamespace(token_ids=tuple(ids[begin:]), finish_reason=reason)


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    STARTED.clear()
    names: dict[str, dict[str, Any]] = {
        "vllm": {"LLM": LLM, "SamplingParams": SamplingParams},
        "vllm.lora": {},
    }
    names["vllm.lora.request"] = {"LoRARequest": LoRARequest}
    for name, held in names.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(held)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("vllm"))


def options(folder: Path, **more: Any) -> ModelOptions:
    return ModelOptions(name=str(folder), quantization="none", precision="fp32", **more)


def asked(*contents: str) -> list[Example]:
    return [
        Example(id=f"eval-{at}", prompt=(Message("user", text),), format="json", sample=at % 2)
        for at, text in enumerate(contents)
    ]


def ask(backend: Vllm, folder: Path, adapter: Path | None = None) -> list[Completion]:
    return [*backend.complete(asked("Hi", "A longer prompt", "3"), options(folder), adapter)]


def test_the_same_ids_texts_and_reasons_as_the_backend_transformers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmtharness.harness.backends.vllm.AT_ONCE", 2)
    examples = asked("Hi", "A longer prompt", "x" * 3000, "3")
    found = [*Vllm(max_new_tokens=9).complete(examples, options(folder), None)]
    own = Transformers(max_new_tokens=9).complete(examples, options(folder), None)
    assert found == [*in_order(examples, own)]
    assert [each.finish_reason for each in found][2] == "error"
    assert [len(call.prompts) for call in CALLS] == [2, 1]
    assert [{"model": str(folder), "dtype": "float32", "lora": False, "r": 16}] == STARTED


def test_a_stop_token_ends_a_completion_and_is_not_in_its_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [free, *_] = ask(Vllm(max_new_tokens=4), folder)
    first = LLM._one
    monkeypatch.setattr(
        LLM,
        "_one",
        lambda self, ids, params: SimpleNamespace(
            token_ids=(*first(self, ids, params).token_ids[:2], params.stop_token_ids[0]),
            finish_reason="stop",
        ),
    )
    [found, *_] = ask(Vllm(max_new_tokens=4), folder)
    assert (found.finish_reason, found.completion_tokens) == ("stop", 2)
    assert free.text.startswith(found.text)


def test_sampling_has_a_seed_for_each_completion(folder: Path) -> None:
    ask(Vllm(max_new_tokens=2, temperature=0.7, top_p=0.9, seed=3), folder)
    [params, *others] = CALLS[0].params
    assert (params.temperature, params.top_p) == (0.7, 0.9)
    assert params.seed == seed_of(3, "eval-0", 0)
    assert [each.seed for each in others] == [seed_of(3, "eval-1", 1), seed_of(3, "eval-2", 0)]
    assert all(0 <= each.seed < 2**31 for each in CALLS[0].params)
    ask(Vllm(max_new_tokens=2, top_p=0.9, seed=3), folder)
    assert {(each.temperature, each.top_p, each.seed) for each in CALLS[1].params} == {(0, 1, None)}


def adapter(folder: Path, **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def test_an_adapter_is_asked_for_by_its_folder(folder: Path, tmp_path: Path) -> None:
    tuned = adapter(tmp_path / "adapter", r=12, rank_pattern={"q_proj": 20})
    ask(Vllm(max_new_tokens=2), folder, tuned)
    assert STARTED[0]["lora"] and STARTED[0]["r"] == 32
    assert CALLS[0].lora == ("adapter", 1, str(tuned))


def test_answers_never_exceed_the_context(folder: Path) -> None:
    ask(Vllm(max_new_tokens=500, max_model_len=40), folder)
    lengths = [len(each["prompt_token_ids"]) for each in CALLS[0].prompts]
    assert [each.max_tokens for each in CALLS[0].params] == [40 - length for length in lengths]


def test_another_end_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aborted = SimpleNamespace(token_ids=(), finish_reason="abort")
    monkeypatch.setattr(LLM, "_one", lambda *_: aborted)
    [found, *_] = ask(Vllm(), folder)
    assert (found.finish_reason, found.error) == ("error", "vLLM ended the completion with 'abort'")


@pytest.mark.parametrize(
    ("backend", "model", "settings", "kind", "said"),
    [
        ({}, {"quantization": "nf4"}, None, ConfigError, "no weights in NF4; set model.quantiz"),
        ({}, {"memory_limit": "4GiB"}, None, ConfigError, "set eval.gpu_memory_utilization"),
        ({}, {"device": "cpu"}, None, ConfigError, "chooses its GPUs by itself, and not 'cpu'"),
        ({"tensor_parallel_size": 2}, {}, None, ModelError, "number of available GPUs"),
        ({}, {}, {"r": 1024}, ModelError, "its rank 1024 is above the 512"),
        ({}, {}, {"peft_type": "IA3"}, ModelError, "does not tell the adapter's rank"),
    ],
)
def test_what_vllm_cannot_serve_is_one_sentence(
    folder: Path,
    tmp_path: Path,
    backend: Any,
    model: Any,
    settings: Any,
    kind: type[HarnessError],
    said: str,
) -> None:
    tuned = adapter(tmp_path / "adapter", **settings) if settings else None
    options_of_it = ModelOptions(**{"name": str(folder), "quantization": "none", **model})
    with pytest.raises(kind, match=said) as raised:
        [*Vllm(**backend).complete(asked("Hi"), options_of_it, tuned)]
    assert "\n" not in str(raised.value)


def test_without_vllm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "vllm")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'fmtharness\[vllm\]'"):
        ask(Vllm(), folder)
