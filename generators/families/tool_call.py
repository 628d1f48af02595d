"""tool_call: a request and some tools become the call of the right tool.

Tools: cancel_booking(guest, room), print_invoice(client, total)
Please cancel the booking with guest Ada Lopez, room A-2031.
    ->  {"name": "cancel_booking", "arguments": {"guest": "Ada Lopez", "room": "A-2031"}}
"""

from __future__ import annotations

from collections.abc import Mapping

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.ownership import divide
from fmtharness.generators.schemas import Schema
from fmtharness.generators.values import Scalar

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
    "dev": (
        "Decide on a tool; the answer has name and arguments.",
        "Turn the request into a tool call with name and arguments.",
        "What should be called? Fill in name and arguments.",
    ),
    "eval": (
        "Select one function and fill in name plus arguments.",
        "Express the request as a call (name, arguments).",
        "Produce the invocation, consisting of name and arguments.",
    ),
}
ASK_SEVERAL: Wording = {
    "train": (
        "Call a tool for each line: give name and arguments.",
        "Write one tool call per request, in this order, each with name and arguments.",
    ),
    "dev": (
        "Two tool calls are needed, in the order of the requests, with name and arguments.",
        "Handle both requests: a call for each, made of name and arguments.",
    ),
    "eval": (
        "There are two requests; express both as calls (name, arguments).",
        "Select a function for each of these and fill in name plus arguments.",
    ),
}
TOOLS: Wording = {
    "train": ("Tools: {tools}", "You have {tools}."),
    "dev": ("Available: {tools}", "The tools are {tools}."),
    "eval": ("Functions: {tools}", "API - {tools}"),
}
REQUEST: Wording = {
    "train": (
        "Please {verb} the {domain} with {facts}.",
        "I want to {verb} this {domain}: {facts}.",
        "{verb} {domain}, {facts}",
    ),
    "dev": (
        "It is time to {verb} the {domain} with {facts}.",
        "For us, {verb} a {domain}: {facts}.",
        "The next step is to {verb} that {domain}, {facts}.",
    ),
    "eval": (
        "Could you {verb} a {domain}? {facts}",
        "Kindly {verb} our {domain} having {facts}.",
        "We must {verb} one {domain} - {facts}.",
    ),
}
FACT: Wording = {
    "train": ("{label} {value}", "{label}: {value}"),
    "dev": ("{label} as {value}", "{label} ~ {value}"),
    "eval": ("{label} = {value}", "{label} is {value}"),
}


def make(context: Context) -> Draft:
    """Two or three tools, and a request that names the arguments of one of them.

    If the Format holds several calls, there are sometimes two requests.
    """
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
    several = context.abilities.calls and context.strictness != "easy" and dice.chance(0.3)
    chosen = list(zip(names, verbs, schemas, strict=True))[: 2 if several else 1]
    calls, requests = [], []
    for name, verb, schema in chosen:
        arguments = context.values(schema)
        requests.append(_request(context, verb, schema, arguments))
        calls.append({"name": name, "arguments": arguments})
    tools = context.say(TOOLS, tools=", ".join(signatures))
    ask = context.say(ASK_SEVERAL if several else ASK)
    return Draft(
        "tool_call",
        "tree" if "tree" in context.abilities.shapes else "call",
        ",".join(f"name,arguments({schema.id})" for _, _, schema in chosen),
        calls if several else calls[0],
        f"{tools}\n{ask}",
        "\n".join(requests),
    )


def _request(context: Context, verb: str, schema: Schema, arguments: Mapping[str, Scalar]) -> str:
    told = [(field.label, context.written(arguments[field.key])) for field in schema.fields]
    context.dice.shuffle(told)
    fact = context.one_of(FACT)
    facts = ", ".join(context.say(fact, label=label, value=text) for label, text in told)
    return context.say(REQUEST, verb=verb, domain=schema.domain, facts=facts)
