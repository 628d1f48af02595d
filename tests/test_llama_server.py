"""llama.cpp's server: how it is built and started, with fakes of cmake and of the server.

What the server itself answers is tested where `make servers` has built it, else skipped.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.harness.backends import llama_server
from fmtharness.harness.backends.llama_server import binary, build, serving
from fmtharness.harness.config import load_config
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine.encoding import encode_prompt
from fmtharness.harness.engine.gguf import builtin_gguf
from fmtharness.harness.engine.models import state_for
from fmtharness.harness.errors import ModelError, UserError
from tests.fakes import ROOT, import_path

posix = pytest.mark.skipif(sys.platform == "win32", reason="the fakes are scripts with a #! line")
needs_server = pytest.mark.skipif(
    binary() is None, reason="llama-server is not built: make servers builds it"
)
FAKE_CMAKE = f"""#!{sys.executable}
import pathlib, sys
print("[ 50%] Building CXX object")
if "--build" in sys.argv:
    if pathlib.Path("BROKEN").exists():
        sys.exit("a header is missing")
    built = pathlib.Path(sys.argv[2], "bin", "llama-server")
    built.parent.mkdir(parents=True)
    built.write_text(pathlib.Path("FAKE").read_text())
"""
FAKE_SERVER = f"""#!{sys.executable}
import http.server, json, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        self.send_response(503 if Handler.asked < 3 else 200)
        self.end_headers()
        seen = [key for key in os.environ if key.startswith("LLAMA_ARG_")]
        self.wfile.write(json.dumps([os.getpid(), sys.argv[1:], seen]).encode())
    def log_message(self, *_):
        pass

if "missing.gguf" in sys.argv:
    sys.exit("error: there is no such file")
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def fake_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, a cmake that writes a fake server, and a package that needs no download."""
    tools = tmp_path / "tools"
    tools.mkdir()
    script = FAKE_CMAKE.replace("FAKE", str(tmp_path / "server.py"))
    (tools / "cmake").write_text(script.replace("BROKEN", str(tmp_path / "broken")))
    (tools / "c++").write_text("#!/bin/sh\n")
    (tmp_path / "server.py").write_text(FAKE_SERVER)
    for tool in tools.iterdir():
        tool.chmod(0o755)
    archive = tmp_path / "package.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        for name in ("package/vendor/llama.cpp/CMakeLists.txt", "package/setup.py"):
            packed.addfile(tarfile.TarInfo(name), io.BytesIO())
    monkeypatch.setattr(llama_server, "_downloaded", lambda folder: archive)
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path


@posix
def test_it_is_built_once(fake_tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert binary() is None
    built = build()
    assert built == binary()
    assert built.is_relative_to(fake_tools / "cache")
    assert os.access(built, os.X_OK)
    assert {*built.parent.iterdir()} == {built, built.with_name("build.log")}
    shutil.rmtree(fake_tools / "tools")
    assert build() == built
    assert llama_server.main() == 0
    assert capsys.readouterr().out == f"{built}\n"


@posix
def test_a_server_that_others_may_change_is_not_run(fake_tools: Path) -> None:
    build().chmod(0o722)
    assert binary() is None
    with pytest.raises(UserError, match="make servers"), serving(fake_tools / "some.gguf"):
        pass


@posix
@pytest.mark.parametrize(("tool", "said"), [("cmake", "needs cmake"), ("c++", r"C\+\+ compiler")])
def test_a_missing_tool_is_named(fake_tools: Path, tool: str, said: str) -> None:
    (fake_tools / "tools" / tool).unlink()
    with pytest.raises(UserError, match=said):
        build()


@posix
def test_a_build_that_fails_names_its_log(
    fake_tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (fake_tools / "broken").touch()
    assert llama_server.main() == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: llama-server: building with cmake failed with status 1; see ")
    assert "a header is missing" in Path(said.rpartition(" ")[2]).read_text()
    assert binary() is None


@posix
def test_a_wrong_archive_is_refused_before_it_runs(tmp_path: Path) -> None:
    """pip reads the hash in the requirement; what setup.py would do does not happen."""
    (wrong := tmp_path / "wrong").mkdir()
    packed, ran = wrong / "llama_cpp_python-0.3.36.tar.gz", tmp_path / "ran"
    setup = f"open({str(ran)!r}, 'w')".encode()
    with tarfile.open(packed, "w:gz") as archive:
        info = tarfile.TarInfo("llama_cpp_python-0.3.36/setup.py")
        info.size = len(setup)
        archive.addfile(info, io.BytesIO(setup))
    code = "import sys; from fmtharness.harness.backends import llama_server as s; import pathlib\n"
    code += "try: s._downloaded(pathlib.Path(sys.argv[1]))\nexcept s.UserError as e: print(e)"
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wrong), "PIP_CONFIG_FILE": os.devnull}
    environment = {**os.environ, **offline, "PYTHONPATH": import_path(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip could not download llama-cpp-python==0.3.36 (" in done.stdout
    assert "DO NOT MATCH THE HASHES" in done.stdout
    assert done.stdout.count("\n") == 1
    assert not ran.exists()


@posix
def test_a_server_lives_as_long_as_its_block(
    fake_tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build()
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "16")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving(Path("some.gguf"), slots=3, context=100, threads=1, arguments=["--more"]) as url:
        process, arguments, seen = get(url, "/health")
        assert seen == []
    options = dict(zip(arguments[:-1:2], arguments[1::2], strict=False))
    assert options["--model"] == "some.gguf"
    assert (options["--parallel"], options["--ctx-size"], options["--threads"]) == ("3", "300", "1")
    assert arguments[-1] == "--more"
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@posix
def test_a_server_that_does_not_start_says_why(fake_tools: Path) -> None:
    build()
    with (
        pytest.raises(ModelError, match=r"missing\.gguf: .* \(error: there is no such file\)$"),
        serving(Path("missing.gguf")),
    ):
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The built-in model, served by one thread: two wait for each other where cores are busy."""
    with serving(builtin_gguf(), slots=2, threads=1) as url:
        yield url


