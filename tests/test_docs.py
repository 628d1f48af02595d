"""The docs are true: generated pages are fresh, links lead somewhere, commands and samples work."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from fmtharness.harness import hookspecs
from fmtharness.harness.cli import main
from fmtharness.harness.config import load_config
from fmtharness.harness.contracts import rates_of
from fmtharness.harness.options import check
from fmtharness.harness.plugins import KINDS, Registered, load
from fmtharness.harness.records import Completion

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
BUILT_IN = [each for known in load(()).values() for each in known.values()]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_hook_is_documented(kind: str) -> None:
    hook = f"fmtharness_{kind}"
    assert inspect.getdoc(getattr(hookspecs, hook))
    reference = (ROOT / "docs" / "plugins-reference.md").read_text(encoding="utf-8")
    assert f"`{hook}()`" in reference


@pytest.mark.parametrize("kind", KINDS)
def test_hook_is_tested_through_an_installed_distribution(kind: str) -> None:
    sources = [*(ROOT / "tests").glob("test_*.py"), *(ROOT / "harness" / "templates").rglob("*.py")]
    hook = re.compile(rf"^@hookimpl\ndef fmtharness_{kind}\(", re.MULTILINE)
    assert any(hook.search(source.read_text(encoding="utf-8")) for source in sources)


def test_there_is_no_other_hook() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("fmtharness_")}
    assert hooks == {f"fmtharness_{kind}" for kind in KINDS}


@pytest.mark.parametrize("each", BUILT_IN, ids=lambda each: str(each.name))
def test_component_shows_what_goes_in_and_comes_out(each: Registered) -> None:
    assert each.summary.endswith("."), "the docstring's first line is the summary in the tables"
    module = importlib.import_module(each.component.__module__)
    texts = inspect.getdoc(module) or "", inspect.getdoc(each.component) or ""
    # An arrow or a verb between the two, and on either side something literal.
    sample = re.compile(r"""["'({\[].*(->|yields|becomes?)\s*["'`({\[\w]""", re.DOTALL)
    assert any(sample.search(text) for text in texts)


def test_every_rate_is_explained() -> None:
    page = (ROOT / "docs" / "numbers.md").read_text(encoding="utf-8")
    for each in BUILT_IN:
        if each.kind == "evaluators":
            for rate in rates_of(each.component):
                assert f"`{rate.name}`" in page, rate.name


def command_lines(text: str) -> list[list[str]]:
    """What follows `fmtharness` in indented code, in fenced blocks and in code spans."""
    found = re.findall(r"^ {4}fmtharness ([^\n]+)|`fmtharness ([^`]+)`", text, re.MULTILINE)
    return [(one or other).split() for one, other in found]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_exist(page: Path) -> None:
    for name, *arguments in command_lines(page.read_text(encoding="utf-8")):
        if name.startswith("-"):
            continue
        assert name in main.commands, f"fmtharness {name}"
        command = main.commands[name]
        options = {option for parameter in command.params for option in parameter.opts}
        for argument in arguments:
            if argument.startswith("--"):
                assert argument in {*options, "--help"}, f"fmtharness {name} {argument}"
            if argument.startswith("configs/"):
                assert (ROOT / argument).is_file(), argument


def test_readme_names_every_command() -> None:
    assert README.index("make run") < README.index("make test") < 200
    mentioned = {name for name, *_ in command_lines(README)}
    assert mentioned >= set(main.commands)
    assert isinstance(main, click.Group)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_resolve(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_is_on_the_map() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/**/*.md"):
        if page.name != "index.md":
            assert f"]({page.relative_to(ROOT / 'docs')})" in text, page.name


def test_readme_plugin_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [module] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    [table] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    [(name, target)] = tomllib.loads(table)["project"]["entry-points"]["fmtharness"].items()
    (tmp_path / f"{target}.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    found = load((importlib.metadata.EntryPoint(name, target, "fmtharness"),))
    brief, faults = check(found["evaluators"][name].component, {"limit": 5}, "test")
    assert brief is not None, faults
    judged = {
        text: brief.evaluate(None, Completion(example_id="1", text=text))
        for text in ('{"a": 1}', "{}")
    }
    assert judged['{"a": 1}'].labels == ("too_long",)
    assert judged["{}"].passed


def test_example_config_shows_every_table() -> None:
    path = ROOT / "configs" / "example.toml"
    shown = tomllib.loads(path.read_text(encoding="utf-8"))
    config = load_config(path)
    assert set(shown) == set(config.tables())
    for table in ("model", "data", "train", "eval", "retention"):
        assert shown[table].items() <= config.tables()[table].items()


def test_constraints_cover_the_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["train"], *extras["dev"]]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins), "no build suffix, no URL"
    pinned = {pin.partition("==")[0] for pin in pins}
    wanted.remove("fmtharness[train]")
    for requirement in wanted:
        assert re.split(r"[^\w.-]", requirement)[0].lower() in pinned, requirement
