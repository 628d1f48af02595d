"""From Verdicts to Metrics: sums by evaluator, overall and in slices.

tally.add(verdict, example, completion)   counts it in, overall and in each of its slices
tally.metrics()["extras"]                 is its rates: [Metric(name="extras_rate", ...), ...]

The sums grow with the number of slices, not of Verdicts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fmtharness.harness.contracts import Evaluator, Rate, formats_of, rates_of
from fmtharness.harness.errors import PluginError, UserError
from fmtharness.harness.judging.statistics import (
    Clustered,
    all_at_k,
    by_prompt,
    clustered,
    pass_at_k,
    rate,
)
from fmtharness.harness.records import Completion, Example, Metric, Verdict

Slice = tuple[str, str]
"""A dimension and a value: `("family", "extract")`."""
TAGS = {
    "family": "family",
    "shape": "shape",
    "strictness": "strictness",
    "hard_negative": "hard_negatives",
    "bad_output": "bad_outputs",
}
"""The tag that each dimension reads; `format` is a dimension too and stands on the Example."""
DIMENSIONS = ("format", *TAGS)
OUTCOMES = ("passed", "failed", "unscored")
REASONING = "reasoning_rate"
"""The share of Completions with text in think tags, or with tags that nothing closes."""
INTERVENTION = "intervention_rate"
"""The share of decoding steps at which a grammar forbade the model's own choice."""
OWN_RATES = {REASONING: ("reasoned", "answered"), INTERVENTION: ("interventions", "steps")}
"""The Completions' own rates: a Tally's numerator and denominator."""
OWN = ""
"""Takes the place of an evaluator in the sums of the Completions themselves."""
COUNTED_HERE = frozenset({*OUTCOMES, "scored"})


def distinct(evaluators: Sequence[Evaluator]) -> Sequence[Evaluator]:
    """The same evaluators; a UserError if two have the same name and would mix their verdicts."""
    twice = [name for name, n in Counter(e.name for e in evaluators).items() if n > 1]
    if twice:
        raise UserError(f"evaluator {twice[0]!r} is given twice; give each once")
    return evaluators


def slices_of(example: Example) -> list[Slice]:
    """The slices that an Example counts in: `[("format", "json"), ("family", "extract"), ...]`.

    A list of kinds gives a slice for each kind, an empty list the slice `none`. A tag that is
    missing, or holds no text, number or flag, gives no slice.
    """
    found = [("format", example.format)]
    for dimension, name in TAGS.items():
        tag = example.tags.get(name)
        if isinstance(tag, str):
            found.append((dimension, tag))
        elif tag == []:
            found.append((dimension, "none"))
        else:
            kinds = tag if isinstance(tag, list) else [tag]
            texts = [str(kind) for kind in kinds if isinstance(kind, (str, int, float))]
            found += [(dimension, text) for text in dict.fromkeys(texts)]
    return found


