"""fmtharness: does a small language model emit the format and nothing else, and what cures it?

Plugin authors start from `hookimpl` here, the contracts in `contracts` and the records
in `records`. Importing this package loads neither torch nor transformers.
"""

import pluggy

hookimpl = pluggy.HookimplMarker("fmtharness")

__all__ = ["hookimpl"]
