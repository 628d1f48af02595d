"""One optimizer step on the adapter's weights: clip the gradient, step, copy to the model's dtype.

Update(weights, options, scaler)(learning_rate)  ->  the gradient's norm before clipping
"""

from __future__ import annotations

from typing import Any

import torch

from fmtharness.harness.engine.cuda_graphs import captured
from fmtharness.trainers.options import LowRankOptions
from fmtharness.trainers.step.adapter import AdapterWeights

SCALER = "scaler/"
"""Prefix of the loss scaler's entries in `numbers`."""


class Update:
    """AdamW over the adapter's vector; torch's own is a CUDA graph on a GPU, unless in fp16."""

    def __init__(self, weights: AdapterWeights, options: LowRankOptions, scaler: Any) -> None:
        self._weights, self._scaler = weights, scaler
        self._max_norm = options.max_grad_norm
        self._norm = torch.zeros((), device=weights.vector.device)
        weights.vector.grad = weights.gradient
        self.optimizer = _optimizer(weights, options)
        capturable = options.optim == "adamw_torch_fused" and scaler is None
        self._allocate_state()
        captures = capturable and options.cuda_graphs == "auto" and weights.vector.is_cuda
        # Captured now, so that its memory is taken before pass sizes are tried on what is left.
        self._graph = captured(self._step) if captures else None

    def __call__(self, learning_rate: float) -> torch.Tensor:
        """Take a step at this learning rate; returns the norm, a scalar tensor on the device."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(learning_rate)
            else:
                group["lr"] = learning_rate
        if self._graph is not None:
            self._graph.replay()
        else:
            self._step()
        return self._norm

    def tensors(self) -> dict[str, torch.Tensor]:
        """The optimizer's state tensors and step count by name, to save or to fill in place."""
        return {name: value for name, value in self._state().items() if torch.is_tensor(value)}

    def numbers(self) -> dict[str, float]:
        """The rest of the optimizer's state, plain numbers, and the loss scaler's state in fp16."""
        scale = self._scaler.state_dict() if self._scaler else {}
        own = {name: value for name, value in self._state().items() if not torch.is_tensor(value)}
        return own | {SCALER + name: value for name, value in scale.items()}

    def set_numbers(self, numbers: dict[str, float]) -> None:
        """Restore what `numbers` returned."""
        scale = {n.removeprefix(SCALER): v for n, v in numbers.items() if n.startswith(SCALER)}
        if self._scaler and scale:
            self._scaler.load_state_dict(scale)
        self._state().update({n: v for n, v in numbers.items() if not n.startswith(SCALER)})

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.optimizer.state[self._weights.vector]
        return state

    def _step(self) -> None:
        if self._scaler is not None:
            self._scaler.unscale_(self.optimizer)
        gradient = self._weights.gradient
        self._norm.copy_(torch.linalg.vector_norm(gradient))
        gradient *= (self._max_norm / (self._norm + 1e-6)).clamp(max=1.0)
        if self._scaler is None:
            self.optimizer.step()
        else:
            self._scaler.step(self.optimizer)
            self._scaler.update()
        self._weights.refresh()

    def _allocate_state(self) -> None:
        """Allocate the optimizer's state with a zero-gradient step, and reset its step count."""
        self.optimizer.step()
        count = self._state()["step"]
        self._state()["step"] = count.zero_() if torch.is_tensor(count) else 0


def _optimizer(weights: AdapterWeights, options: LowRankOptions) -> torch.optim.Optimizer:
    decay = options.weight_decay
    if options.optim != "adamw_torch_fused":
        from bitsandbytes.optim import adamw

        kinds = {
            "adamw_8bit": adamw.AdamW8bit,
            "paged_adamw_8bit": adamw.PagedAdamW8bit,
            "paged_adamw_32bit": adamw.PagedAdamW32bit,
        }
        made: torch.optim.Optimizer = kinds[options.optim](
            [weights.vector], lr=0.0, weight_decay=decay
        )
        return made
    on_gpu = weights.vector.is_cuda
    rate: Any = torch.zeros((), device=weights.vector.device) if on_gpu else 0.0
    return torch.optim.AdamW(
        [weights.vector], lr=rate, weight_decay=decay, fused=True, capturable=on_gpu
    )
