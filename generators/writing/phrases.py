"""Short texts by what they are for: a greeting, an ingredient, a trait, a definition, a tag.

`lines` puts them beside the sentences in `LINES`.
"""

from __future__ import annotations

GREETING = (
    "Dear {first},",
    "Hello {first}, dear {role+} of {city},",
    "Good morning, {mood} {role+}!",
    "To the {role} of the {place}",
    "Hi {first}, hi {first},",
    "Dear {role+} and friends of {activity},",
)
CLOSING = (
    "Yours {adverb}, {first}",
    "See you at the {place}! {first} {last}",
    "With {adj} greetings from {city}, {first}",
    "Your {mood} {role}, {first} {last}",
    "Until the next {event}, {first}",
    "Thank you, and {verb} well. {first}",
)
TRAIT = (
    "{adj}",
    "{adj} but {mood}",
    "always {mood} in {weather}",
    "good at {activity}",
    "talks to {animal+}",
    "can {verb} {thing+} {adverb}",
    "afraid of {animal+}",
    "never {verb>} the {thing}",
    "loves {food}",
)
INGREDIENT = (
    "{few} {food+}",
    "{dozens} g of {food}",
    "a pinch of {food}",
    "{few} cups of {adj} {food}",
    "{adj} {food}, sliced",
    "a spoonful of {food} (or {food})",
    "some {food}",
)
ITEM = (
    "{adj} {thing}",
    "{material} {thing}",
    "{few} {thing+}",
    "a {bag|box|bundle} of {food+}",
    "{thing} and {thing}",
    "{adj} {thing} for the {place}",
    "spare {thing}",
)
OPTION = ("a(n) {thing}", "{food}", "{animal+}", "the {place}", "{activity}", "{adj} {material}")
DEFINITION = (
    "A(n) {adj} {thing} that helps a(n) {role} to {verb} {food+}.",
    "What happens when {material} meets {weather}.",
    "A way to {verb} {thing+}, mostly in {country}.",
    "Anything {adj} enough for a(n) {place}, such as a(n) {thing} or a(n) {thing}.",
    "The moment when a(n) {mood} {animal} becomes {mood}.",
)
LEVEL = (
    "{verb>} the {thing} {adverb} and explains why",
    "knows the {thing}, but forgets to {verb} it",
    "clear, {adj}, hardly a mistake",
    "needs help to {verb} the {thing}",
    "{adj} work with some {adj} spots",
    "did not {verb} the {thing} at all",
)
TAG = ("{activity}", "{adj}", "{material}", "{weather}", "{food}", "{thing+}", "{event}")
