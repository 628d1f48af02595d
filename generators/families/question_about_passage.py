"""question_about_passage: a passage and a question; the answer may bring its evidence.

    The bakery belongs to Ada Lopez. It opened in 1998. ... Who owns it? Keys: answer, proof.
        ->  {"answer": "Ada Lopez", "proof": "The bakery in Lyon belongs to Ada Lopez."}

Every fact of a passage has a sentence of its own, so the evidence is one sentence. A question may
also be a yes-or-no question, ask about what is not told (null), or count the sentences.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fmtharness.generators.asking import joined, named, ordered, owned_keys, prose, scalar, speak
from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.ownership import divide
from fmtharness.generators.values import draw, surface

SUBJECTS = divide("""
    bakery museum ferry orchestra library lighthouse brewery cinema school windmill hospital zoo
    choir theatre observatory aquarium hostel garage newspaper bookshop shipyard vineyard dairy
    laundry circus archive airport monastery sawmill pharmacy campsite pottery bathhouse tram
    printworks workshop kindergarten greenhouse quarry barbershop tearoom harbour railway stadium
""")
KINDS = {
    "owner": "person",
    "year": "year",
    "city": "city",
    "sponsor": "company",
    "staff": "count",
    "speciality": "product",
    "hour": "time",
    "email": "email",
    "visitor": "person",
    "cost": "amount",
    "damage": "place",
    "plan": "topic",
}
FACTS: dict[str, Wording] = {
    "owner": {
        "train": (
            "The {subject} belongs to {value}.",
            "{value} has run the {subject} for as long as anyone remembers.",
            "Its owner, {value}, lives two streets away.",
            "If something breaks, {value} pays, being the owner.",
        ),
        "dev": ("The {subject} is the property of {value}.", "It is owned by {value}."),
        "eval": ("{value} bought the {subject} from an aunt.", "The owner's name is {value}."),
    },
    "year": {
        "train": (
            "It was founded in {value}.",
            "The doors first opened in {value}, during a thunderstorm.",
            "A stone above the entrance gives {value} as the year it was built.",
        ),
        "dev": ("Everything began in {value}.", "Its history goes back to the year {value}."),
        "eval": ("It came into being in {value}.", "The foundation stone was laid in {value}."),
    },
    "city": {
        "train": (
            "You find it in {value}, near the old gate.",
            "People in {value} are proud of it.",
            "It stands in {value}.",
        ),
        "dev": ("{value} is the town it is in.", "Its home is {value}."),
        "eval": ("In {value} everybody knows the place.", "Its address is in {value}."),
    },
    "sponsor": {
        "train": (
            "Without money from {value} it would have closed long ago.",
            "{value} sponsors it.",
            "A large part of the bills is paid by {value}.",
        ),
        "dev": ("The sponsor is {value}.", "{value} gives money for it every spring."),
        "eval": ("Its expenses are met by {value}.", "{value} supports it with a yearly gift."),
    },
    "staff": {
        "train": (
            "The team has {value} people.",
            "In all {value} people work there, some of them at night.",
            "There are {value} names on the payroll.",
        ),
        "dev": ("It employs {value} people.", "Its staff numbers {value}."),
        "eval": ("A staff of {value} keeps it going.", "For {value} people it is their job."),
    },
    "speciality": {
        "train": (
            "What everyone photographs is the {value}.",
            "It is famous for its {value}.",
            "Children come for the {value}, whatever their parents say.",
        ),
        "dev": ("The main attraction is a {value}.", "Most guests ask for the {value}."),
        "eval": ("Its pride is the {value}.", "A {value} in the hall is its best-known sight."),
    },
    "hour": {
        "train": (
            "In the morning nothing moves before {value}.",
            "It opens at {value}, except on holidays.",
            "A bell rings at {value} and the first guests walk in.",
        ),
        "dev": ("Opening time is {value}.", "One can get in from {value} on."),
        "eval": ("The gate is unlocked at {value}.", "Visitors are let in at {value}."),
    },
    "email": {
        "train": (
            "Questions go to {value}.",
            "Write to {value} if you want a tour.",
            "The office answers mail at {value}.",
        ),
        "dev": ("Its mailbox is {value}.", "Groups should announce themselves at {value}."),
        "eval": ("Complaints are read at {value}.", "For bookings there is {value}."),
    },
    "visitor": {
        "train": (
            "Last winter {value} came by and left a drawing.",
            "The most loyal guest is {value}.",
            "{value} visits every Tuesday and always sits by the window.",
        ),
        "dev": ("A regular guest is {value}.", "Once {value} stayed for a whole day."),
        "eval": ("Its best friend among the guests is {value}.", "{value} drops in each week."),
    },
    "cost": {
        "train": (
            "The new roof cost {value} dollars.",
            "Repairs swallowed {value} dollars this year.",
            "For the paint alone {value} dollars were spent.",
        ),
        "dev": ("The last repair came to {value} dollars.", "{value} dollars went into it."),
        "eval": ("Restoring it took {value} dollars.", "A bill of {value} dollars was paid."),
    },
    "damage": {
        "train": (
            "Rain has damaged the {value}.",
            "After the storm the {value} had to be closed.",
            "Nobody may enter the {value} at present, because the floor is rotten.",
        ),
        "dev": ("The {value} is in bad shape.", "Builders are at work in the {value}."),
        "eval": ("A fire left marks on the {value}.", "The {value} needs mending."),
    },
    "plan": {
        "train": (
            "Next year a course in {value} is going to start.",
            "They hope to offer {value} soon.",
            "Plans for evenings on {value} lie in a drawer.",
        ),
        "dev": ("There is talk of lessons in {value}.", "They dream of a festival of {value}."),
        "eval": ("In the future {value} will be taught there.", "A week of {value} is planned."),
    },
}
QUESTIONS: dict[str, Wording] = {
    "owner": {
        "train": ("Who owns the {subject}?", "Whose {subject} is it?", "Who is the owner?"),
        "dev": ("To whom does it belong?",),
        "eval": ("What is the owner called?", "Who possesses the {subject}?"),
    },
    "year": {
        "train": ("When did it start?", "In which year was the {subject} founded?"),
        "dev": ("Since when has it existed?",),
        "eval": ("From what year is the {subject}?",),
    },
    "city": {
        "train": ("Where is the {subject}?", "Which city is it in?"),
        "dev": ("What town must I travel to?",),
        "eval": ("Name the place where the {subject} is.",),
    },
    "sponsor": {
        "train": ("Which company pays for it?", "Who is the sponsor?"),
        "dev": ("What firm supports it?",),
        "eval": ("Where does its money come from?",),
    },
    "staff": {
        "train": ("How many people work there?", "How big is the team?"),
        "dev": ("How large is its staff?",),
        "eval": ("What number of people does it employ?",),
    },
    "speciality": {
        "train": ("What is the {subject} known for?", "What do people come to see?"),
        "dev": ("What is its attraction?",),
        "eval": ("Which object is its pride?",),
    },
    "hour": {
        "train": ("At what time does it open?", "When can I get in?"),
        "dev": ("How early may one come?",),
        "eval": ("What are the first minutes that visitors are welcome?",),
    },
    "email": {
        "train": ("Where can I write to?", "Which email address is given?"),
        "dev": ("What is its mailbox?",),
        "eval": ("To which address should mail be sent?",),
    },
    "visitor": {
        "train": ("Which guest is mentioned?", "Who comes as a visitor?"),
        "dev": ("What guest is named?",),
        "eval": ("Who drops by?",),
    },
    "cost": {
        "train": ("How many dollars were spent?", "What did the work cost, in dollars?"),
        "dev": ("How much was paid, as a number?",),
        "eval": ("What sum in dollars is mentioned?",),
    },
    "damage": {
        "train": ("Which part is damaged?", "What needs repair?"),
        "dev": ("What part of it is in trouble?",),
        "eval": ("Where would a builder have to go?",),
    },
    "plan": {
        "train": ("What subject is planned?", "Which topic do they want to add?"),
        "dev": ("What might be taught there?",),
        "eval": ("Which field is it going to offer?",),
    },
}
IS_IT: Wording = {
    "train": (
        '{question} I say "{guess}". Is this right?',
        "{question} Is it {guess}? Answer true or false.",
        "Somebody claims: {guess}. The question was: {question} True?",
    ),
    "dev": ('{question} Would "{guess}" be correct?', "{question} A guess: {guess}. Correct?"),
    "eval": ('{question} My friend answers "{guess}". Yes or no?', "{question} {guess}, or not?"),
}
ASK: Wording = {
    "train": (
        "{question} Keys: {keys}.",
        "Read the text and answer: {question} Give {keys}.",
        "{question}\nReply with {keys}.",
        "I only skimmed this, sorry. {question} I'd like {keys} back.",
        "quick question on the text: {question} fields {keys}",
        "Comprehension exercise. {question} Fill in {keys}.",
        "{question} (see text) -> {keys}",
        "Answer from the passage alone, not from what you know: {question} Use {keys}.",
        "Question: {question}\nFields of the answer: {keys}",
        "Would you be so kind as to look something up? {question} The keys should be {keys}.",
        "QA item. Context below. Q: {question} Required: {keys}",
        "{keys}, please, for this: {question}",
        "My daughter has to answer this for school and we disagree. {question} Settle it with "
        "{keys}.",
        "JUST TELL ME. {question} {keys}!",
        "Find the sentence that matters. {question} Then write {keys}.",
        "Given the text, {question} Markdown would be all right with me, but the program wants "
        "{keys} and nothing else.",
        "{question} Consult the passage and return the fields {keys}.",
    ),
    "dev": (
        "{question} What I want is {keys}.",
        "Look at the passage: {question} State {keys}.",
        "i have to know this: {question} write {keys}",
        "According to the text, {question} Report it as {keys}.",
        "Reading test! {question} Complete {keys}.",
    ),
    "eval": (
        "{question} Respond by means of {keys}.",
        "Please study what is written and tell me: {question} ({keys})",
        "{question} My form has the boxes {keys}.",
        "Based on the passage below, {question} Supply {keys}.",
        "so {question} put it in {keys} thx",
        "An examiner asks: {question} You hand in {keys}.",
    ),
}
MEANING: dict[str, Wording] = {
    "evidence": {
        "train": (
            "{key} quotes the sentence that proves it.",
            "{key} is that sentence, word for word.",
        ),
        "dev": ("In {key} stands the whole sentence it is taken from.",),
        "eval": ("{key} cites the sentence it rests on, unchanged.",),
    },
    "position": {
        "train": ("{key} is the number of that sentence, from 1.",),
        "dev": ("{key}: which sentence it is, the first being 1.",),
        "eval": ("{key} counts where the sentence stands; start with 1.",),
    },
    "sentences": {
        "train": ("{key} is how many sentences the text has.",),
        "dev": ("{key} gives the length of the text in sentences.",),
        "eval": ("{key} tells how many sentences there are in all.",),
    },
    "found": {
        "train": ("{key} is true if the text has the answer, else false and the rest null.",),
        "dev": ("{key} says whether it is told at all; if not, leave null elsewhere.",),
        "eval": ("{key} is false and all else null where the passage does not say it.",),
    },
}
SLOTS = {
    "answer": ("answer", "result", "reply", "response", "solution", "value", "short answer", "it"),
    "verdict": ("correct", "verdict", "right", "yes", "true or false", "holds", "is it so"),
    "evidence": ("evidence", "quote", "proof", "source sentence", "support", "cited", "basis"),
    "position": ("position", "sentence number", "line", "index", "where", "found in sentence"),
    "sentences": ("sentences", "length", "sentence count", "out of", "text length"),
    "found": ("found", "answerable", "known", "in text", "told", "given"),
}


class _Fact(NamedTuple):
    slot: str
    value: Any
    sentence: str


def make(context: Context) -> Draft:
    """A passage of 3 to 10 sentences, and one question about one of them."""
    dice = context.dice
    subject = dice.choice(SUBJECTS[context.split])
    size = dice.between(3, dice.choice((4, 6, 8, 10)))
    slots = dice.sample(tuple(FACTS), size + 1)
    untold, facts = slots[0], [_fact(context, slot, subject) for slot in slots[1:]]
    facts[0] = _introduced(facts[0], subject)
    asked = dice.choice(facts)
    missing = context.abilities.nulls and dice.chance(0.2)
    question = context.say(QUESTIONS[untold if missing else asked.slot], subject=subject)
    wanted: dict[str, Any] = {
        "answer": asked.value,
        "evidence": asked.sentence,
        "position": facts.index(asked) + 1,
        "sentences": len(facts),
    }
    if missing:
        wanted = {"found": False, "answer": None, "evidence": None}
    elif dice.chance(0.3):
        other = draw(KINDS[asked.slot], context.split, dice)
        guess = asked.value if dice.chance(0.5) else other
        question = context.say(IS_IT, question=question, guess=surface(guess))
        wanted["verdict"] = guess == asked.value
        if dice.chance(0.5):
            del wanted["answer"]
    elif context.abilities.nulls and dice.chance(0.2):
        wanted["found"] = True
    first = next(slot for slot in ("found", "verdict", "answer") if slot in wanted)
    others = [slot for slot in wanted if slot != first]
    picked = {first, *dice.sample(others, dice.between(1, min(3, len(others))))}
    if first == "found":
        picked.add("answer")
    keys = owned_keys(context, {slot: SLOTS[slot] for slot in wanted if slot in picked})
    value = ordered(context, keys, {slot: scalar(context, wanted[slot]) for slot in keys})
    ask = speak(context, ASK, question=question, keys=named(context, value))
    meant = [context.say(MEANING[slot], key=keys[slot]) for slot in keys if slot in MEANING]
    dice.shuffle(meant)
    passage = prose(context, [fact.sentence for fact in facts])
    return Draft(
        "question_about_passage",
        "record",
        ",".join(sorted(keys)),
        value,
        joined([ask, *meant]),
        passage,
        free=True,
    )


def _fact(context: Context, slot: str, subject: str) -> _Fact:
    value = draw(KINDS[slot], context.split, context.dice)
    sentence = context.say(FACTS[slot], subject=subject, value=surface(value))
    return _Fact(slot, value, sentence)


def _introduced(fact: _Fact, subject: str) -> _Fact:
    """The first sentence names what the passage is about."""
    if subject in fact.sentence:
        return fact
    sentence = fact.sentence[0].lower() + fact.sentence[1:]
    value = surface(fact.value)
    article = "an" if subject[0] in "aeiou" else "a"
    if fact.sentence.startswith((value, "In ", "If ")) and not fact.sentence.startswith("In the"):
        sentence = fact.sentence
    return _Fact(fact.slot, fact.value, f"This is about {article} {subject}: {sentence}")