class Tally:
    """Sums of Verdicts by evaluator: counters, labels, finish reasons and slices.

    It holds the evaluators' rates, not the evaluators, and otherwise plain counters: two tallies of
    the same evaluators can be merged, and a tally can be pickled and sent to another process.

    Of `n` Completions of a prompt, it also keeps counters for each prompt: intervals then allow for
    their likeness, and each evaluator has two more rates, `pass@n` and `all@n`.
    """

    def __init__(self, evaluators: Sequence[Evaluator], *, n: int = 1) -> None:
        self.n = n
        self.rates = {e.name: rates_of(e) for e in distinct(evaluators)}
        self.formats = {e.name: formats_of(e) for e in evaluators}
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in self.rates}
        self.labels: dict[str, Counter[str]] = {name: Counter() for name in self.rates}
        self.stops: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in self.rates}
        """The count of each finish reason and outcome; `unknown` if no reason is given."""
        self.slices: dict[str, dict[Slice, Counter[str]]] = {
            name: defaultdict(Counter) for name in self.rates
        }
        self.prompts: dict[str, dict[str, Counter[str]]] = {
            name: defaultdict(Counter) for name in (*self.rates, OWN)
        }
        """With n above 1: the counters of each prompt, by its Example's id."""
        self.members: dict[Slice, dict[str, None]] = defaultdict(dict)
        """With n above 1: the prompts of each slice."""
        self.answered = 0
        """How many Completions there are, without those that hold an error."""
        self.reasoned = 0
        """How many of these have reasoning."""
        self.interventions = 0
        self.steps = 0
        """How many tokens were chosen under a grammar, stop tokens included."""
        self.reason: dict[str, str] = {}
        """Why the first unscored Completion is unscored."""

    def add(
        self,
        verdict: Verdict,
        example: Example | None = None,
        completion: Completion | None = None,
    ) -> None:
        """Count one Verdict in, with its Example and its Completion if they are known."""
        name, passed = verdict.evaluator, verdict.passed
        outcome = "unscored" if passed is None else "passed" if passed else "failed"
        added = [(outcome, 1)]
        if passed is None:
            reasons = [problem.message for problem in verdict.problems] or ["it gave no reason"]
            self.reason.setdefault(name, reasons[0])
        else:
            added.append(("scored", 1))
            if verdict.counts:
                added += [(k, n) for k, n in verdict.counts.items() if n and k not in COUNTED_HERE]
            if verdict.labels:
                self.labels[name].update(dict.fromkeys(verdict.labels, 1))
        stop = (completion and completion.finish_reason) or "unknown"
        self.stops[name][stop, outcome] += 1
        sums = [self.counts[name]]
        if example is not None:
            slices = self.slices[name]
            for each in slices_of(example):
                sums.append(slices[each])
                if self.n > 1:
                    self.members[each][verdict.id] = None
        if self.n > 1:
            sums.append(self.prompts[name][verdict.id])
        for counts in sums:
            for key, count in added:
                counts[key] += count

    def count(self, completion: Completion) -> None:
        """Count a Completion in, once for all of its Verdicts."""
        if completion.error is None:
            self.answered += 1
            if completion.reasoning or completion.unclosed:
                self.reasoned += 1
            if completion.interventions is not None and completion.completion_tokens is not None:
                self.interventions += completion.interventions
                self.steps += completion.completion_tokens + (completion.finish_reason == "stop")
            if self.n > 1:
                self._count_in_prompt(completion)

    def _count_in_prompt(self, completion: Completion) -> None:
        alone = Tally(())
        alone.count(completion)
        numbers = {name: getattr(alone, name) for pair in OWN_RATES.values() for name in pair}
        self.prompts[OWN][completion.example_id].update(numbers)

    def reasoning(self) -> Metric | None:
        """The share of Completions with reasoning; None if none has any."""
        return self.own(REASONING) if self.reasoned else None

    def of_completions(self) -> list[Metric]:
        """The Completions' own rates: of reasoning and of interventions, where there are any."""
        found = [self.own(REASONING)] if self.reasoned else []
        return [*found, self.own(INTERVENTION)] if self.steps else found

    def own(self, name: str) -> Metric:
        """One of the Completions' own rates, also where there are none: `-`, or 0."""
        numerator, denominator = OWN_RATES[name]
        counts = {each: getattr(self, each) for each in (numerator, denominator)}
        return self._rate(Rate(name, numerator, denominator), counts, self.prompts[OWN].values())

    def merge(self, other: Tally) -> None:
        """Add the sums of another Tally of the same evaluators, whose Verdicts come after these."""
        self.answered += other.answered
        self.reasoned += other.reasoned
        self.interventions += other.interventions
        self.steps += other.steps
        for name in self.rates:
            self.counts[name].update(other.counts[name])
            self.labels[name].update(other.labels[name])
            self.stops[name].update(other.stops[name])
            for each, counts in other.slices[name].items():
                self.slices[name][each].update(counts)
        for name, prompts in other.prompts.items():
            for prompt, counts in prompts.items():
                self.prompts[name][prompt].update(counts)
        for each, members in other.members.items():
            self.members[each] |= members
        for name, reason in other.reason.items():
            self.reason.setdefault(name, reason)

    def metrics(self) -> dict[str, list[Metric]]:
        """Per evaluator its rates, headline first.

        Raises PluginError if a rate's numerator is not a part of its denominator.
        """
        return {
            name: self._metrics(name, counts, self.prompts[name])
            for name, counts in self.counts.items()
        }

    def pooled(self) -> list[Metric]:
        """The rates that evaluators of different formats share, over all of these formats."""
        owners: dict[Rate, list[str]] = defaultdict(list)
        for evaluator, rates in self.rates.items():
            for each in rates:
                owners[each].append(evaluator)
        found = []
        for each, evaluators in owners.items():
            judged = [self.formats[evaluator] for evaluator in evaluators]
            apart = [name for formats in judged for name in formats or ()]
            if len(judged) > 1 and all(judged) and len(apart) == len({*apart}):
                counts = [self.counts[evaluator] for evaluator in evaluators]
                prompts = [c for name in evaluators for c in self.prompts[name].values()]
                found.append(self._rate(each, sum(counts, Counter()), prompts))
        return found

    def named(self) -> dict[str, Metric]:
        """Every rate by a unique name: `yaml_strict.format_success_rate` if others share it."""
        metrics = self.metrics()
        uses = Counter(metric.name for found in metrics.values() for metric in found)
        named = {metric.name: metric for metric in self.pooled()}
        named |= {metric.name: metric for metric in self.of_completions()}
        for evaluator, found in metrics.items():
            for metric in found:
                shared = uses[metric.name] > 1
                named[f"{evaluator}.{metric.name}" if shared else metric.name] = metric
        return named

    def sliced(self, evaluator: str) -> dict[str, dict[str, list[Metric]]]:
        """The evaluator's rates by dimension and value, the values sorted.

        Raises PluginError as `metrics` does.
        """
        slices = sorted(self.slices[evaluator].items())
        found = {
            dimension: {
                value: self._metrics(evaluator, counts, self.members.get((of, value), ()))
                for (of, value), counts in slices
                if of == dimension
            }
            for dimension in DIMENSIONS
        }
        return {dimension: values for dimension, values in found.items() if values}

    def clustered(self, evaluator: str) -> dict[str, Clustered]:
        """The intervals by task family, for those of the evaluator's rates that can have one.

        Everything that the rate counts must come from Examples of known families, at least two.
        """
        overall = self.counts[evaluator]
        slices = self.slices[evaluator].items()
        families = [counts for (dimension, _), counts in slices if dimension == "family"]
        found = {}
        for each in self.rates[evaluator]:
            parts = [(counts[each.numerator], counts[each.denominator]) for counts in families]
            if sum(denominator for _, denominator in parts) == overall[each.denominator]:
                found[each.name] = clustered(parts)
        return {name: interval for name, interval in found.items() if interval}

    def _metrics(
        self, evaluator: str, counts: Counter[str], prompts: Iterable[str]
    ) -> list[Metric]:
        """The rates of some sums, which are over these prompts."""
        by_id = self.prompts[evaluator]
        held = [by_id[prompt] for prompt in prompts if prompt in by_id]
        found = []
        for each in self.rates[evaluator]:
            numerator, denominator = counts[each.numerator], counts[each.denominator]
            if not 0 <= numerator <= denominator:
                raise PluginError(
                    f"evaluator {evaluator!r}: {each.name} is {each.numerator} / "
                    f"{each.denominator} = {numerator} / {denominator}, which is no share; "
                    "count part of the denominator"
                )
            found.append(self._rate(each, counts, held))
        return found + self._of_all(held) if self.n > 1 else found

    def _rate(
        self, each: Rate, counts: Mapping[str, int], prompts: Iterable[Mapping[str, int]]
    ) -> Metric:
        found = rate(each.name, counts[each.numerator], counts[each.denominator])
        if self.n == 1:
            return found
        return by_prompt(found, [(c[each.numerator], c[each.denominator]) for c in prompts])

    def _of_all(self, prompts: Iterable[Mapping[str, int]]) -> list[Metric]:
        """The shares of the prompts of which one, or all, of n scored Completions passed."""
        passed = [counts["passed"] for counts in prompts if counts["scored"] == self.n]
        return [
            rate(f"{name}@{self.n}", sum(round(at(self.n, c, self.n)) for c in passed), len(passed))
            for name, at in (("pass", pass_at_k), ("all", all_at_k))
        ]

    @property
    def unscored(self) -> int:
        """How many Verdicts are unscored."""
        return sum(counts["unscored"] for counts in self.counts.values())


