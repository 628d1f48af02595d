"""Numbers between host and GPU, without the host waiting for the GPU.

sent([[1, 4093]], device)      a tensor that is there when the GPU's next kernel reads it
step = Coming(chosen)          tokens on their way to the host
step.read()                    waits for them: a NumPy array
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def sent(numbers: Sequence[Any], device: torch.device) -> torch.Tensor:
    """A tensor of int64 on the device."""
    made = torch.tensor(numbers, dtype=torch.int64)
    return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made


class Coming:
    """A copy to the host of int64 numbers (n,) that the GPU has yet to compute."""

    def __init__(self, numbers: torch.Tensor) -> None:
        self._copy = torch.empty(len(numbers), dtype=torch.int64, pin_memory=True)
        self._copy.copy_(numbers, non_blocking=True)
        self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._done.record()

    def read(self) -> Any:
        """The numbers, a NumPy array (n,); waits until the GPU has computed them."""
        self._done.synchronize()
        return self._copy.numpy()
