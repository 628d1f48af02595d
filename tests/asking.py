"""A server that answers as it is told, and backend `openai` that asks it: fixtures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fmtharness.harness.backends.openai import OpenAI
from fmtharness.harness.backends.server import client
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.records import Completion, Example
from fmtharness.harness.run.sources import in_order
from tests.fake_server import MODEL, FakeServer
from tests.fakes import example

KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder, no key, and no proxy between the client and the server."""
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which take no time but on the client's clock."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(client, "sleep", sleep)
    monkeypatch.setattr(client, "now", lambda: time.monotonic() + sum(found))
    return found


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as started:
        yield started


def backend(server: FakeServer, **options: Any) -> OpenAI:
    return OpenAI(base_url=server.url, model=MODEL, **options)


def ask(asked: OpenAI, *examples: Example) -> list[Completion]:
    wanted = examples or (example(),)
    return [*in_order(wanted, asked.complete(wanted, ModelOptions(), None))]


def ask_one(asked: OpenAI, of: Example | None = None) -> Completion:
    (found,) = ask(asked, of or example())
    return found
