"""Sentences that name the topic; `Writer.one` takes one of them now and then.

writer.one(LINES["title"])  ->  "Everything about the folding ladder"
"""

from __future__ import annotations

TOPICAL: dict[str, tuple[str, ...]] = {
    "title": (
        "{bare topic} for beginners",
        "Everything about {the topic}",
        "Meet {the topic}!",
        "{Adj}, {adj}, ours: {the topic}",
        "{Topic}: the {adj} story",
    ),
    "sentence": (
        "{The topic} is more {adj} than a(n) {thing}, at least to a(n) {role}.",
        "Without {the topic}, {city} would be {adj} and a little sad.",
        "Have you ever thought about {topic}?",
        "{first} had known {the topic} since {month} and still found it {adj}.",
        "{Topic} is what the {place} had been waiting for.",
        "The best thing about {the topic} is the {thing}; the second best is the {food}.",
        "When people here talk about {the topic}, they soon get {mood}.",
        "Nothing in {country} compares with {the topic}: it's {adj}, it's {adj}, it's ours.",
        'A(n) {mood} {role} once said that {the topic} was "{adj}, but never dull".',
        "If you want to know what {the topic} means to us, ask the {role} by the {place}.",
        "We owe {the topic} to {first} {last}, a(n) {role} who loved {activity}.",
    ),
    "summary": (
        "{The topic}, told by a(n) {mood} {role}.",
        "Why {the topic} matters to {role+}, and how to make the most of it.",
        "A short text about {topic} and the {thing} that goes with it.",
        "This is about {topic}: where it comes from, what it needs, whom it makes {mood}.",
    ),
    "question": (
        "What makes {the topic} so {adj}?",
        "How would a(n) {role} describe {the topic}?",
        "What has {the topic} to do with {food}?",
        "Why do {role+} care about {the topic}?",
        "Would you swap {the topic} for a(n) {adj} {thing}?",
    ),
    "answer": (
        "{The topic} does, if you treat it {adverb}.",
        "Ask any {role}: it's the {thing} that makes {the topic} {adj}.",
        "Only {the topic} can do that.",
    ),
    "fact": (
        "{The topic} was named after a(n) {role} from {city}.",
        "Every year {dozens} {role+} write a song about {the topic}.",
        "{The topic} looks best in {weather}.",
        "Nobody in {country} knew of {topic} before the {event}.",
    ),
    "tip": (
        "Look at {the topic} from the {place} first.",
        "{The topic} likes it {adj}, so keep {material} at hand.",
        "With {the topic}, patience helps more than a(n) {thing}.",
    ),
    "pro": (
        "{The topic} makes every {event} {adj}.",
        "Nobody gets bored of {the topic}.",
        "{The topic} goes with any {place}.",
    ),
    "con": (
        "{The topic} can be {adj} on {weekday}s.",
        "{The topic} isn't for everyone, least of all for {animal+}.",
        "{The topic} takes a whole {event} to get used to.",
    ),
    "praise": (
        "{The topic}? I'd go for it again, {adverb}.",
        "I came for {the topic} and left with a(n) {thing}, {mood} as never before.",
        "{The topic} was {adj}, the {food} less so.",
    ),
    "line": (
        "O {bare topic}, how {adj} you are,",
        "and then {the topic}, {adj} and {adj},",
        "I'd give my {thing} for {the topic},",
    ),
    "remark": (
        "What do you think of {the topic}?",
        "{The topic}, again? We had that on {weekday}.",
        "I've never been so {mood} about {the topic}.",
    ),
    "slogan": (
        "{The topic}. Nothing else.",
        "{Bare topic}: you'll be {mood}!",
        "Try {the topic}, stay {adj}.",
    ),
    "quote": (
        '"{The topic} is the most {adj} thing I\'ve ever seen," says {first}.',
        '"I\'d trade my {thing} for {the topic} any day."',
    ),
    "reason": (
        "{The topic} asked for something {adj}",
        "because {the topic} needs a(n) {thing}",
    ),
    "note": (
        "For questions about {the topic}, see {first} in the {place}.",
        "{The topic}: photos follow after the {event}.",
    ),
    "greeting": (
        "Dear friends of {the topic}, dear {first},",
        "Hello to all who love {the topic},",
    ),
    "step": (
        "Take another look at {the topic} and {verb} what seems {adj}.",
        "Tell the {role} about {the topic}.",
    ),
    "definition": ("What {role+} say when they mean {topic}.",),
    "riddle": ("People see {the topic} and think of me; I'm {adj} and live in a(n) {place}.",),
    "goal": ("make {the topic} more {adj}", "show {the topic} to {dozens} {role+}"),
    "rule": ("Nobody laughs at {the topic}.", "Leave {the topic} as {adj} as you found it."),
    "warning": ("Don't leave {the topic} alone with a(n) {animal}!",),
}
