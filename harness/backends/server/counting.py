"""How many tokens a text has according to the server's own tokenizer.

    tokens_of(['{"a": 1}'], "http://127.0.0.1:8080/v1", "m", key=None)   ->  [7]

llama.cpp's server and vLLM have an endpoint for it beside `/v1`; vendors have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TIMEOUT = 30.0
"""Seconds that one text may take."""


def tokens_of(texts: Sequence[str], base_url: str, model: str, key: str | None) -> list[int] | None:
    """The number of tokens of each text, without special tokens; None if the server cannot tell."""
    from openai import OpenAI, OpenAIError

    known: dict[str, int] = {}
    with OpenAI(
        base_url=base_url.removesuffix("/v1"), api_key=key or "none", timeout=TIMEOUT
    ) as client:
        for text in dict.fromkeys(texts):
            body = {"model": model, "content": text, "prompt": text}
            plain = {"add_special": False, "add_special_tokens": False}
            try:
                told: Any = client.post("/tokenize", cast_to=object, body=body | plain)
            except (OpenAIError, ValueError, RecursionError):
                return None
            tokens = told.get("tokens") if isinstance(told, dict) else None
            if not isinstance(tokens, list):
                return None
            known[text] = len(tokens)
    return [known[text] for text in texts]
