"""llama.cpp's server: built once from its source on PyPI into the user's cache, and started.

    python -m fmtharness.harness.backends.llama_server
        /home/ada/.cache/fmtharness/servers/llama-server-0.3.36-8c1f02ab
    with serving(Path("SmolLM2-135M-Instruct.Q4_1.gguf"), slots=8) as url: ...
        url is "http://127.0.0.1:40513"; the server answers until the block ends

The build needs cmake and a C++ compiler, and is for the CPU that it runs on.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fmtharness.harness.errors import HarnessError, ModelError, UserError
from fmtharness.harness.files import cache_folder, held_folder, sweep
from fmtharness.harness.progress import PLAIN_SECONDS, say

VERSION = "0.3.36"
PACKAGE = f"llama-cpp-python=={VERSION}"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
SOURCE = "vendor/llama.cpp/"
"""Where llama.cpp lies in the package."""
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "OFF",
    "GGML_NATIVE": "ON",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_CURL": "OFF",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
}
"""The last one would fetch a web page from a hub; OpenSSL is for HTTPS alone."""
COMPILERS = ("c++", "g++", "clang++")
STEP = re.compile(r"\[ *\d+(%|/\d+)\]")
"""The progress of a build, as Make and Ninja print it: `[ 12%]` and `[24/201]`."""
START_SECONDS = 300.0
"""How long a server may take to load its model."""
STOP_SECONDS = 5.0
MOST_OF_A_REASON = 200
NOT_BUILT = (
    "llama-server is not built: run make servers in a checkout, or "
    "python -m fmtharness.harness.backends.llama_server"
)
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs on this machine, without the proxy that the user's environment may name."""


def binary() -> Path | None:
    """The server in the cache; None if it is not built, or if other users may have changed it."""
    path = _place()
    try:
        found = path.lstat()
    except OSError:
        return None
    changeable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    own = found.st_uid == os.getuid() if hasattr(os, "getuid") else True
    return path if stat.S_ISREG(found.st_mode) and own and not changeable else None


def build() -> Path:
    """The server in the cache, built if it is not there: a quarter of an hour on two cores.

    Raises UserError if a tool is missing, or if the download or the build fails.
    """
    if (built := binary()) is not None:
        return built
    _needs_tools()
    target = _place()
    log = target.with_name("build.log")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(target.parent)
        with held_folder(target.parent, target.name) as temporary:
            source = _unpacked(_downloaded(temporary), temporary)
            made = temporary / "build"
            defined = [f"-D{key}={value}" for key, value in OPTIONS.items()]
            command = ["cmake", "-S", str(source), "-B", str(made), *defined]
            _logged("configuring with cmake", command, log, "w")
            jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count() or 1)
            command = ["cmake", "--build", str(made), "--config", "Release", "--parallel", jobs]
            _logged("building with cmake", [*command, "--target", "llama-server"], log, "a")
            server = made / "bin" / "llama-server"
            server.chmod(0o700)
            server.replace(target)
    except OSError as error:
        raise UserError(
            f"llama-server cannot be built in {target.parent} ({error.strerror or error}); "
            f"FMTHARNESS_CACHE names another folder"
        ) from error
    return target


@contextmanager
def serving(
    gguf: Path,
    *,
    slots: int = 4,
    context: int = 2048,
    threads: int | None = None,
    arguments: Sequence[str] = (),
) -> Iterator[str]:
    """Serve a GGUF file on a free port of 127.0.0.1 until the block ends; yields the base URL.

    `slots` requests are decoded together, each in `context` tokens of its own; `threads` is the
    server's own choice where it is None. Raises UserError if the server is not built, and
    ModelError if it does not start.
    """
    if (server := binary()) is None:
        raise UserError(NOT_BUILT)
    port = _free_port()
    command = [str(server), "--model", str(gguf), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--parallel", str(slots), "--ctx-size", str(slots * context)]
    command += ["--threads", str(threads)] if threads else []
    # Variables of this name would be options, too.
    own = {key: value for key, value in os.environ.items() if not key.startswith("LLAMA_ARG_")}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--offline", "--no-ui", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=own,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            if not _is_healthy(url, process):
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines() or ["no word"]
                why = next((line for line in said if re.search(r"error|fail", line)), said[-1])
                raise ModelError(f"model {gguf}: llama-server does not serve it ({why.strip()})")
            yield url
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main() -> int:
    """Build the server if it is not built and print its path; returns the exit code."""
    try:
        sys.stdout.write(f"{build()}\n")
    except HarnessError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _place() -> Path:
    """The server's path for this CPU: machines of several kinds may share a home folder."""
    flags = b""
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        flags = next((x for x in cpuinfo.read_bytes().splitlines() if x.startswith(b"flags")), b"")
    cpu = hashlib.sha256(platform.machine().encode() + flags).hexdigest()[:8]
    return cache_folder() / "servers" / f"llama-server-{VERSION}-{cpu}"


def _needs_tools() -> None:
    if shutil.which("cmake") is None:
        raise UserError("llama-server needs cmake to be built, which is missing: pip install cmake")
    compilers = [chosen] if (chosen := os.environ.get("CXX")) else COMPILERS
    if not any(shutil.which(each.split()[0]) for each in compilers):
        raise UserError(
            f"llama-server needs a C++ compiler to be built, and there is no {compilers[0]} here: "
            f"install one, such as g++, or name it in CXX"
        )


def _downloaded(folder: Path) -> Path:
    """The package's archive; pip checks its hash before it runs anything in it."""
    say(f"llama-server: downloading the source of {PACKAGE} (77 MB)")
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n", encoding="ascii")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--no-binary", PACKAGE.partition("==")[0]]
    command += ["--dest", str(folder), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode or not archives:
        said = done.stderr.strip().splitlines() or ["pip downloaded no archive"]
        why = [line for line in said if line.lower().startswith("error: ")] or said
        raise UserError(
            f"llama-server: pip could not download {PACKAGE} ({why[-1][:MOST_OF_A_REASON]}); "
            f"check pip's index and the connection to it, and run it again"
        )
    return archives[0]


def _unpacked(archive: Path, folder: Path) -> Path:
    """Unpack llama.cpp's source, and nothing else from the archive; returns its folder."""
    with tarfile.open(archive) as packed:
        inside = [each for each in packed if each.name.partition("/")[2].startswith(SOURCE)]
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # new in Python 3.11.4
        packed.extractall(folder, inside)
    return next(folder.glob(f"*/{SOURCE}"))


def _logged(what: str, command: Sequence[str], log: Path, mode: str) -> None:
    """Run a command into the log, and report its progress every few seconds."""
    say(f"llama-server: {what}")
    said = time.monotonic()
    with (
        log.open(mode, encoding="utf-8") as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        for line in process.stdout or ():
            file.write(line)
            if (step := STEP.match(line)) and time.monotonic() - said > PLAIN_SECONDS:
                said = time.monotonic()
                say(f"llama-server: {step[0]} built")
    if process.returncode:
        raise UserError(f"llama-server: {what} failed with status {process.returncode}; see {log}")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _is_healthy(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the server has loaded its model; False if it ends, or takes too long."""
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < START_SECONDS:
        try:
            with _DIRECT.open(f"{url}/health", timeout=STOP_SECONDS):
                return process.poll() is None
        except (urllib.error.URLError, OSError):  # not listening yet, or still loading
            time.sleep(0.05)
    return False


if __name__ == "__main__":
    sys.exit(main())
