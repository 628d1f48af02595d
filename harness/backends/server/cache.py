"""Answers that a server has given, by what was asked, in one file for all runs.

cache = RequestCache()
cache.put("9f2c...", Completion(example_id="eval-0", text="{}"))
cache.get("9f2c...")     Completion(example_id="eval-0", text="{}")   also in the next process

The file is `requests/answers.sqlite` in the cache folder. An answer is in it, and outlives a kill
of the process, before it is judged; several processes may use it at once.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from pathlib import Path

import msgspec

from fmtharness.harness.files import cache_folder
from fmtharness.harness.progress import say
from fmtharness.harness.records import Completion, decode, encode

_ANSWER = msgspec.json.Decoder(Completion)
_WAYS_OUT = defaultdict(
    lambda: "check its folder, its permissions and the space on its disk",
    {
        sqlite3.SQLITE_BUSY: "another process is writing to it, so start again later",
        sqlite3.SQLITE_LOCKED: "another process is writing to it, so start again later",
        sqlite3.SQLITE_CORRUPT: "remove the file",
        sqlite3.SQLITE_NOTADB: "remove the file",
        sqlite3.SQLITE_ERROR: "remove the file",
    },
)
"""By SQLite's primary code; an error without a table of ours is an SQLITE_ERROR."""


class RequestCache:
    """The open file. One that cannot be used costs a line on standard error and nothing else."""

    def __init__(self) -> None:
        self.path: Path = cache_folder() / "requests" / "answers.sqlite"
        self.known = 0
        self.file: sqlite3.Connection | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # The event loop's thread uses it, and the caller's closes it when that has ended.
            self.file = sqlite3.connect(
                self.path, timeout=30, isolation_level=None, check_same_thread=False
            )
            self.file.execute("PRAGMA journal_mode = WAL")
            self.file.execute("PRAGMA synchronous = NORMAL")
            self.file.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer BLOB) "
                "WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def get(self, key: str) -> Completion | None:
        """What was answered; None if it was not asked."""
        if self.file is None:
            return None
        try:
            row = self.file.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        try:
            found = decode(_ANSWER, row[0]) if row else None
        except (ValueError, TypeError):  # of another version of fmtharness, or damaged
            return None
        self.known += found is not None
        return found

    def put(self, key: str, answer: Completion) -> None:
        """Keep an answer."""
        if self.file is None:
            return
        try:
            values = key, encode(answer)
            self.file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", values)
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file and say how many answers it knew."""
        if self.file is not None:
            self.file.close()
            self.file = None
        if self.known:
            say(f"requests: {self.known:,} answers were known ({self.path})")

    def _give_up(self, error: Exception) -> None:
        why = error.strerror if isinstance(error, OSError) else error
        kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CANTOPEN) & 0xFF
        say(f"{self.path}: cannot be used ({why}), so answers are not kept; {_WAYS_OUT[kind]}")
        if self.file is not None:
            self.file.close()
        self.file = None
