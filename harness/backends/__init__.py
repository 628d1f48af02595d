"""The built-in completion backends."""

from collections.abc import Sequence

from fmtharness.harness import hookimpl
from fmtharness.harness.backends.openai import OpenAI
from fmtharness.harness.backends.transformers import Transformers
from fmtharness.harness.backends.vllm import Vllm
from fmtharness.harness.contracts import Backend


@hookimpl
def fmtharness_backends() -> Sequence[type[Backend]]:
    return [Transformers, OpenAI, Vllm]