def get(url: str, path: str, body: dict[str, Any] | None = None) -> Any:
    return json.loads(raw(url, path, body))


def raw(url: str, path: str, body: dict[str, Any] | None = None) -> bytes:
    """What a GET says, or a POST of a body; past any proxy."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=60) as response:
        said: bytes = response.read()
    return said


def chat(url: str, text: str, **more: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": text}], "temperature": 0, **more}
    said: dict[str, Any] = get(url, "/v1/chat/completions", body)
    return said


@needs_server
@pytest.mark.model
def test_it_is_healthy(server: str) -> None:
    assert get(server, "/health") == {"status": "ok"}


@needs_server
@pytest.mark.model
def test_it_answers_and_stops(server: str) -> None:
    said = chat(server, "What is the capital of France? Answer in one word.", max_tokens=32)
    assert "Paris" in said["choices"][0]["message"]["content"]
    assert said["choices"][0]["finish_reason"] == "stop"
    assert 0 < said["usage"]["completion_tokens"] < 32


@needs_server
@pytest.mark.model
def test_an_answer_over_the_limit_is_cut_off(server: str) -> None:
    said = chat(server, "Tell me a long story.", max_tokens=3)
    assert said["choices"][0]["finish_reason"] == "length"
    assert said["usage"]["completion_tokens"] == 3


@needs_server
@pytest.mark.model
def test_a_schema_binds_the_answer(server: str) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Oslo", "Riga"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    question = "Which city is the capital of France? Answer in JSON."
    said = chat(server, question, max_tokens=64, response_format=wanted)
    value = JsonFormat().parse(said["choices"][0]["message"]["content"]).value
    assert value in ({"city": "Oslo"}, {"city": "Riga"})


@needs_server
@pytest.mark.model
def test_a_json_object_begins_as_one(server: str) -> None:
    asked = "Give the name and age of Ada Lovelace, who is 36."
    plain = chat(server, asked, max_tokens=8)["choices"][0]["message"]["content"]
    assert not plain.lstrip().startswith("{")
    said = chat(server, asked, max_tokens=24, response_format={"type": "json_object"})
    assert said["choices"][0]["message"]["content"].lstrip().startswith("{")


@needs_server
@pytest.mark.model
def test_a_stream_is_the_answer_in_pieces(server: str) -> None:
    asked = "What is the capital of France?"
    whole = chat(server, asked, max_tokens=16)["choices"][0]
    body = {"messages": [{"role": "user", "content": asked}], "temperature": 0, "max_tokens": 16}
    lines = raw(server, "/v1/chat/completions", body | {"stream": True}).decode().splitlines()
    events = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    choices = [choice for event in events for choice in json.loads(event)["choices"]]
    pieces = [choice["delta"].get("content") or "" for choice in choices]
    assert len(pieces) > 2
    assert "".join(pieces) == whole["message"]["content"]
    assert choices[-1]["finish_reason"] == whole["finish_reason"]


@needs_server
@pytest.mark.model
def test_it_feeds_the_ids_that_fmtharness_feeds(server: str) -> None:
    """Parity from outside: what the server's own template and tokenizer make of our prompts."""
    _, tokenizer = state_for(ModelOptions())
    config = load_config(ROOT / "benchmarks/speed.toml")
    prompts = [each.prompt for each in config.generator.generate("eval", 20, Random(config.seed))]
    shapes = {tuple(message.role for message in prompt) for prompt in prompts}
    assert shapes > {("user",), ("system", "user")}
    for prompt in prompts:
        messages = msgspec.to_builtins(prompt)
        text = get(server, "/apply-template", {"messages": messages})["prompt"]
        # As its chat endpoint tokenizes: special tokens are read, and BOS added if there is one.
        options = {"add_special": True, "parse_special": True}
        fed = get(server, "/tokenize", {"content": text, **options})["tokens"]
        assert fed == encode_prompt(tokenizer, prompt)
    said = get(server, "/v1/chat/completions", {"messages": messages, "max_tokens": 1})
    assert said["usage"]["prompt_tokens"] == len(fed)


@needs_server
@pytest.mark.model
def test_a_prompt_over_the_context_is_refused(server: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        chat(server, "word " * 3000, max_tokens=4)
    assert refused.value.code == 400
    assert json.load(refused.value)["error"]["type"] == "exceed_context_size_error"
