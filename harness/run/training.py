"""What a trainer gets besides its Examples: a `contracts.TrainingRun` in a run's folder.

run.evaluate(loaded, step=25, n_prompts=40, max_new_tokens=64)
    writes completions/sft-25.jsonl and verdicts/sft-25.jsonl, logs every rate and returns it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from fmtharness.harness import processes
from fmtharness.harness.contracts import Evaluator, Loaded, ModelOptions
from fmtharness.harness.judging.tally import tally
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.records import Completion, Example, Metric, write_records
from fmtharness.harness.run.scalars import Scalars, read_metrics


class Training:
    """One training inside a run's folder: its model, scalars and in-training evaluations."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        model: ModelOptions,
        tb_logdir: Path,
        evaluators: Sequence[Evaluator],
        dev_examples: Sequence[Example],
        inputs: str,
        backend: str,
        fed: Mapping[str, Completion],
        complete: Callable[..., Iterable[Completion]],
        initial_adapter: Path | None = None,
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.model = model
        self.tb_logdir = tb_logdir
        self.evaluators = evaluators
        self.dev_examples = dev_examples
        self.inputs = inputs
        self.backend = backend
        self.fed = fed
        self.initial_adapter = initial_adapter
        self.certificate: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self._complete = complete
        """Yields the Completions of a model in memory, as backends.transformers.complete_with."""
        self._scalars: Scalars | None = None

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes into the folder."""
        return processes.leads()

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    def files(self) -> list[Path]:
        """What there is of metrics.jsonl, and the files of each evaluation in it."""
        steps = {
            row["step"]: None
            for row in read_metrics(self.metrics)
            if any(name.startswith("eval/") for name in row)
        }
        judged = [
            self.folder / folder / f"sft-{step}.jsonl"
            for step in steps
            for folder in ("completions", "verdicts")
        ]
        return [path for path in (self.metrics, *judged) if path.is_file()]

    def start(self, step: int, certificate: dict[str, Any]) -> None:
        """Open the scalars, keeping those up to `step`; the certificate goes into the manifest."""
        self.certificate = certificate
        if self.leads:
            self._scalars = Scalars(self.metrics, self.tb_logdir, keep_until=step)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Write scalars of one step; only the process that leads does."""
        if not self.leads:
            return
        if self._scalars is None:
            raise RuntimeError("Training.start() comes before log()")
        self._scalars.log(step, values)

    def evaluate(
        self,
        loaded: Loaded,
        step: int,
        *,
        n_prompts: int,
        max_new_tokens: int,
        batch_size: int,
    ) -> dict[str, Metric]:
        """Judge the current model on the first dev Examples.

        Each process completes its share of the prompts, or all of them if the model is sharded.
        """
        from fmtharness.harness.engine import collectives

        loaded.model.eval()
        examples = self.dev_examples[:n_prompts]
        together = processes.sharded()
        share = self._complete(
            loaded,
            examples if together else examples[processes.rank() :: processes.count()],
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            in_step=together,
        )
        made = {each.example_id: each for each in collectives.gather_objects(list(share))}
        completions = [structs.replace(made[example.id], arm="sft") for example in examples]
        metrics = self._judge(f"sft-{step}", examples, completions) if self.leads else {}
        values: dict[str, float] = {}
        for name, metric in metrics.items():
            if metric.value is not None and metric.low is not None and metric.high is not None:
                values[f"eval/{name}"] = metric.value
                values[f"eval_low/{name}"] = metric.low
                values[f"eval_high/{name}"] = metric.high
        self.log(step, values)
        return collectives.broadcast_object(metrics)

    def _judge(
        self, name: str, examples: Sequence[Example], completions: Sequence[Completion]
    ) -> dict[str, Metric]:
        verdicts = list(judge(self.evaluators, {e.id: e for e in examples}, completions))
        write_records(self.folder / "completions" / f"{name}.jsonl", completions)
        write_records(self.folder / "verdicts" / f"{name}.jsonl", verdicts)
        return tally(self.evaluators, verdicts, None, completions).named()

    def close(self) -> None:
        """Close the scalars' files."""
        if self._scalars is not None:
            self._scalars.close()
