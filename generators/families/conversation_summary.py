"""conversation_summary: a chat becomes who took part, what was decided and who does what.

    Ada: The oven is broken. / Emil: I'll order a new one by 2026-03-04. / ...
        ->  {"people": ["Ada", "Emil"], "problem": "the oven is broken",
             "tasks": [{"who": "Emil", "what": "order a new oven", "by": "2026-03-04"}]}

Where the Format holds no tree, the first task stands in the record itself.
"""

from __future__ import annotations

from typing import Any

from fmtharness.generators import pools
from fmtharness.generators.asking import joined, named, ordered, owned_keys, scalar, speak
from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.values import draw

ASK: Wording = {
    "train": (
        "Summarise the chat as {keys}.",
        "Minutes of this conversation, please: {keys}.",
        "What came out of it? {keys}.",
        "I missed the meeting. Give me {keys}.",
        "tl;dr with {keys}",
        "Read the talk below and record {keys}.",
        "Condense this thread: {keys}.",
        "Protocol wanted, fields {keys}.",
        "The boss wants to know what we agreed on, and she reads nothing but {keys}.",
        "Turn these messages into {keys}, and leave the small talk out.",
        "Boil it down to {keys}.",
        "Dear assistant, from the following exchange kindly compile {keys}.",
        "NO CHATTER. JUST {keys}.",
        "chat log -> {keys}",
        "You can write a summary in prose for yourself; what I get is {keys}.",
        "Our bot posts {keys} after each conversation. Do its job.",
        "Who said they would do what? Note it as {keys}.",
    ),
    "dev": (
        "Outline the dialogue with {keys}.",
        "Take notes on this: {keys}.",
        "we talked, you write {keys}",
        "Make {keys} out of what they said.",
        "From the exchange I need {keys}.",
    ),
    "eval": (
        "Sum up the discussion, filling {keys}.",
        "Produce a record of the meeting: {keys}.",
        "Kindly digest the messages into {keys}.",
        "so what happened? {keys} only",
        "A log follows. Distil {keys} from it.",
        "Their conversation, as {keys}.",
    ),
}
MEANING: dict[str, Wording] = {
    "people": {
        "train": ("{key} lists the speakers in the order they first speak.",),
        "dev": ("{key}: everyone who speaks, first come first.",),
        "eval": ("In {key} name those who talk, by first appearance.",),
    },
    "problem": {
        "train": ("{key} is what is wrong, in the words of the chat.",),
        "dev": ("{key} repeats the trouble as it was put.",),
        "eval": ("{key} quotes what the matter is.",),
    },
    "decision": {
        "train": ("{key} is what they agree on, as it is said.",),
        "dev": ("{key}: the agreement, in their words.",),
        "eval": ("{key} gives the outcome as they phrase it.",),
    },
    "messages": {
        "train": ("{key} counts the messages.",),
        "dev": ("{key}: how many messages there are.",),
        "eval": ("{key} is the number of messages in all.",),
    },
    "tasks": {
        "train": (
            "{key} is a list: each has {fields}.",
            "{key}: one entry per task, with {fields}.",
        ),
        "dev": ("{key} lists the jobs, each as {fields}.",),
        "eval": ("Every promise goes into {key} as {fields}.",),
    },
    "who": {
        "train": ("{key} is the person with the task.",),
        "dev": ("{key}: whose job it is.",),
        "eval": ("{key} names who takes it on.",),
    },
    "what": {
        "train": ("{key} is the task as announced.",),
        "dev": ("{key}: what is to be done.",),
        "eval": ("{key} describes the job as promised.",),
    },
    "by": {
        "train": ("{key} is the date for it.",),
        "dev": ("{key}: until when.",),
        "eval": ("{key} is its deadline.",),
    },
}
PROBLEM: Wording = {
    "train": (
        "the {item} in the {place} is broken",
        "nobody has cleaned the {place}",
        "the {quality} {item} has gone missing",
        "our {item} makes a terrible noise",
        "the last {item} has broken",
        "the guests from {city} arrive early and the {place} is not ready",
    ),
    "dev": ("somebody left the {item} in the {place}", "the {place} smells of old {item}"),
    "eval": ("there is no {item} for the {place}", "a {quality} {item} blocks the {place}"),
}
DECISION: Wording = {
    "train": (
        "we buy a {quality} {item}",
        "we move everything to the {place}",
        "we ask the people of {brand} for help",
        "we close the {place} for a week",
        "the {item} stays where it is",
    ),
    "dev": ("we try it with a {quality} {item}", "we leave the {place} to {brand}"),
    "eval": ("a {quality} {item} will do", "from now on we use the {place} of {brand}"),
}
JOB: Wording = {
    "train": (
        "order a {quality} {item}",
        "call {brand}",
        "sweep the {place}",
        "write to everyone about the {item}",
        "measure the {place}",
        "bring my own {item}",
    ),
    "dev": ("look for a {item}", "put a note on the {place}"),
    "eval": ("borrow a {item} from {brand}", "clear out the {place}"),
}
SAY_PROBLEM: Wording = {
    "train": (
        "Morning all. Bad news: {text}.",
        "Have you heard? It seems that {text}.",
        "Well, {text}.",
    ),
    "dev": ("Listen, {text}.", "Sorry to say it, but {text}."),
    "eval": ("The thing is that {text}.", "I noticed that {text}."),
}
SAY_DECISION: Wording = {
    "train": (
        "Then it's settled: {text}.",
        "All right, {text}. Agreed?",
        "So {text}, fine with me.",
    ),
    "dev": ("Let's say {text}.", "In that case {text}."),
    "eval": ("Good, then {text}.", "Fine: {text}. Any objections?"),
}
SAY_JOB: Wording = {
    "train": (
        "I'll {text} by {date}.",
        "I can {text}, until {date} at the latest.",
        "Leave it to me, I will {text} by {date}.",
    ),
    "dev": ("Before {date} I'm going to {text}.", "My part: {text}, due {date}."),
    "eval": ("I promise to {text} no later than {date}.", "Count on me to {text}; {date}, okay?"),
}
SMALL_TALK: Wording = {
    "train": (
        "Ha, typical.",
        "Is there coffee?",
        "Sorry, I was on mute.",
        "That reminds me of last year.",
        "OK.",
        "I like that.",
        "Really? Again?",
    ),
    "dev": ("Oh no.", "Works for me.", "My cat is on the keyboard."),
    "eval": ("Oh dear.", "Sounds reasonable.", "Hm, let me think."),
}
LINE: Wording = {
    "train": ("{name}: {text}", "<{name}> {text}", "{name} - {text}", "[{name}] {text}"),
    "dev": ("{name} > {text}", "({name}) {text}"),
    "eval": ("{name} | {text}", "@{name} {text}"),
}
SLOTS = {
    "people": ("people", "participants", "speakers", "present", "attendees", "names"),
    "problem": ("problem", "issue", "topic", "matter", "concern", "what is wrong"),
    "decision": ("decision", "agreed", "outcome", "conclusion", "resolution", "result"),
    "messages": ("messages", "message count", "turns", "lines", "n messages"),
    "tasks": ("tasks", "todo", "action items", "next steps", "jobs", "promises"),
    "who": ("who", "owner", "assignee", "person", "responsible", "name"),
    "what": ("what", "task", "action", "job", "to do", "description"),
    "by": ("by", "deadline", "due", "until", "date", "due date"),
}
INNER = ("who", "what", "by")


