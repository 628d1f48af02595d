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
from fmtharness.harness.config import RetentionOptions
from fmtharness.harness.contracts import OVER_BUDGET, Evaluator, Loaded, ModelOptions
from fmtharness.harness.judging.tally import tally
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.records import Completion, Example, Metric, read_records, write_records
from fmtharness.harness.run.retention import over_budget
from fmtharness.harness.run.scalars import Scalars, read_metrics
from fmtharness.harness.run.sets import RETENTION, DevSet, plain_texts


def dev_retention(folder: Path, step: int | None) -> dict[str, float]:
    """What the evaluation of a step found on the dev prompts of retention; empty for none."""
    rows = [row for row in read_metrics(folder / "metrics.jsonl") if row["step"] == step]
    every = {name: value for row in rows for name, value in row.items()}
    return _of_retention(every)


def _of_retention(values: Mapping[str, float]) -> dict[str, float]:
    """Retention's numbers among scalars, by their own names."""
    named = {name.partition("/"): value for name, value in values.items()}
    return {name: value for (of, _, name), value in named.items() if of == RETENTION}


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
        sets: Sequence[DevSet] = (),
        retention: RetentionOptions | None = None,
        inputs: str,
        backend: str,
        fed: Mapping[str, Completion],
        complete: Callable[..., Iterable[Completion]],
        initial_adapter: Path | None = None,
        first: Path | None = None,
        from_base: bool = True,
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.model = model
        self.tb_logdir = tb_logdir
        self.evaluators = evaluators
        self.dev_examples = dev_examples
        self.sets = sets
        self.retention = retention or RetentionOptions()
        self.inputs = inputs
        self.backend = backend
        self.fed = fed
        self.initial_adapter = initial_adapter
        self.first = first or folder
        """The folder of the run's first training."""
        self.from_base = from_base
        """Whether step 0 of that is the base; else an adapter of the user's."""
        self._base_perplexity: float | None = None
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
            self.folder / folder / place / f"sft-{step}.jsonl"
            for step in steps
            for place in ("", *(each.name for each in self.sets))
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
        """Judge the current model on the first dev Examples, and on the dev half of each set.

        Each process completes its share of the prompts, or all of them if the model is sharded.
        """
        from fmtharness.harness.engine import collectives

        loaded.model.eval()
        examples = self.dev_examples[:n_prompts]
        made = self._answers(loaded, examples, max_new_tokens, batch_size)
        metrics: dict[str, Metric] = {}
        if self.leads:
            metrics = self._judge(f"sft-{step}", examples, made, self.evaluators)
        for each in self.sets:
            most = each.max_new_tokens or max_new_tokens
            made = self._answers(loaded, each.examples, most, batch_size)
            if self.leads:
                name = f"{each.name}/sft-{step}"
                found = self._judge(name, each.examples, made, each.evaluators)
                metrics |= {f"{each.name}/{rate}": metric for rate, metric in found.items()}
        values: dict[str, float] = {}
        for name, metric in metrics.items():
            if metric.value is not None and metric.low is not None and metric.high is not None:
                if name.startswith(f"{RETENTION}/"):
                    values[name] = metric.value
                    continue
                values[f"eval/{name}"] = metric.value
                values[f"eval_low/{name}"] = metric.low
                values[f"eval_high/{name}"] = metric.high
        kept = [each for each in self.sets if each.name == RETENTION]
        if kept:
            measured, over = self._retained(loaded, step, kept[0].examples, values)
            values |= {**measured, OVER_BUDGET: over}
            metrics[OVER_BUDGET] = Metric(
                name=OVER_BUDGET, value=over, numerator=0, denominator=0, low=None, high=None
            )
        self.log(step, values)
        return collectives.broadcast_object(metrics)

    def _answers(
        self, loaded: Loaded, examples: Sequence[Example], most: int, batch_size: int
    ) -> list[Completion]:
        """The answers of the model in training, gathered from all processes."""
        from fmtharness.harness.engine import collectives

        together = processes.sharded()
        share = self._complete(
            loaded,
            examples if together else examples[processes.rank() :: processes.count()],
            max_new_tokens=most,
            batch_size=batch_size,
            in_step=together,
        )
        made = {each.example_id: each for each in collectives.gather_objects(list(share))}
        return [structs.replace(made[example.id], arm="sft") for example in examples]

    def _retained(
        self, loaded: Loaded, step: int, examples: Sequence[Example], rates: Mapping[str, float]
    ) -> tuple[dict[str, float], float]:
        """Retention's numbers that are not rates, and by how much all are over the budget.

        What they are compared with is the first training's model at step 0, if the adapter does
        nothing there. The base's perplexity is known in any case.
        """
        from fmtharness.harness.backends.transformers import measure_with

        if not self.leads and not processes.sharded():
            return {}, 0.0
        base: dict[str, float] = {}
        answers: list[tuple[Example, Completion]] = []
        is_base = step == 0 and self.first == self.folder and self.from_base
        at_first = self.first / "completions" / RETENTION / "sft-0.jsonl"
        recorded = not is_base and self.from_base and at_first.is_file()
        if recorded and self.leads:
            metrics = read_metrics(self.first / self.metrics.name)
            rows = (row for row in metrics if row["step"] == 0)
            base = {name: value for row in rows for name, value in row.items()}
            if not processes.sharded():  # all ranks would have to read the same answers
                known = {each.example_id: each for each in read_records(at_first, Completion)}
                answers = [(each, known[each.id]) for each in examples if each.id in known]
        found = measure_with(loaded, plain_texts("dev"), answers)
        perplexity = found.perplexity
        own = base.get(f"{RETENTION}/perplexity", perplexity if is_base else None)
        if not recorded and not is_base:
            own = self._of_base(loaded)
        measured = {
            "perplexity": perplexity,
            "perplexity_ratio": perplexity / own if perplexity and own else None,
            "divergence": found.divergence,
        }
        found_now = {name: value for name, value in measured.items() if value is not None}
        over = over_budget(self.retention, _of_retention(rates) | found_now, _of_retention(base))
        return {f"{RETENTION}/{name}": value for name, value in found_now.items()}, over

    def _of_base(self, loaded: Loaded) -> float | None:
        """The base's perplexity, measured once; all processes of a sharded model call it."""
        from fmtharness.harness.engine.likelihood import base_perplexity

        if self._base_perplexity is None:
            found = base_perplexity(loaded, plain_texts("dev"))
            self._base_perplexity = found.value if found and found.tokens else None
        return self._base_perplexity

    def _judge(
        self,
        name: str,
        examples: Sequence[Example],
        completions: Sequence[Completion],
        evaluators: Sequence[Evaluator],
    ) -> dict[str, Metric]:
        verdicts = list(judge(evaluators, {e.id: e for e in examples}, completions))
        write_records(self.folder / "completions" / f"{name}.jsonl", completions)
        write_records(self.folder / "verdicts" / f"{name}.jsonl", verdicts)
        return tally(evaluators, verdicts, None, completions).named()

    def close(self) -> None:
        """Close the scalars' files."""
        if self._scalars is not None:
            self._scalars.close()
