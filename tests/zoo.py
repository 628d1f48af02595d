"""Tiny random models of many architectures, in which every parameter matters.

build("gemma2")          a Gemma2ForCausalLM whose norm weights are far from 1, and some negative
write("gemma2", folder)  ->  the folder, with the byte tokenizer of tests.tiny

Weights as a library initializes them hide mistakes: norms are 1 and biases 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.tiny import tiny_tokenizer

VOCABULARY = 260
COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
    **dict.fromkeys(
        ("attention_dropout", "attn_pdrop", "dropout", "embd_pdrop", "resid_pdrop"), 0.0
    ),
}
"""For the keys that a config does not have, transformers keeps an attribute that nothing reads."""
EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
GPT: dict[str, Any] = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 2048}
HEADED = {"GPT2": "GPT2LMHeadModel"}
"""Classes that are not called <kind>ForCausalLM."""
ZOO: Mapping[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama-scaled-rotary": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}},
    ),
    "mistral": ("Mistral", {"sliding_window": 24}),
    "mixtral": ("Mixtral", {"num_local_experts": 4}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "qwen2-moe": (
        "Qwen2Moe",
        {**EXPERTS, "shared_expert_intermediate_size": 48, "decoder_sparse_step": 1},
    ),
    "qwen3-moe": ("Qwen3Moe", {**EXPERTS, "head_dim": 16}),
    "gemma": ("Gemma", {"head_dim": 16}),
    "gemma2": ("Gemma2", {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 24}),
    "gemma3": ("Gemma3", {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 24}),
    "phi": ("Phi", {"partial_rotary_factor": 0.5}),
    "phi3": ("Phi3", {}),
    "gpt2": ("GPT2", GPT),
    "gpt-neo": (
        "GPTNeo",
        {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    ),
    "gpt-neox": ("GPTNeoX", {"rotary_pct": 0.25}),
    "gpt-bigcode": ("GPTBigCode", GPT),
    "opt": ("OPT", {"ffn_dim": 96, "word_embed_proj_dim": 64}),
    "falcon": ("Falcon", {"new_decoder_architecture": False, "bias": True}),
    "falcon-alibi": ("Falcon", {"alibi": True, "bias": True}),
    "bloom": ("Bloom", {"n_layer": 2, "n_head": 4}),
    "mpt": ("Mpt", {"d_model": 64, "n_heads": 4, "n_layers": 2, "max_seq_len": 2048}),
    "gpt-oss": (
        "GptOss",
        {"head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 24},
    ),
    "stablelm": ("StableLm", {"partial_rotary_factor": 0.25, "use_parallel_residual": True}),
    "granite": (
        "Granite",
        {"logits_scaling": 4.0, "residual_multiplier": 0.5, "attention_multiplier": 0.3},
    ),
    "cohere": ("Cohere", {"logit_scale": 0.5}),
    "cohere2": ("Cohere2", {"logit_scale": 0.5, "sliding_window": 24}),
    "nemotron": ("Nemotron", {"partial_rotary_factor": 0.5}),
    "olmo2": ("Olmo2", {}),
    "glm": ("Glm", {"head_dim": 16, "partial_rotary_factor": 0.5}),
    "glm4": ("Glm4", {"head_dim": 16, "partial_rotary_factor": 0.5}),
    "smollm3": ("SmolLM3", {"no_rope_layers": [1, 0]}),
    "starcoder2": ("Starcoder2", {}),
    "deepseek-v3": (
        "DeepseekV3",
        {
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 1,
            "topk_group": 1,
            "moe_intermediate_size": 48,
            "first_k_dense_replace": 1,
            "q_lora_rank": 24,
            "kv_lora_rank": 24,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 16,
            "num_key_value_heads": 4,
        },
    ),
    "mamba": ("Mamba", {"state_size": 8}),
    "mamba2": (
        "Mamba2",
        {"state_size": 8, "num_heads": 8, "head_dim": 16, "n_groups": 1, "expand": 2},
    ),
    "rwkv": ("Rwkv", {"attention_hidden_size": 64, "context_length": 2048}),
    "recurrent-gemma": (
        "RecurrentGemma",
        {"lru_width": 64, "attention_window_size": 24, "num_hidden_layers": 3, "head_dim": 16},
    ),
    "granite-hybrid": (
        "GraniteMoeHybrid",
        {
            "layer_types": ["mamba", "attention"],
            "mamba_n_heads": 8,
            "mamba_d_head": 16,
            "mamba_d_state": 8,
            "mamba_n_groups": 1,
            "shared_intermediate_size": 96,
            "num_local_experts": 0,
        },
    ),
    "jamba": (
        "Jamba",
        {
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "num_experts": 4,
            "mamba_d_state": 8,
            "use_mamba_kernels": False,
        },
    ),
    "lfm2": (
        "Lfm2",
        {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    ),
}


def build(name: str, seed: int = 0, **changed: Any) -> Any:
    """The model of this name in fp32, in eval mode; `changed` are keys of its config."""
    import torch
    import transformers

    kind, own = ZOO[name]
    config_class = getattr(transformers, f"{kind}TextConfig", None) or getattr(
        transformers, f"{kind}Config"
    )
    config = config_class(**{**COMMON, **own, **changed})
    torch.manual_seed(seed)
    model = getattr(transformers, HEADED.get(kind, f"{kind}ForCausalLM"))(config)
    for at, parameter in model.named_parameters():
        _draw(at, parameter)
    return model.eval()


def _draw(name: str, parameter: Any) -> None:
    import torch

    last = name.rpartition(".")[2]
    with torch.no_grad():
        if last in ("A_log", "D", "dt_bias") or "time_" in last or "recurrent_param" in last:
            parameter.add_(0.3 * torch.randn_like(parameter))
        elif last == "weight" and parameter.dim() == 1:
            sign = torch.where(torch.rand_like(parameter) < 0.25, -1.0, 1.0)
            parameter.uniform_(0.5, 2.0).mul_(sign)
        elif parameter.dim() == 1:
            parameter.normal_(0, 0.2)
        elif "embed" in name or "wte" in name:
            parameter.normal_(0, 1.0)
        else:
            parameter.normal_(0, 1.5 / parameter.shape[-1] ** 0.5)


def write(name: str, folder: Path, seed: int = 0, **changed: Any) -> Path:
    """Write the model and the byte tokenizer into the folder."""
    build(name, seed, **changed).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