def make(context: Context) -> Draft:
    """Two to four people, a problem, a decision, one to three tasks, and small talk."""
    dice, split = context.dice, context.split
    people = dice.sample(pools.FIRST[split], dice.between(2, 4))
    problem, decision = _phrase(context, PROBLEM), _phrase(context, DECISION)
    tree = "tree" in context.abilities.shapes
    jobs = [
        {
            "who": dice.choice(people),
            "what": _phrase(context, JOB),
            "by": draw("date", split, dice),
        }
        for _ in range(dice.between(1, 3 if tree else 1))
    ]
    talk = [(people[0], context.say(SAY_PROBLEM, text=problem))]
    talk += [(job["who"], context.say(SAY_JOB, text=job["what"], date=job["by"])) for job in jobs]
    talk.append((dice.choice(people), context.say(SAY_DECISION, text=decision)))
    for _ in range(dice.between(0, 3)):
        talk.insert(dice.between(1, len(talk)), (dice.choice(people), context.say(SMALL_TALK)))
    values: dict[str, Any] = {
        "problem": problem,
        "decision": decision,
        "messages": len(talk),
    }
    if tree:
        values["people"] = [*dict.fromkeys(name for name, _ in talk)]
        slots = dice.sample(tuple(values), dice.between(1, 4))
        slots.insert(dice.between(0, len(slots)), "tasks")
    else:
        values |= jobs[0]
        slots = dice.sample(tuple(values), dice.between(2, 5))
    inner = dice.sample(INNER, dice.between(2, 3)) if tree else []

    def skeleton(keys: Any) -> dict[str, Any]:
        shapes: dict[str, Any] = {"people": [1], "tasks": [{keys[s]: 1 for s in inner}]}
        return {keys[slot]: shapes.get(slot, 1) for slot in slots}

    keys = owned_keys(context, {slot: SLOTS[slot] for slot in (*slots, *inner)}, skeleton)
    values["tasks"] = [{keys[slot]: job[slot] for slot in inner} for job in jobs]
    value = ordered(context, {slot: keys[slot] for slot in slots}, _scalars(context, values))
    line = context.one_of(LINE)
    source = "\n".join(context.say(line, name=name, text=text) for name, text in talk)
    ask = speak(context, ASK, keys=named(context, value))
    fields = ", ".join(keys[slot] for slot in inner)
    told = [context.say(MEANING[slot], key=keys[slot], fields=fields) for slot in slots]
    schema = ",".join(sorted(keys))
    shape: Any = "tree" if tree else "record"
    ask = joined([ask, *told])
    return Draft("conversation_summary", shape, schema, value, ask, source, free=True)


def _scalars(context: Context, values: dict[str, Any]) -> dict[str, Any]:
    return {
        slot: value if isinstance(value, list) else scalar(context, value)
        for slot, value in values.items()
    }


def _phrase(context: Context, wording: Wording) -> str:
    split, dice = context.split, context.dice
    return context.say(
        wording,
        item=dice.choice([item for item in pools.ITEM[split] if not item.endswith("s")]),
        quality=dice.choice(pools.QUALITY[split]),
        place=dice.choice(pools.PLACE[split]),
        brand=dice.choice(pools.BRAND[split]),
        city=dice.choice(pools.CITY[split]),
    )
