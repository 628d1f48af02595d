"""Sampling with a temperature and top-p; no completion depends on what else is in its batch.

    sampler = Sampler(Sampling(temperature=0.8, top_p=0.95, seed=7), [("eval-0", 0), ("eval-0", 1)])
    sampler.draws(1, 64)                              64 numbers in [0, 1): one for each token
    choose(logits, uniforms, sampler.sampling)        (rows, V) and (rows, 1) -> ids (rows, 1)

A token is where the cumulative distribution, in the order of the vocabulary, passes the row's
number. The numbers depend on the seed, the Example's id, which of its completions it is, and the
token's place; so another batch size changes a text only where rounding moves a boundary across one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

AT_FIRST = 1024
"""How many tokens are sorted at first for top-p; all of them, if a row needs more."""


class Sampling(NamedTuple):
    """How tokens are drawn; `temperature` is above 0, `top_p` above 0 and at most 1."""

    temperature: float
    top_p: float = 1.0
    seed: int = 0


class Sampler(NamedTuple):
    """Sampling for a list of prompts."""

    sampling: Sampling
    names: Sequence[tuple[str, int]]
    """Of each prompt: its Example's id, and which of its completions it is."""

    def draws(self, place: int, count: int) -> torch.Tensor:
        """The numbers of a prompt's first `count` new tokens, (count,) float64 in [0, 1)."""
        key = np.frombuffer(_key(self.sampling.seed, *self.names[place]), dtype="<u8")
        # Raw bits, since only these are the same in every version of numpy.
        bits = np.random.Philox(key=key).random_raw(count)
        return torch.from_numpy((bits >> np.uint64(11)) * 2.0**-53)


def seed_of(seed: int, name: str, sample: int) -> int:
    """A seed below 2**31 for one completion, for engines that take a seed for each prompt."""
    return int.from_bytes(_key(seed, name, sample)[:4], "little") >> 1


def _key(seed: int, name: str, sample: int) -> bytes:
    text = f"{seed} {sample} {name}".encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


def choose(logits: torch.Tensor, uniforms: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """A token id of each row, (rows, 1), from logits (rows, V) and numbers (rows, 1) in [0, 1).

    A logit of -inf is never chosen.
    """
    exact = logits.double()
    shares = ((exact - exact.amax(-1, keepdim=True)) / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        shares = _likeliest(shares, sampling.top_p)
    sums = shares.cumsum(-1)
    total = sums[:, -1:]
    # Rounding may lift a number just below 1 onto the total, which no token would pass.
    below = total.nextafter(torch.zeros_like(total))
    passed = (sums > (uniforms * total).minimum(below)) & (shares > 0)
    return passed.byte().argmax(-1, keepdim=True)


def _likeliest(shares: torch.Tensor, top_p: float) -> torch.Tensor:
    """The shares, 0 but for the fewest tokens whose sum reaches `top_p`, and ties with the last."""
    for count in (AT_FIRST, shares.shape[1]):  # sorting all of them takes several times as long
        ordered = shares.topk(min(count, shares.shape[1])).values
        if bool((ordered.sum(-1) >= top_p).all()):
            break
    needed = ordered.cumsum(-1) - ordered < top_p
    least = ordered.where(needed, torch.inf).amin(-1, keepdim=True)
    return shares.where(shares >= least, 0)
