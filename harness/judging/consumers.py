"""Real readers of a format, each in a process of its own that its driver keeps.

    with Reader(consumer, seconds=10) as reader:
        reader.version       -> "20.20.2"
        reader.read("{}")    -> Answer("accepted", dump=b"{}")
        reader.read("{,}")   -> Answer("refused", said="Expected property name ...")

A reader that dies or takes too long is `crashed` on that text, and started again for the next.
The protocol is described in docs/design/consumers.md; what a driver says is not trusted.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from fmtharness.harness.files import cache_folder, digest, held_folder
from fmtharness.harness.formats import Consumer
from fmtharness.harness.progress import say
from fmtharness.harness.text import one_line

START_SECONDS: Final = 60.0
"""How long a driver may take to start; Java compiles first."""
BUILD_SECONDS: Final = 300.0
MOST_CRASHES: Final = 50
"""After this many crashes a reader is not asked again."""
LONGEST_ANSWER: Final = 200_000_000
State = Literal["accepted", "refused", "crashed"]


class NotInstalledError(Exception):
    """A reader is not installed; the text says why."""


class Answer(NamedTuple):
    """What a reader said of a text: the value's dump (`?` if unknown), or why it was refused."""

    state: State
    dump: bytes = b"?"
    said: str = ""


NOT_UTF8: Final = Answer("refused", said="a lone surrogate has no bytes in UTF-8")


class Reader:
    """A consumer's process. Raises NotInstalledError if it cannot be started."""

    def __init__(self, consumer: Consumer, seconds: float) -> None:
        self.consumer, self.seconds = consumer, seconds
        self.command, self.folder = ready(consumer)
        self.crashes = 0
        self.busy_since: float | None = None
        self.limit = START_SECONDS
        self.late = False
        self.process: subprocess.Popen[bytes] | None = None
        self.ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            self.version = self._start()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process."""
        self.ended.set()
        self._kill()

    def read(self, text: str) -> Answer:
        """What the reader says of the text, or of each of its lines."""
        try:
            data = text.encode()
        except UnicodeEncodeError:
            return NOT_UTF8
        if not self.consumer.by_line:
            return self._ask(data)
        dumps = []
        for line in data.removesuffix(b"\n").split(b"\n"):
            answer = self._ask(line)
            if answer.state != "accepted":
                return answer
            dumps.append(answer.dump)
        return Answer("accepted", b"?" if b"?" in dumps else b"[" + b"".join(dumps) + b"]")

    def _ask(self, data: bytes) -> Answer:
        if self.crashes >= MOST_CRASHES:
            return Answer("crashed", said=f"it crashed {self.crashes} times, and is not asked")
        try:
            if self.process is None:
                self._start()
            found = self._exchange(b"%d\n%s" % (len(data), data), self.seconds)
            if found[:1] == b"+":
                return Answer("accepted", found[1:])
            if found[:1] == b"-":
                return Answer("refused", said=_text(found[1:]))
            raise OSError("its driver broke the protocol")
        except (OSError, ValueError, NotInstalledError) as error:
            code = self._kill()
            self.crashes += 1
            said = f"it took longer than {self.seconds:g} s" if self.late else str(error)
            ended = f" (exit status {code})" if code and not self.late else ""
            return Answer("crashed", said=said + ended)

    def _start(self) -> str:
        """Start the process, and return its reader's version."""
        try:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            found = self._exchange(b"", START_SECONDS)
        except (OSError, ValueError) as error:
            self._kill()
            raise NotInstalledError("its driver does not start") from error
        if found[:1] != b"=":
            self._kill()
            raise NotInstalledError(one_line(_text(found[1:])))
        return one_line(_text(found[1:]), 40)

    def _exchange(self, request: bytes, seconds: float) -> bytes:
        """Send a request, if there is one, and return the answer. Raises OSError or ValueError."""
        process = self.process
        assert process and process.stdin and process.stdout
        self.limit, self.late = seconds, False
        self.busy_since = time.monotonic()
        try:
            if request:
                process.stdin.write(request)
                process.stdin.flush()
            size = int(process.stdout.readline(24) or b"-1")
            if size < 0:
                raise OSError("it ended")
            if size > LONGEST_ANSWER:
                raise OSError("its answer is too long")
            found = process.stdout.read(size)
            if len(found) < size or not found:
                raise OSError("it ended")
            return found
        finally:
            self.busy_since = None

    def _watch(self) -> None:
        """End the process when it takes too long; a text costs no timer."""
        while not self.ended.wait(min(self.seconds / 4, 0.5)):
            since = self.busy_since
            if since is not None and time.monotonic() - since > self.limit and self.process:
                self.late = True
                self.process.kill()

    def _kill(self) -> int | None:
        process, self.process = self.process, None
        if process is None:
            return None
        with suppress(subprocess.TimeoutExpired):  # one that has died tells its own exit status
            process.wait(0.05)
        process.kill()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                if stream:
                    stream.close()
        return process.wait()


