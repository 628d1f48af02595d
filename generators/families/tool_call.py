"""tool_call: a request and some tools become the call of the right tool.

Tools: cancel_booking(guest, room), print_invoice(client, total)
Please cancel the booking with guest Ada Lopez, room A-2031.
    ->  {"name": "cancel_booking", "arguments": {"guest": "Ada Lopez", "room": "A-2031"}}
"""

from __future__ import annotations

from generators.context import Context, Draft, Wording
from generators.ownership import divide

VERBS = divide("""
    add approve archive cancel check close confirm copy create delete duplicate edit export find
    flag forward inspect load lock merge move open pause post prepare print publish register
    remove rename renew reopen repeat request reserve restore review schedule search send share
    show start stop submit suspend track update upload validate verify
""")
ASK: Wording = {
    "train": (
        "Call the right tool: give name and arguments.",
        "Write the tool call with the keys name and arguments.",
        "Which tool fits? Answer with its name and arguments.",
    ),
    "eval": (
        "Select one function and fill in name plus arguments.",
        "Express the request as a call (name, arguments).",
        "Produce the invocation, consisting of name and arguments.",
    ),
}
TOOLS: Wording = {
    "train": ("Tools: {tools}", "You have {tools}."),
    "eval": ("Functions: {tools}", "API - {tools}"),
}
REQUEST: Wording = {
    "train": (
        "Please {verb} the {domain} with {facts}.",
        "I want to {verb} this {domain}: {facts}.",
        "{verb} {domain}, {facts}",
    ),
    "eval": (
        "Could you {verb} a {domain}? {facts}",
        "Kindly {verb} our {domain} having {facts}.",
        "We must {verb} one {domain} - {facts}.",
    ),
}
FACT: Wording = {
    "train": ("{label} {value}", "{label}: {value}"),
    "eval": ("{label} = {value}", "{label} is {value}"),
}


def make(context: Context) -> Draft:
    """Two or three tools, the arguments of one of which the request names."""
    dice = context.dice
    style = "camel" if "camel" in context.abilities.styles and dice.chance(0.3) else "snake"
    schemas = [context.schema(2, 3, style=style)]
    while len(schemas) < (3 if context.strictness == "hard" else 2):
        other = context.schema(2, 3, style=style)
        if all(other.domain != schema.domain for schema in schemas):
            schemas.append(other)
    verbs = dice.sample(VERBS[context.split], len(schemas))
    names = [f"{verb}_{schema.domain}" for verb, schema in zip(verbs, schemas, strict=True)]
    signatures = [
        f"{name}({', '.join(schema.keys)})" for name, schema in zip(names, schemas, strict=True)
    ]
    dice.shuffle(signatures)
    first, verb, domain = schemas[0], verbs[0], schemas[0].domain
    arguments = context.values(first)
    told = [(field.label, context.written(arguments[field.key])) for field in first.fields]
    dice.shuffle(told)
    fact = context.one_of(FACT)
    facts = ", ".join(context.say(fact, label=label, value=text) for label, text in told)
    source = context.say(REQUEST, verb=verb, domain=domain, facts=facts)
    ask = f"{context.say(TOOLS, tools=', '.join(signatures))}\n{context.say(ASK)}"
    value = {"name": names[0], "arguments": arguments}
    return Draft("tool_call", "tree", f"name,arguments({first.id})", value, ask, source)
