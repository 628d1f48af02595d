"""What a trainer is given besides its Examples: the run it trains in.

run.evaluate(loaded, step=25, n_prompts=40, max_new_tokens=64)
    writes completions/sft-25.jsonl and verdicts/sft-25.jsonl, logs every rate, returns the
    headline rates
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config import ModelOptions
from harness.contracts import Evaluator
from harness.judging import Tally, judge, tally
from harness.records import Completion, Example, Metric, write_records
from harness.scalars import Scalars

if TYPE_CHECKING:
    from harness.models import Loaded


class TrainingRun:
    """One training inside a run's folder: its model, scalars and in-training evaluations."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        model: ModelOptions,
        tb_logdir: Path,
        evaluators: Sequence[Evaluator],
        eval_examples: Sequence[Example],
        inputs: str,
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.model = model
        self.tb_logdir = tb_logdir
        self.evaluators = evaluators
        self.eval_examples = eval_examples
        self.inputs = inputs
        """A hash of everything that shapes the adapter; a checkpoint of another is not resumed."""
        self.certificate: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        """What the trainer wants in the manifest: tokens, seconds, peak memory."""
        self._scalars: Scalars | None = None

    def start(self, step: int, certificate: dict[str, Any]) -> None:
        """Open the scalars, keeping those up to `step`; the certificate goes into the manifest."""
        self.certificate = certificate
        self._scalars = Scalars(self.folder / "metrics.jsonl", self.tb_logdir, keep_until=step)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Write scalars of one step."""
        if self._scalars is None:
            raise RuntimeError("TrainingRun.start() comes before log()")
        self._scalars.log(step, values)

    def evaluate(
        self, loaded: Loaded, step: int, *, n_prompts: int, max_new_tokens: int, batch_size: int
    ) -> dict[str, Metric]:
        """Judge the model as it is on the first Examples of the evaluation split.

        Returns the headline metric of each evaluator; the model is left in evaluation mode.
        """
        from harness.backends.transformers import complete_with

        loaded.model.eval()
        examples = self.eval_examples[:n_prompts]
        completions = list(
            complete_with(
                loaded,
                examples,
                arm="sft",
                max_new_tokens=max_new_tokens,
                batch_size=batch_size,
            )
        )
        sums = self._judge(f"sft-{step}", examples, completions)
        values: dict[str, float] = {}
        for name, metric in sums.named().items():
            if metric.value is not None and metric.low is not None and metric.high is not None:
                values[f"eval/{name}"] = metric.value
                values[f"eval_low/{name}"] = metric.low
                values[f"eval_high/{name}"] = metric.high
        self.log(step, values)
        return {name: metrics[0] for name, metrics in sums.metrics().items()}

    def _judge(
        self, name: str, examples: Sequence[Example], completions: Sequence[Completion]
    ) -> Tally:
        verdicts = list(judge(self.evaluators, {e.id: e for e in examples}, completions))
        write_records(self.folder / "completions" / f"{name}.jsonl", completions)
        write_records(self.folder / "verdicts" / f"{name}.jsonl", verdicts)
        return tally(self.evaluators, verdicts)

    def close(self) -> None:
        """Close the scalars' files."""
        if self._scalars is not None:
            self._scalars.close()
