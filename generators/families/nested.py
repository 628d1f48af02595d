"""nested: facts in groups become a tree.

Give paid, order_id, contact (name, email).
paid: true; order id: A-2031
contact - name: Ada Lopez; email: ada@acorn.org
    ->  {"paid": true, "order_id": "A-2031", "contact": {"name": "Ada Lopez", "email": ...}}
"""

from __future__ import annotations

from collections.abc import Mapping

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.schemas import Schema
from fmtharness.generators.values import Scalar

ASK: Wording = {
    "train": (
        "Give {keys}; brackets hold the keys of an inner object.",
        "Nest the facts as {keys}.",
        "Build {keys} from this.",
        "Group it like so: {keys}.",
    ),
    "dev": (
        "Organise it in levels: {keys}.",
        "Inner keys stand in brackets: {keys}.",
        "Put the facts where they belong in {keys}.",
    ),
    "eval": (
        "Arrange the facts into the hierarchy {keys}.",
        "The structure wanted is {keys}, parentheses meaning a level below.",
        "Shape what follows as {keys}.",
    ),
}
FACT: Wording = {
    "train": ("{label}: {value}", "the {label}: {value}"),
    "dev": ("{label} ~ {value}", "{label} is given as {value}"),
    "eval": ("{label} = {value}", "{label} => {value}"),
}
GROUP: Wording = {
    "train": ("{name}: {facts}", "About the {name}: {facts}"),
    "dev": ("{name} -- {facts}", "Under {name}: {facts}"),
    "eval": ("{name} >> {facts}", "[{name}] {facts}"),
}


def make(context: Context) -> Draft:
    """A record with one inner record; at hard strictness sometimes with a second one."""
    dice = context.dice
    style = context.style()
    count = 2 if context.strictness == "hard" and dice.chance(0.4) else 1
    parent = context.schema(2, 4 - count, style=style)
    top = context.values(parent)
    value: dict[str, object] = dict(top)
    keys, ids, told = list(parent.keys), [parent.id], [_facts(context, parent, top)]
    taken = {parent.domain, *(field.label for field in parent.fields)}
    while len(told) <= count:
        child = context.schema(2, 4 - count, style=style)
        if child.domain in taken:
            continue
        taken.add(child.domain)
        inner = context.values(child)
        # A title-cased style also applies to the group's own key.
        key = child.domain.capitalize() if style == "title" else child.domain
        value[key] = inner
        keys.append(f"{key} ({', '.join(child.keys)})")
        ids.append(f"{child.domain}({child.id})")
        told.append(context.say(GROUP, name=child.domain, facts=_facts(context, child, inner)))
    ask = context.say(ASK, keys=", ".join(keys))
    return Draft("nested", "tree", ",".join(ids), value, ask, "\n".join(told))


def _facts(context: Context, schema: Schema, values: Mapping[str, Scalar]) -> str:
    fact = context.one_of(FACT)
    return "; ".join(
        context.say(fact, label=field.label, value=context.written(values[field.key]))
        for field in schema.fields
    )
