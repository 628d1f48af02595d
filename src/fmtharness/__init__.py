"""fmtharness: does a small language model emit the format and nothing else, and what cures it?

fmtharness.harness       the core: contracts for plugins, records, runs, gates, the command
fmtharness.evaluators    formats and their judges
fmtharness.generators    sources of Examples
fmtharness.trainers      ways to fine-tune
"""

import sys

from fmtharness.old_names import OldNames

sys.meta_path.insert(0, OldNames())