def tally(
    evaluators: Sequence[Evaluator],
    verdicts: Iterable[Verdict],
    examples: Mapping[str, Example] | None = None,
    completions: Iterable[Completion] | None = None,
    *,
    n: int = 1,
) -> Tally:
    """The sums of all the Verdicts.

    Slices need the Examples by id, and finish reasons the Completions, which the Verdicts follow in
    order. `n` is how many Completions a prompt has.
    """
    sums, known = Tally(evaluators, n=n), examples or {}
    if completions is None:
        for verdict in verdicts:
            sums.add(verdict, known.get(verdict.id))
    for completion, judged in by_completion(evaluators, completions or (), verdicts):
        sums.count(completion)
        for verdict in judged:
            sums.add(verdict, known.get(verdict.id), completion)
    return sums


def by_completion(
    evaluators: Sequence[Evaluator],
    completions: Iterable[Completion],
    verdicts: Iterable[Verdict],
) -> Iterator[tuple[Completion, list[Verdict]]]:
    """Yield each Completion with its Verdicts, which stand in the Completions' order."""
    place = {evaluator.name: at for at, evaluator in enumerate(evaluators)}
    rest = iter(verdicts)
    following = next(rest, None)
    for completion in completions:
        mine: list[Verdict] = []
        last = -1
        # Two Completions may share an id; the evaluators' order tells where the second begins.
        while following and following.id == completion.example_id:
            if place[following.evaluator] <= last:
                break
            last = place[following.evaluator]
            mine.append(following)
            following = next(rest, None)
        yield completion, mine
