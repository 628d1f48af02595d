"""Draws schemas: which fields a record has, in which order and key style, owned by one split.

    draw_schema("train", dice, 3, 4, STYLES)
        ->  Schema("order", (Field("unit price", "price", "unit_price"), ...))
    .id ->  "city,customer,unit price"        the same for any order and key style

The fields of a schema come from one domain, so that they make sense together. There are some
thousand schemas, each owned by the split that its id hashes to.
"""

from __future__ import annotations

from dataclasses import dataclass

from fmtharness.generators.dice import Dice
from fmtharness.generators.ownership import owner
from fmtharness.harness.contracts import Split

DOMAINS: dict[str, dict[str, str]] = {
    "order": {
        "order id": "code",
        "customer": "person",
        "product": "product",
        "quantity": "count",
        "unit price": "price",
        "order date": "date",
        "ship to": "city",
        "paid": "flag",
        "order status": "state",
        "gift note": "note",
    },
    "contact": {
        "name": "person",
        "email": "email",
        "phone": "phone",
        "company": "company",
        "city": "city",
        "country": "country",
        "age": "count",
        "newsletter": "flag",
        "street": "address",
    },
    "event": {
        "title": "topic",
        "venue": "place",
        "host": "person",
        "start date": "date",
        "start time": "time",
        "seats": "amount",
        "ticket price": "price",
        "sold out": "flag",
        "sponsor": "company",
    },
    "product": {
        "sku": "code",
        "item": "product",
        "maker": "company",
        "price": "price",
        "stock": "amount",
        "rating": "rating",
        "origin": "country",
        "in stock": "flag",
        "shelf": "place",
    },
    "ticket": {
        "ticket id": "code",
        "reporter": "person",
        "assignee": "person",
        "opened on": "date",
        "ticket status": "state",
        "priority": "count",
        "department": "topic",
        "urgent": "flag",
        "summary": "note",
    },
    "invoice": {
        "invoice number": "code",
        "client": "company",
        "total": "price",
        "tax": "price",
        "due date": "date",
        "settled": "flag",
        "billing email": "email",
        "items billed": "count",
    },
    "employee": {
        "employee": "person",
        "badge": "code",
        "team": "topic",
        "office": "city",
        "salary": "amount",
        "hired on": "date",
        "manager": "person",
        "remote": "flag",
        "extension": "phone",
    },
    "shipment": {
        "tracking code": "code",
        "sender": "company",
        "recipient": "person",
        "destination": "city",
        "weight": "price",
        "parcels": "count",
        "fragile": "flag",
        "pickup time": "time",
        "delivery note": "note",
    },
    "booking": {
        "guest": "person",
        "room": "code",
        "check in": "date",
        "nights": "count",
        "rate": "price",
        "breakfast": "flag",
        "arrival": "time",
        "contact email": "email",
        "home town": "city",
    },
    "device": {
        "device": "product",
        "serial": "code",
        "vendor": "company",
        "firmware": "version",
        "location": "place",
        "online": "flag",
        "battery": "count",
        "voltage": "price",
        "last seen": "date",
    },
    "course": {
        "course": "topic",
        "teacher": "person",
        "course code": "code",
        "hours": "count",
        "fee": "price",
        "campus": "city",
        "certificate": "flag",
        "first lesson": "date",
        "students": "amount",
    },
    "book": {
        "author": "person",
        "subject": "topic",
        "publisher": "company",
        "published": "year",
        "pages": "amount",
        "score": "rating",
        "edition": "count",
        "lent out": "flag",
        "call number": "code",
    },
}

STYLES = {"snake": 5.0, "camel": 2.5, "title": 1.5, "spaced": 1.0}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its words, the kind of its values, and its key in the output."""

    label: str
    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of one record, in the order asked for."""

    domain: str
    fields: tuple[Field, ...]

    @property
    def id(self) -> str:
        return ",".join(sorted(field.label for field in self.fields))

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(field.key for field in self.fields)


def styled(label: str, style: str) -> str:
    """The key for a label: unit_price, unitPrice, Unit Price or unit price."""
    words = label.split()
    if style == "snake":
        return "_".join(words)
    if style == "camel":
        return words[0] + "".join(word.capitalize() for word in words[1:])
    return " ".join(word.capitalize() for word in words) if style == "title" else label


def draw_schema(split: Split, dice: Dice, low: int, high: int, style: str) -> Schema:
    """A schema of this split with low to high fields."""
    while True:
        domain = dice.choice(tuple(DOMAINS))
        pool = tuple(DOMAINS[domain].items())
        size = dice.between(low, high)
        if size >= len(pool):
            continue
        fields = tuple(
            Field(label, kind, styled(label, style)) for label, kind in dice.sample(pool, size)
        )
        schema = Schema(domain, fields)
        if owner(schema.id) == split:
            return schema
