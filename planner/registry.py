"""Frontends, cost models and solvers by name: plug-ins found through entry points.

The built-in ones are registered in the same entry-point groups as anyone's, and in a static table
besides, so that a checkout without installed metadata still finds them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache, cached_property
from importlib.metadata import EntryPoint, EntryPoints, PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from typing import Generic, Protocol, TypeVar, cast

from planner.errors import PluginError, name_hint

OWN_DISTRIBUTION = "dnn-partition-planner"

INSTALL_WITH = {"onnxruntime": "measure", "torch": "torch"}
"""Extras of this distribution that bring a module."""


class Plugin(Protocol):
    """What all three kinds have in common."""

    @property
    def requires(self) -> tuple[str, ...]:
        """Top-level modules that must be installed."""


P = TypeVar("P")


@cache
def _installed() -> EntryPoints:
    """The entry points of everything that is installed: reading them takes milliseconds."""
    return cast(EntryPoints, entry_points())


class Registry(Generic[P]):
    """All plug-ins of one kind. Nothing is imported until one is asked for.

    Args:
        group: Entry-point group, for instance `planner.solvers`.
        what: What one of them is called in messages.
        builtin: Name → `module:attribute` of those that ship with the planner.
        error_code: Of the error for an unknown name.
    """

    def __init__(self, group: str, what: str, builtin: dict[str, str], error_code: str) -> None:
        self.group = group
        self.what = what
        self.builtin = builtin
        self._error_code = error_code
        self._loaded: dict[str, P] = {}
        self._usable: dict[str, P] = {}

    @cached_property
    def _providers(self) -> dict[str, list[EntryPoint]]:
        found = {
            name: [EntryPoint(name, value, self.group)] for name, value in self.builtin.items()
        }
        installed = _installed().select(group=self.group)
        for point in sorted(installed, key=lambda p: (p.name, p.value)):
            known = found.setdefault(point.name, [])
            if all(point.value != other.value for other in known):
                known.append(point)
        return found

    def names(self) -> list[str]:
        """Every registered name, the built-in ones first."""
        return list(self._providers)

    def origin(self, name: str) -> str:
        """The distribution that provides `name`, and its version."""
        return " and ".join(_distribution(point) for point in self._providers[name])

    def missing(self, name: str) -> list[str]:
        """Modules that `name` needs and that are not installed; nothing heavy is imported."""
        return [m for m in cast(Plugin, self.peek(name)).requires if find_spec(m) is None]

    def get(self, name: str, *, where: str | None = None) -> P:
        """The plug-in called `name`.

        Raises:
            PluginError: If there is none or two, it does not load, or it needs a module that is
                not installed (exit status 4).
        """
        usable = self._usable.get(name)
        if usable is not None and usable is self._loaded.get(name):
            return usable
        if name not in self._providers:
            raise PluginError(
                f"{self.what} `{name}` is not registered",
                code=self._error_code,
                where=where,
                hint=name_hint(name, self.names(), f"installed {self.what}s"),
            )
        plugin = self.peek(name)
        absent = self.missing(name)
        if absent:
            raise self._absent(name, absent, where)
        self._usable[name] = plugin
        return plugin

    def _absent(self, name: str, modules: list[str], where: str | None) -> PluginError:
        extra = INSTALL_WITH.get(modules[0])
        package = f"'{OWN_DISTRIBUTION}[{extra}]'" if extra else " ".join(modules)
        return PluginError(
            f"{self.what} `{name}` needs `{modules[0]}`, which is not installed",
            code="PLN302",
            where=where,
            hint=f"pip install {package}",
            exit_code=4,
        )

    def peek(self, name: str) -> P:
        """The registered plug-in `name`, whether or not what it needs is installed.

        Raises:
            PluginError: If it is provided twice, does not load, or needs a module at once that is
                not installed.
        """
        if name in self._loaded:
            return self._loaded[name]
        point, *others = self._providers[name]
        if others:
            both = " and ".join(f"{_distribution(p)} (`{p.value}`)" for p in (point, *others))
            raise PluginError(
                f"{self.what} `{name}` is provided twice: by {both}",
                code="PLN311",
                hint="uninstall one of the distributions",
            )
        try:
            module = importlib.import_module(point.module)
            plugin = cast(P, getattr(module, point.attr))
        except Exception as error:  # a plug-in may fail in any way; say which
            module_name = getattr(error, "name", None) or ""
            absent = module_name.partition(".")[0]
            is_its_own = absent == point.module.partition(".")[0]
            if isinstance(error, ModuleNotFoundError) and absent and not is_its_own:
                raise self._absent(name, [absent], point.value) from error
            raise PluginError(
                f"{self.what} `{name}` does not load: {type(error).__name__}: {error}",
                code="PLN312",
                where=point.value,
            ) from error
        self._loaded[name] = plugin
        return plugin

    def __iter__(self) -> Iterator[tuple[str, P]]:
        """Name and plug-in of all that load."""
        for name in self.names():
            yield name, self.peek(name)


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else OWN_DISTRIBUTION


def tool_version() -> str:
    """Version of the installed distribution."""
    try:
        return version(OWN_DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
