"""A run's config: its tables, and how they are read and checked."""

from fmtharness.harness.config.load import QUICK, implied, load_config
from fmtharness.harness.config.tables import (
    ALL,
    OUTPUTS,
    SIZES,
    Config,
    DataOptions,
    EvalOptions,
    ReportOptions,
    RoundOptions,
    RunOptions,
    TrainOptions,
)

__all__ = [
    "ALL",
    "OUTPUTS",
    "QUICK",
    "SIZES",
    "Config",
    "DataOptions",
    "EvalOptions",
    "ReportOptions",
    "RoundOptions",
    "RunOptions",
    "TrainOptions",
    "implied",
    "load_config",
]
