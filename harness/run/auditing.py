"""An audit: the same prompts in several modes, and whether what was promised of them holds.

    audited(OpenAI(base_url=..., model="m"), ModelOptions(), examples, near_limit=48)
    -> Audit(findings=[Finding("same answer streamed", 40, "kept"), ...], modes=[...], notes=[...])

A server is asked alone and together, streamed, with thinking on and off, and under each
`response_format`, with the tokens of [eval] and with few; a local model in batches of several
sizes and under a grammar. Everything is greedy, and no answer comes from a cache.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from msgspec import structs

from fmtharness.harness.contracts import Backend, Evaluator, ModelOptions, applies
from fmtharness.harness.errors import RefusedError, UserError
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import build
from fmtharness.harness.plugins import component
from fmtharness.harness.progress import say
from fmtharness.harness.records import NO_FORMAT, Completion, Example
from fmtharness.harness.report.audit import (
    Answer,
    Asked,
    Finding,
    complete_at_limit,
    counts,
    not_shown,
    same,
    strict,
    whole,
    within_limit,
    without_reasoning,
)
from fmtharness.harness.requirements import loads_models
from fmtharness.harness.run.sources import completions_by, in_order
from fmtharness.harness.schemas import SCHEMA_EVALUATOR as SCHEMA

OBJECT, GRAMMAR = "json_object", "grammar"
JSON = ("json", "json_array")
"""The formats that a server can hold an answer to."""
BATCHES = (1, 8, 64)
RESPONSE_FORMAT = "response_format"
PLAIN: Mapping[str, Any] = {
    "cache": False,
    "temperature": 0.0,
    "stream": False,
    RESPONSE_FORMAT: "text",
}
"""How a server is asked where a mode says nothing else."""
NO_GRAMMAR = "llguidance is not installed: pip install 'fmtharness[constrained]'"


class Audit(NamedTuple):
    """What was found, and all answers that show it."""

    findings: list[Finding]
    modes: list[Asked]
    notes: list[str]


def audited(
    backend: Backend, model: ModelOptions, examples: Sequence[Example], *, near_limit: int
) -> Audit:
    """Ask a server or a local model in all modes, and compare the answers.

    Raises UserError for a backend that is neither.
    """
    fields = getattr(type(backend), "model_fields", {})
    asking = _Asking(backend, model, examples, near_limit)
    if {"concurrency", "stream", "response_format"} <= fields.keys():
        return _of_server(asking)
    if {"per_device_eval_batch_size", "constrained"} <= fields.keys():
        return _of_model(asking)
    raise UserError(
        f"audit: backend {backend.name!r} is neither a server's nor the local one; name a server "
        f"with --server or --base-url, or a model with --model"
    )


class _Asking:
    """What the modes of one audit share, and the answers so far."""

    def __init__(
        self, backend: Any, model: ModelOptions, examples: Sequence[Example], near_limit: int
    ) -> None:
        self.backend, self.model, self.examples = backend, model, examples
        self.limits = (backend.max_new_tokens, min(near_limit, backend.max_new_tokens))
        formats = dict.fromkeys(each.format for each in examples if each.format != NO_FORMAT)
        self.judges: list[Evaluator] = [build("evaluators", f"{each}_strict") for each in formats]
        self.modes: list[Asked] = []

    def ask(
        self,
        mode: str,
        examples: Sequence[Example] | None = None,
        *,
        guarantee: str = "",
        may_refuse: bool = True,
        **changes: Any,
    ) -> Asked:
        """The answers in one mode, judged; none where the server refuses what it asks for."""
        chosen = self.examples if examples is None else examples
        backend = self.backend.model_copy(update=changes)
        judges = [*self.judges, *([build("evaluators", SCHEMA)] if guarantee == SCHEMA else [])]
        say(f"audit: {mode}, {len(chosen)} prompts")
        try:
            coming = completions_by(backend, self.model, None, chosen, arm=mode)
            done = [*in_order(chosen, coming)]
        except RefusedError as error:
            if not may_refuse:
                raise
            asked = Asked(mode, {}, backend.max_new_tokens, guarantee, f"refused: {error}")
        else:
            answers = _judged(judges, chosen, done)
            asked = Asked(mode, answers, backend.max_new_tokens, guarantee)
        self.modes.append(asked)
        return asked

    def promised(self, kind: str, examples: Sequence[Example], **changes: Any) -> Iterator[Finding]:
        """Whether a guarantee is kept, with all tokens and near the limit."""
        what = f"valid under {kind}" if kind == SCHEMA else f"strict under {kind}"
        for limit in dict.fromkeys(self.limits):
            name = kind if limit == self.limits[0] else f"{kind}, at most {limit} tokens"
            more = {**changes, "max_new_tokens": limit}
            promise = what if limit == self.limits[0] else f"{what}, at most {limit} tokens"
            if not examples:
                yield not_shown(promise, "no Example has an answer that it could hold")
            else:
                yield strict(promise, self.ask(name, examples, guarantee=kind, **more))

    def ends(self) -> Iterator[Finding]:
        """Whether all answers end as they say."""
        yield whole("stop means whole", self.modes)
        yield within_limit("no more tokens than asked for", self.modes)
        yield complete_at_limit("length, but complete", self.modes)


def _of_server(asking: _Asking) -> Audit:
    """The findings of a server."""
    backend = asking.backend
    if RESPONSE_FORMAT in backend.extra_body:
        raise UserError(
            f"audit: {backend.source}: extra_body sets {RESPONSE_FORMAT}, which the audit sets in "
            f"each mode by itself; leave it out"
        )
    asking.backend = backend.model_copy(update=PLAIN)
    found: list[Finding] = []
    first = asking.ask("alone", may_refuse=False, concurrency=1)
    again = same(
        "same answer when asked again", first, asking.ask("alone, asked again", concurrency=1)
    )
    found.append(again)
    if backend.concurrency > 1:
        promise = f"same answer at concurrency {backend.concurrency}"
        together = asking.ask(f"concurrency {backend.concurrency}")
        found.append(same(promise, first, together, again=again))
    streamed = asking.ask("alone, streamed", concurrency=1, stream=True)
    found.append(same("same answer streamed", first, streamed, again=again))
    switched = {}
    for switch in (True, False):
        mode = f"thinking {'on' if switch else 'off'}"
        switched[switch] = asking.ask(mode, concurrency=1, extra_body=_thinking(backend, switch))
    found.append(
        without_reasoning("no reasoning with thinking off", switched[True], switched[False])
    )
    if asking.limits[1] < asking.limits[0]:
        few = asking.limits[1]
        asking.ask(f"at most {few} tokens", max_new_tokens=few)
    schemed, notes = with_schemas(asking.examples)
    for kind, examples in ((OBJECT, asking.examples), (SCHEMA, schemed)):
        held = backend.model_copy(update={RESPONSE_FORMAT: kind})
        chosen = [each for each in examples if _kind(held.body(each)) == kind]
        found += asking.promised(kind, chosen, response_format=kind)
    found += asking.ends()
    tokens_of = getattr(backend, "tokens_of", lambda texts: None)
    found.append(counts("token counts that differ from the text", asking.modes, tokens_of))
    return Audit(found, asking.modes, notes)


def _of_model(asking: _Asking) -> Audit:
    """The findings of a local model."""
    found: list[Finding] = []
    notes = ["the schema of an Example is held only where it has one of its own"]
    with ExitStack() as stack:
        if loads_models(asking.backend):
            from fmtharness.harness.backends.transformers import loading_once

            stack.enter_context(loading_once())
        asking.backend = asking.backend.model_copy(update={"constrained": False})
        first = asking.ask(f"batch size {BATCHES[0]}", per_device_eval_batch_size=BATCHES[0])
        for batch in BATCHES[1:]:
            other = asking.ask(f"batch size {batch}", per_device_eval_batch_size=batch)
            found.append(same(f"same answer at batch size {batch}", first, other))
        if importlib.util.find_spec("llguidance") is None:
            found.append(not_shown(f"strict under {GRAMMAR}", NO_GRAMMAR))
            notes = []
        else:
            held = [each for each in asking.examples if _has_grammar(each)]
            found += asking.promised(GRAMMAR, held, constrained=True)
    found += asking.ends()
    return Audit(found, asking.modes, notes)


def with_schemas(examples: Sequence[Example]) -> tuple[list[Example], list[str]]:
    """The Examples that have a schema, or whose value implies one; and a sentence on how many."""
    schema_for = getattr(component("evaluators", SCHEMA), "schema_for", lambda example: None)
    found, own = [], 0
    for example in examples:
        schema = schema_for(example) if example.format in JSON else None
        if isinstance(schema, dict):
            own += SCHEMA in example.tags
            found.append(structs.replace(example, tags={**example.tags, SCHEMA: schema}))
    note = (
        f"json_schema: {own} Examples have a schema of their own, and {len(found) - own} are held "
        f"to the one that their value implies"
    )
    return found, [note] if found else []


def _judged(
    judges: Sequence[Evaluator], examples: Sequence[Example], done: Sequence[Completion]
) -> dict[str, Answer]:
    """The strict judge's Verdict on each answer, and where that passes, the schema's."""
    known = {each.id: each for each in examples}
    found = {}
    for completion in done:
        own = [each for each in judges if applies(each, known[completion.example_id])]
        answer = Answer(completion)
        for verdict in judge(own, known, [completion]):
            if verdict.passed is None:
                answer = Answer(completion, unscored=verdict.problems[0].message)
                break
            answer = Answer(completion, verdict.passed, tuple(verdict.labels))
            if not verdict.passed:
                break
        found[completion.example_id] = answer
    return found


def _thinking(backend: Any, switch: bool) -> dict[str, Any]:
    own = backend.extra_body
    given = own.get("chat_template_kwargs")
    table = given if isinstance(given, dict) else {}
    return {**own, "chat_template_kwargs": {**table, "enable_thinking": switch}}


def _kind(body: Mapping[str, Any]) -> str | None:
    """What a request holds its answer to."""
    held = body.get(RESPONSE_FORMAT)
    return held.get("type") if isinstance(held, Mapping) else None


def _has_grammar(example: Example) -> bool:
    from fmtharness.harness.engine.grammar import grammar_of

    return grammar_of(example) is not None