def ready(consumer: Consumer) -> tuple[list[str], Path]:
    """The command that starts the consumer's driver, built if it must be, and where it runs.

    Raises NotInstalledError if something is not installed.
    """
    driver = consumer.driver
    if not consumer.build:
        _found(consumer.command[0])
        named = {"driver": str(driver)}
        return _filled(consumer.command, named), driver.parent
    _found(next(each for each in consumer.build if each != "env" and "=" not in each))
    folder = _built(consumer)
    named = {"driver": str(folder / driver.name), "program": str(folder / "program")}
    return _filled(consumer.command, named), folder


def _found(program: str) -> None:
    if shutil.which(program) is None:
        raise NotInstalledError(f"there is no {program}")


def _filled(command: tuple[str, ...], named: Mapping[str, str]) -> list[str]:
    """Fill in only our own two names; other braces stay."""
    found = []
    for part in command:
        for name, value in named.items():
            part = part.replace(f"{{{name}}}", value)
        found.append(part)
    return found


def _built(consumer: Consumer) -> Path:
    """The folder with what the compiler made, kept in the cache.

    Raises NotInstalledError if the compiler fails.
    """
    driver = consumer.driver
    files = sorted(each for each in driver.rglob("*") if each.is_file()) or [driver]
    sources = {each.relative_to(driver.parent).as_posix(): each.read_text() for each in files}
    folder = cache_folder() / "consumers"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not _ours(folder):
        raise NotInstalledError(f"others may write to {folder}, where it is built")
    target = folder / digest([consumer.build, sources])
    if target.is_dir():
        return target
    say(f"note: {consumer.name} is built once, which takes some seconds")
    with held_folder(folder, "build") as held:
        temporary = held / "made"
        temporary.mkdir()
        copied = temporary / driver.name
        if driver.is_dir():
            shutil.copytree(driver, copied)
        else:
            shutil.copyfile(driver, copied)
        named = {"driver": str(copied), "program": str(temporary / "program")}
        command = _filled(consumer.build, named)
        try:
            done = subprocess.run(
                command,
                cwd=temporary,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=BUILD_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotInstalledError(one_line(f"its driver cannot be built: {error}")) from error
        if done.returncode:
            lines = [line for line in _text(done.stderr).splitlines() if line.strip()]
            said = next((line for line in lines if "error" in line), "".join(lines[:1]))
            raise NotInstalledError(one_line(f"its driver cannot be built: {said}"))
        with suppress(OSError):  # another process was faster
            temporary.rename(target)
    return target


def _ours(path: Path) -> bool:
    """Whether nobody else can have written what is to be run."""
    found = path.stat()
    own: Any = getattr(os, "getuid", lambda: found.st_uid)
    return bool(found.st_uid == own()) and not found.st_mode & stat.S_IWOTH


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
