"""Silences progress bars and advice that libraries print while a model loads, not their warnings.

with quiet_transformers():
    AutoModelForCausalLM.from_pretrained(...)     says "transformers: Unrecognized keys in `rope..."
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

from fmtharness.harness.progress import say

LIBRARIES = ("transformers", "bitsandbytes", "peft", "accelerate")
ADVICE = re.compile(
    # What these report, weights.py refuses or says in its own words.
    r"LOAD REPORT|checkpoint seem corrupted|no linear modules were found|to instantiate .* type ``"
    r"|deprecat|is experimental|flash[-_ ]attention|attn_implementation|fast path"
    r"|Dequantizing the whole model|modules are dequantized in|merge_and_unload"
    r"|attention implementation|already has a `quantization_config`"
    r"|generation flags|generation config|torch_dtype|low_cpu_mem_usage|HF_TOKEN|unauthenticated"
    r"|base_model_name_or_path` was renamed|fan_in_fan_out|(rank|alpha)_pattern keys did not match"
    r"|avx512|AVX512|special tokens have been added|sequential(ly)? implementation",
    re.IGNORECASE,
)
"""Logged messages that only help developers: how else something could be called or run."""

_SAID: set[str] = set()


class _Collector(logging.Handler):
    """Keeps the text of each warning and error."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Inside: stderr is dropped; the libraries' warnings are said at the end, except for ADVICE."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_warning()
    transformers_logging.disable_progress_bar()
    collected = _Collector()
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [collected], False
    try:
        # Some progress bars are plain tqdm and ignore the verbosity.
        with warnings.catch_warnings(record=True) as warned, redirect_stderr(io.StringIO()):
            warnings.simplefilter("default")
            yield
    except Exception as error:
        error.add_note("\n".join(collected.texts))  # errors refer to what is "reported above"
        raise
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
        transformers_logging.set_verbosity(level)
        transformers_logging.enable_progress_bar()
    kinds = (FutureWarning, DeprecationWarning, PendingDeprecationWarning, ImportWarning)
    texts = [str(each.message) for each in warned if not issubclass(each.category, kinds)]
    for text in dict.fromkeys([*collected.texts, *texts]):
        if text not in _SAID and not ADVICE.search(text):
            _SAID.add(text)  # the tokenizer's config and the model's give the same warnings
            say(f"model: the libraries warn: {' '.join(text.split())}")
