"""The real readers of each built-in format: what `eval --consumers` asks.

    json_readers()[0].name  -> "Python json"
    json_readers()[0].command  -> ("/usr/bin/python3", "-P", "{driver}", "json")

Each has a driver of a few lines in its own language, in drivers/. A reader that is not installed is
listed with how to install it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from fmtharness.harness.formats import Consumer

_DRIVERS: Final = Path(__file__).parent / "drivers"
_DEBIAN_CRATES: Final = "/usr/share/cargo/registry"
_JARS: Final = "/usr/share/java/*"


def _python(name: str, reader: str, install: str = "", *, comparable: bool = True) -> Consumer:
    command = (sys.executable, "-P", "{driver}", reader)
    return Consumer(
        f"Python {name}", command, _DRIVERS / "python.py", install, comparable=comparable
    )


def _script(
    name: str, command: tuple[str, ...], driver: str, install: str, *, comparable: bool = True
) -> Consumer:
    return Consumer(name, command, _DRIVERS / driver, install, comparable=comparable)


def _node(name: str, reader: str, install: str) -> Consumer:
    return _script(f"JavaScript {name}", ("node", "{driver}", reader), "node.js", install)


def _cpp(name: str, driver: str, package: str) -> Consumer:
    return Consumer(
        f"C++ {name}",
        ("{program}",),
        _DRIVERS / driver,
        f"apt install g++ {package}",
        build=("g++", "-O1", "-std=c++17", "-o", "{program}", "{driver}"),
    )


def json_readers(*, by_line: bool = False, comparable: bool = True) -> tuple[Consumer, ...]:
    """The readers of JSON, or of JSON Lines, line by line."""
    found = (
        _python("json", "json"),
        _python("orjson", "orjson", "pip install orjson"),
        _python("msgspec", "msgspec", "pip install msgspec"),
        _python("pydantic", "pydantic", "pip install pydantic"),
        _node("JSON.parse", "json", "install Node.js"),
        Consumer(
            "Go encoding/json",
            ("{program}",),
            _DRIVERS / "encoding_json.go",
            "apt install golang-go",
            build=("go", "build", "-o", "{program}", "{driver}"),
        ),
        Consumer(
            "Rust serde_json",
            ("{driver}/target/release/reader",),
            _DRIVERS / "rust",
            "apt install cargo librust-serde-json-dev, or `cargo fetch` a project that uses it",
            build=_cargo(),
        ),
        _script(
            "Java Jackson",
            ("java", "-XX:TieredStopAtLevel=1", "-cp", _class_path(), "{driver}"),
            "Jackson.java",
            "apt install default-jdk-headless libjackson2-databind-java, or name the jars of "
            "jackson-databind, -core and -annotations in CLASSPATH",
        ),
        _script(
            "Java Gson",
            ("java", "-XX:TieredStopAtLevel=1", "-cp", _class_path(), "{driver}"),
            "GsonReader.java",
            "apt install default-jdk-headless libgoogle-gson-java, or name the jar in CLASSPATH",
        ),
        _cpp("nlohmann", "nlohmann.cpp", "nlohmann-json3-dev"),
        _cpp("rapidjson", "rapidjson.cpp", "rapidjson-dev"),
        _python("jq", "jq", "apt install jq")._replace(name="jq"),
        _script("PHP json_decode", ("php", "-n", "{driver}"), "php.php", "apt install php-cli"),
        _script("Ruby json", ("ruby", "{driver}", "json"), "ruby.rb", "apt install ruby"),
        _script("Perl JSON::PP", ("perl", "{driver}", "JSON::PP"), "perl.pl", "install Perl"),
    )
    return tuple(each._replace(by_line=by_line, comparable=comparable) for each in found)


def yaml_readers() -> tuple[Consumer, ...]:
    """The readers of YAML 1.1 and 1.2; they differ in which plain words are numbers or flags."""
    npm = "npm install -g {}, or name its node_modules in NODE_PATH".format
    return (
        _python("PyYAML (1.1)", "pyyaml", "pip install pyyaml"),
        _python("ruamel.yaml (1.2)", "ruamel", "pip install ruamel.yaml"),
        _node("js-yaml (1.2)", "js-yaml", npm("js-yaml")),
        _node("yaml (1.1)", "yaml@1.1", npm("yaml")),
        _node("yaml (1.2)", "yaml@1.2", npm("yaml")),
        Consumer(
            "Go yaml.v3 (1.2)",
            ("{program}",),
            _DRIVERS / "yaml_v3.go",
            "apt install golang-go golang-gopkg-yaml.v3-dev",
            build=(
                *("env", "GO111MODULE=off", "GOPATH=/usr/share/gocode"),
                *("go", "build", "-o", "{program}", "{driver}"),
            ),
        ),
        _script("Ruby Psych (1.1)", ("ruby", "{driver}", "yaml"), "ruby.rb", "apt install ruby"),
    )


def toml_readers() -> tuple[Consumer, ...]:
    """The readers of TOML."""
    npm = "npm install -g smol-toml, or name its node_modules in NODE_PATH"
    return (
        _python("tomllib", "tomllib"),
        _python("tomlkit", "tomlkit", "pip install tomlkit"),
        _node("smol-toml", "smol-toml", npm),
    )


def xml_readers() -> tuple[Consumer, ...]:
    """The readers of XML; their values are trees, which are compared with each other alone."""
    return (
        _python("expat", "expat", comparable=False),
        _python("lxml", "lxml", "pip install lxml", comparable=False),
    )


def csv_readers() -> tuple[Consumer, ...]:
    """The readers of CSV with commas; their values are rows, compared with each other alone."""
    return (
        _python("csv", "csv", comparable=False),
        _script(
            "Ruby csv", ("ruby", "{driver}", "csv"), "ruby.rb", "apt install ruby", comparable=False
        ),
    )


def _cargo() -> tuple[str, ...]:
    """Cargo without a network, from Debian's crates where there are some."""
    source: tuple[str, ...] = ()
    if Path(_DEBIAN_CRATES).is_dir():
        source = (
            *("--config", 'source.crates-io.replace-with="debian"'),
            *("--config", f'source.debian.directory="{_DEBIAN_CRATES}"'),
        )
    where = ("--manifest-path", "{driver}/Cargo.toml", "--target-dir", "{driver}/target")
    return ("cargo", "build", "--release", "--offline", "--quiet", *where, *source)


def _class_path() -> str:
    return os.pathsep.join(filter(None, (os.environ.get("CLASSPATH"), _JARS)))
