"""Finds components: built-ins by an explicit tuple, third-party ones by the entry-point group.

component("evaluators", "json_strict")  -> the class, which options.build() instantiates
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import re
from collections.abc import Callable
from typing import Any, Literal, get_args

import msgspec
import pluggy
from pydantic import BaseModel

from fmtharness.harness import contracts, hookspecs
from fmtharness.harness.errors import PluginError, UserError
from fmtharness.harness.formats import match_evaluator, strict_evaluator
from fmtharness.harness.text import did_you_mean

Kind = Literal["formats", "generators", "evaluators", "trainers", "backends"]
KINDS: tuple[Kind, ...] = ("formats", "generators", "evaluators", "trainers", "backends")
GROUP = "fmtharness"
DEFAULT_PLUGINS = (
    "fmtharness.evaluators",
    "fmtharness.generators",
    "fmtharness.trainers",
    "fmtharness.harness.backends",
)


class Registered(msgspec.Struct, frozen=True):
    """A component class and the distribution that brought it."""

    kind: Kind
    name: str
    distribution: str
    component: Any

    @property
    def summary(self) -> str:
        """The first line of the class's docstring."""
        return (self.component.__doc__ or "").strip().split("\n", 1)[0]


def load(
    entry_points: tuple[importlib.metadata.EntryPoint, ...],
) -> dict[Kind, dict[str, Registered]]:
    """Register the default plugins, then the given entry points, and collect their components.

    Raises PluginError naming the distribution if a plugin fails to import, misspells a hook or
    lacks its decorator, offers something that is not a component, or claims a name that is taken.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    for name in DEFAULT_PLUGINS:
        manager.register(importlib.import_module(name), name=f"{GROUP}/{name}")
    for entry in entry_points:
        distribution = entry.dist.name if entry.dist else entry.value
        try:
            module = entry.load()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"plugin {entry.name!r} of {distribution} failed to import "
                f"({_said(error)}); fix or uninstall {distribution}"
            ) from error
        _register(manager, module, entry.name, distribution)
    found = {kind: _collect(manager, kind) for kind in KINDS}
    for known in found["formats"].values():
        for derive in (strict_evaluator, match_evaluator):
            judge = derive(known.component)
            new = Registered("evaluators", judge.name, known.distribution, judge)
            _add(found["evaluators"], new)
    return found


def _register(manager: pluggy.PluginManager, module: Any, name: str, distribution: str) -> None:
    hooks = ", ".join(f"{GROUP}_{kind}" for kind in KINDS)
    where = f"plugin {name!r} of {distribution}"
    try:
        manager.register(module, name=f"{distribution}/{name}")
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(
            f"{where} misspells a hook ({_said(error)}); the hooks are {hooks}"
        ) from error
    except ValueError as error:
        raise PluginError(f"{where} is registered twice; drop one of its entry points") from error
    unmarked = [
        attribute
        for attribute in dir(module)
        if attribute.startswith(f"{GROUP}_") and not manager.parse_hookimpl_opts(module, attribute)
    ]
    if unmarked:
        raise PluginError(
            f"{where}: {', '.join(unmarked)} lacks the decorator fmtharness.harness.hookimpl, "
            f"without which no hook is found"
        )
    if not manager.get_hookcallers(module):
        raise PluginError(f"{where} has no hook; the hooks are {hooks}")


def _collect(manager: pluggy.PluginManager, kind: Kind) -> dict[str, Registered]:
    found: dict[str, Registered] = {}
    for implementation in getattr(manager.hook, f"fmtharness_{kind}").get_hookimpls():
        distribution = implementation.plugin_name.split("/", 1)[0]
        try:
            components = list(implementation.function())
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"hook {GROUP}_{kind} of {distribution} failed ({_said(error)}); "
                f"it must return a list of classes"
            ) from error
        for component in components:
            if fault := _fault(kind, component):
                raise PluginError(
                    f"hook {GROUP}_{kind} of {distribution} returned {component!r}, which {fault}"
                )
            _add(found, Registered(kind, component.name, distribution, component))
    return found


_CONTRACTS: dict[Kind, type] = {
    "formats": contracts.Format,
    "generators": contracts.Generator,
    "evaluators": contracts.Evaluator,
    "trainers": contracts.Trainer,
    "backends": contracts.Backend,
}


_OF_EVALUATORS = {
    *("metric", "rates", "needs_example", "needs_value", "lacks", "formats", "evaluators"),
}
"""The members that a Format's evaluators have besides its options."""


def _texts(value: Any) -> bool:
    return _several(value) and all(isinstance(each, str) for each in value)


def _several(value: Any) -> bool:
    return isinstance(value, tuple | list | set | frozenset)


def _is_rate(value: Any) -> bool:
    return isinstance(value, contracts.Rate)


_CONSTANTS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("formats", lambda value: isinstance(value, property) or _texts(value), "a set of names"),
    ("evaluators", lambda value: isinstance(value, property) or _texts(value), "a tuple of names"),
    (
        "rates",
        lambda value: _several(value) and all(isinstance(each, contracts.Rate) for each in value),
        "a tuple of Rate",
    ),
    (
        "shapes",
        lambda value: _texts(value) and set(value) <= set(get_args(contracts.Shape)),
        f"a set of {', '.join(get_args(contracts.Shape))}",
    ),
)
"""Constants of a component, and what each must be if present."""


def _fault(kind: Kind, component: Any) -> str | None:
    """Why something is not a component of a kind."""
    if not isinstance(component, type):
        return "is no class"
    if not issubclass(component, BaseModel):
        return "is no options model; derive it from fmtharness.harness.contracts.Options"
    contract = _CONTRACTS[kind]
    methods = [name for name, value in vars(contract).items() if callable(value) and name[0] != "_"]
    members = (*inspect.get_annotations(contract), *methods)
    lacking = [member for member in members if not hasattr(component, member)]
    if lacking:
        return f"lacks {', '.join(lacking)}"
    name: Any = component.name  # type: ignore[attr-defined]
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
        return f"has the name {name!r}; letters, digits, _, - and . may stand in one"
    for member, wanted, words in _CONSTANTS:
        value = getattr(component, member, None)
        if value is not None and member not in component.model_fields and not wanted(value):
            return f"has {member} = {value!r}; it must be {words}"
    if kind == "formats" and (meant := _OF_EVALUATORS & component.model_fields.keys()):
        return f"has an option {min(meant)!r}, which means something else to its evaluators"
    return None


def _add(found: dict[str, Registered], new: Registered) -> None:
    if old := found.get(new.name):
        raise PluginError(
            f"two {new.kind} are called {new.name!r}: {_origin(old.component)} of "
            f"{old.distribution} and {_origin(new.component)} of {new.distribution}; "
            f"rename or uninstall one"
        )
    found[new.name] = new


def _said(error: BaseException) -> str:
    """An error on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _origin(component: Any) -> str:
    return f"{component.__module__}.{component.__qualname__}"


@functools.cache
def registry() -> dict[Kind, dict[str, Registered]]:
    """All components of this process, loaded once."""
    return load(tuple(importlib.metadata.entry_points(group=GROUP)))


def component(kind: Kind, name: str) -> Any:
    """The class registered under `name`; a UserError with the near miss if there is none."""
    known = registry()[kind]
    if name in known:
        return known[name].component
    raise UserError(
        f"no {kind.removesuffix('s')} is called {name!r}{did_you_mean(name, known)}; "
        f"`fmtharness plugins` lists them"
    )
