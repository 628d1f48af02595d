"""A tiny model that has learned its answers by heart, for what depends on what a model writes.

taught(folder, tokenizer, [(prompt_ids, answer_ids), ...])   ->  the folder
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def taught(
    folder: Path,
    tokenizer: Any,
    pairs: Sequence[tuple[list[int], list[int]]],
    *,
    eos: int | list[int] = 0,
    steps: int = 400,
) -> Path:
    """Write a model that greedily continues each prompt by its answer, and the tokenizer."""
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config: Any = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        eos_token_id=0,
        bos_token_id=None,
    )
    model: Any = LlamaForCausalLM(config)
    longest = max(len(prompt) + len(answer) for prompt, answer in pairs)
    rows = [[*prompt, *answer, *[0] * longest][:longest] for prompt, answer in pairs]
    ids = torch.tensor(rows)
    labels = torch.full_like(ids, -100)
    for row, (prompt, answer) in enumerate(pairs):
        labels[row, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    adam = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0)
    for _ in range(steps):
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        loss: Any = cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
        if loss.item() < 0.01:
            break
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss.item() < 0.05, f"the model has not learned its answers: {loss.item()}"
    model.generation_config.eos_token_id = eos
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
