"""A run's config: its tables, and how they are read and checked."""

from fmtharness.harness.config.judges import implied
from fmtharness.harness.config.load import QUICK, load_config
from fmtharness.harness.config.tables import (
    ALL,
    OUTPUTS,
    SIZES,
    Arm,
    Config,
    DataOptions,
    EvalOptions,
    EvalSet,
    ReportOptions,
    RetentionOptions,
    RoundOptions,
    RunOptions,
    ServerOptions,
    SetOptions,
    TrainOptions,
    file_of,
)

__all__ = [
    "ALL",
    "OUTPUTS",
    "QUICK",
    "SIZES",
    "Arm",
    "Config",
    "DataOptions",
    "EvalOptions",
    "EvalSet",
    "ReportOptions",
    "RetentionOptions",
    "RoundOptions",
    "RunOptions",
    "ServerOptions",
    "SetOptions",
    "TrainOptions",
    "file_of",
    "implied",
    "load_config",
]
