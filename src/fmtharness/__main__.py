"""python -m fmtharness, which is the command."""

from fmtharness.harness.cli import main

main()
