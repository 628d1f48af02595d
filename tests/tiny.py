"""A tiny random model with a tokenizer of bytes, for what needs a whole training in a second.

tiny_model(folder)    ->  the folder, as `model.name` takes it
tiny_config(folder)   ->  folder/tiny.toml, which trains 12 steps on the model in folder/model
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

CONFIG = """
[data]
families = {{ extract = 1.0 }}
n_train = 24
n_dev = 4
n_eval = 4
train_strictness = "easy"
eval_strictness = "easy"
[model]
name = "{model}"
[train]
trainer = "lora"
max_seq_length = 1024
gradient_accumulation_steps = 4
num_train_epochs = 2
learning_rate = 1e-2
logging_steps = 1
eval_steps = 4
save_steps = 2
n_format_eval_prompts = 2
format_eval_max_new_tokens = 4
[retention]
num_prompts = 0
[eval]
max_new_tokens = 4
"""
"""A training of 12 steps on it; `model` is its folder."""


def tiny_model(folder: Path, *, layers: int = 2, seed: int = 0) -> Path:
    """Write the model and its tokenizer; the same bytes for the same seed."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        eos_token_id=0,
        bos_token_id=None,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_tokenizer(
    template: str = TEMPLATE, *, without: str = "", unk: str | None = None, eos: str = "<|end|>"
) -> Any:
    """The tokenizer of bytes; `without` are characters that it has no token for."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    lacked = {found[0] for found in map(_in_bytes, without)}
    alphabet = [each for each in sorted(pre_tokenizers.ByteLevel.alphabet()) if each not in lacked]
    special = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>", *([unk] if unk else [])]
    vocabulary = {token: index for index, token in enumerate([*special, *alphabet])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=unk))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=eos,
        pad_token="<|end|>",
        unk_token=unk,
        additional_special_tokens=special[1:4],
    )
    tokenizer.chat_template = template
    return tokenizer


def _in_bytes(char: str) -> str:
    from tokenizers import pre_tokenizers

    split = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(char)
    return str(split[0][0])


def tiny_config(folder: Path) -> Path:
    """Write the model and the config of its training."""
    path = folder / "tiny.toml"
    path.write_text(CONFIG.format(model=tiny_model(folder / "model")))
    return path
