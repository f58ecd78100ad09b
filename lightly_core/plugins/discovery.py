"""Finds the installed plugins and loads each one in isolation from the others."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from types import ModuleType

import pluggy

from lightly_core.errors import LightlyError, PluginError
from lightly_core.plugins import hookspecs
from lightly_core.plugins.builtin import register_builtin
from lightly_core.plugins.catalog import Catalog, PluginStatus, named
from lightly_core.plugins.finding import FoundPlugin, find_plugins, incompatibility
from lightly_core.plugins.hookspecs import RunInfo
from lightly_core.plugins.records import State
from lightly_core.version import __version__

__all__ = ["PluginStatus", "Plugins", "configure", "discover", "get_plugins"]

ALLOW_VARIABLE = "LIGHTLY_PLUGINS"
STRICT_VARIABLE = "LIGHTLY_STRICT_PLUGINS"

#: Milliseconds above which the import of a plugin is reported.
_SLOW_MS = 2000.0

_FALSE = ("", "0", "false", "no", "off")


class Plugins:
    """The plugins of this process.

    Args:
        catalog: Records of the loaded plugins and the built-in ones.
        statuses: One status per plugin, sorted by name and distribution.
        manager: Holds the modules of the loaded plugins.
    """

    def __init__(
        self, catalog: Catalog, statuses: Sequence[PluginStatus], manager: pluggy.PluginManager
    ) -> None:
        self.catalog = catalog
        self.statuses = tuple(statuses)
        self._manager = manager

    @property
    def problems(self) -> tuple[PluginStatus, ...]:
        """Plugins that are failed or incompatible. Blocked ones are not included."""
        return tuple(s for s in self.statuses if s.state in ("failed", "incompatible"))

    def run_start(self, run: RunInfo) -> None:
        """Call every plugin's `lightly_run_start`. Errors are logged and not raised."""
        self._call("lightly_run_start", {"run": run})

    def run_end(self, run: RunInfo) -> None:
        """Call every plugin's `lightly_run_end`. Errors are logged and not raised."""
        self._call("lightly_run_end", {"run": run})

    def warn_about_problems(self) -> None:
        """Log one warning for each broken plugin. A run calls it on its first process."""
        for status in self.problems:
            _warn(
                "plugin %s is %s and not used: %s; see `lightly plugins -v`",
                status.owner,
                status.state,
                status.reason,
            )

    def _call(self, hook: str, arguments: Mapping[str, object]) -> None:
        # pm.hook.x() would stop at the first implementation that raises.
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except (Exception, SystemExit):
                _warn(
                    "plugin %s: %s failed; the run continues",
                    implementation.plugin_name,
                    hook,
                    exc_info=True,
                )


def discover(
    *,
    allow: Sequence[str] | None = None,
    block: Sequence[str] = (),
    strict: bool = False,
) -> Plugins:
    """Find and load the installed plugins.

    A plugin is named by its entry point or its distribution. It gets one of these states: loaded;
    blocked, and then not imported; incompatible with this version; or failed, and then the catalog
    has none of its records.

    Args:
        allow: Only these are loaded; None: those in the environment variable LIGHTLY_PLUGINS
            (separated by commas), or all if it is not set. An empty list allows none.
        block: These are not loaded.
        strict: Raise for broken plugins. LIGHTLY_STRICT_PLUGINS=1 does the same.

    Raises:
        PluginError: With `strict`, if a plugin is failed or incompatible. Never otherwise.
    """
    allow_text = f"{ALLOW_VARIABLE}={','.join(allow)}" if allow is not None else ""
    if allow is None and ALLOW_VARIABLE in os.environ:
        # Set but empty allows no plugin: a list that restricts plugins must not allow all of them.
        allow = [name.strip() for name in os.environ[ALLOW_VARIABLE].split(",") if name.strip()]
        allow_text = f"{ALLOW_VARIABLE}={','.join(allow)}"
    found = find_plugins()
    _warn_about_unused_names(found, allow or (), block)
    catalog = Catalog()
    register_builtin(catalog)
    manager = _Manager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    statuses: list[PluginStatus] = []
    for plugin in found:
        reason = _blocked(plugin, allow, allow_text, block)
        if reason is not None:
            statuses.append(_status(plugin, "blocked", error=reason))
        else:
            statuses.append(_load(plugin, catalog, manager))
    _warn_about_slow(statuses)
    catalog.problems = tuple(status for status in statuses if status.state != "loaded")
    plugins = Plugins(catalog, statuses, manager)
    if strict or os.environ.get(STRICT_VARIABLE, "").strip().lower() not in _FALSE:
        _refuse_problems(plugins.problems)
    return plugins


# ------------------------------------------------------------------ once a process

_block: tuple[str, ...] = ()
_strict = False
_plugins: Plugins | None = None


def configure(*, block: Sequence[str] = (), strict: bool = False) -> None:
    """Set the arguments with which `get_plugins` discovers. Its next call discovers again.

    Args:
        block: As in `discover`.
        strict: As in `discover`.
    """
    global _block, _strict, _plugins
    _block, _strict, _plugins = tuple(block), strict, None


def blocked_plugins() -> tuple[str, ...]:
    """Return the names of the blocked plugins, for processes that this one starts."""
    return _block


def get_plugins() -> Plugins:
    """Return the plugins of this process, discovered at the first call.

    Raises:
        PluginError: In strict mode only, as in `discover`.
    """
    global _plugins
    if _plugins is None:
        _plugins = discover(block=_block, strict=_strict)
    return _plugins


# ------------------------------------------------------------------------- one plugin


class _Refused(LightlyError):
    """A plugin cannot be loaded for a reason that needs no traceback."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state = state


class _Manager(pluggy.PluginManager):
    """Inspects the names of hooks only.

    pluggy would read every attribute of a module, which triggers lazy imports.
    """

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        return super().parse_hookimpl_opts(plugin, name) if name in hookspecs.HOOKS else None


def _load(plugin: FoundPlugin, catalog: Catalog, manager: pluggy.PluginManager) -> PluginStatus:
    """Import a plugin and call its `lightly_register`. No error of the plugin is raised."""
    began = time.perf_counter()
    elapsed = 0.0
    traceback = None
    try:
        if plugin.error is not None:
            raise _Refused("failed", plugin.error)
        if (problem := incompatibility(plugin, __version__)) is not None:
            raise _Refused("incompatible", problem)
        # The output of a plugin must not get into lists that another program reads.
        with contextlib.redirect_stdout(sys.stderr):
            try:
                module = _import(plugin)
            finally:
                elapsed = 1000 * (time.perf_counter() - began)
            _check_api(plugin, module)
            _check_hooks(module)
            _register(plugin, module, catalog, manager)
    except KeyboardInterrupt:
        raise
    except _Refused as refused:
        state, error = refused.state, str(refused)
    except BaseException as raised:  # a plugin may even call sys.exit()
        state, error = "failed", _describe(raised)
        traceback = _format(raised)
    else:
        provides = [f"{r.kind} {r.name}" for r in catalog.provided_by(*_key(plugin))]
        return _status(plugin, "loaded", provides=sorted(provides), import_ms=elapsed)
    catalog.discard(*_key(plugin))
    if manager.has_plugin(_manager_name(plugin)):
        manager.unregister(name=_manager_name(plugin))
    return _status(plugin, state, error=error, traceback=traceback, import_ms=elapsed)


def _import(plugin: FoundPlugin) -> ModuleType:
    if ":" in plugin.value or not plugin.value:
        raise _Refused(
            "failed",
            f"entry point names {plugin.value!r}, expected a module"
            f'\n  in its pyproject.toml: {plugin.name} = "{plugin.value.partition(":")[0]}"',
        )
    return importlib.import_module(plugin.value)


def _check_api(plugin: FoundPlugin, module: ModuleType) -> None:
    api = vars(module).get("LIGHTLY_API")
    oldest, newest = hookspecs.OLDEST_API, hookspecs.NEWEST_API
    if not isinstance(api, int) or isinstance(api, bool):
        got = "no LIGHTLY_API" if api is None else f"LIGHTLY_API = {api!r}"
        raise _Refused(
            "failed", f"{plugin.value} has {got}\n  expected the line LIGHTLY_API = {newest}"
        )
    if oldest <= api <= newest:
        return
    supported = str(newest) if oldest == newest else f"{oldest} to {newest}"
    outdated = "lightly-core" if api > newest else plugin.distribution
    raise _Refused(
        "incompatible",
        f"uses plugin API {api}, this lightly-core {__version__} supports {supported}"
        f"\n  pip install -U {outdated}",
    )


def _check_hooks(module: ModuleType) -> None:
    """Refuse hooks that would silently never be called, and kinds that cannot be isolated."""
    marked = {
        name: options
        for name, value in vars(module).items()
        if isinstance(options := getattr(value, f"{hookspecs.PROJECT}_impl", None), dict)
    }
    known = ", ".join(hookspecs.HOOKS)
    for name, options in marked.items():
        if name not in hookspecs.HOOKS:
            raise _Refused("failed", f"unknown hook '{name}'\n  hooks are: {known}")
        if options.get("wrapper") or options.get("hookwrapper") or options.get("specname"):
            raise _Refused("failed", f"hook '{name}': @hookimpl accepts tryfirst and trylast only")
    for name in hookspecs.HOOKS:
        if name in vars(module) and name not in marked:
            raise _Refused("failed", f"'{name}' is not marked\n  put @hookimpl above it")
    if not marked:
        raise _Refused("failed", f"{module.__name__} has no hook\n  hooks are: {known}")


def _register(
    plugin: FoundPlugin, module: ModuleType, catalog: Catalog, manager: pluggy.PluginManager
) -> None:
    if manager.is_registered(module):
        raise _Refused(
            "failed", f"its module {plugin.value} is already in use as {manager.get_name(module)}"
        )
    manager.register(module, name=_manager_name(plugin))
    with catalog.registering(
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        root=plugin.value.partition(".")[0],
    ):
        for implementation in manager.hook.lightly_register.get_hookimpls():
            if implementation.plugin is module:
                implementation.function(*(catalog for _ in implementation.argnames))


# ------------------------------------------------------------------------------ helpers


def _blocked(
    plugin: FoundPlugin, allow: Sequence[str] | None, allow_text: str, block: Sequence[str]
) -> str | None:
    """Return why a plugin may not be imported, or None if it may."""
    for name in block:
        if named(name, plugin.name, plugin.distribution):
            return f"--no-plugin {name}"
    if allow is None or any(named(name, plugin.name, plugin.distribution) for name in allow):
        return None
    return f"not in {allow_text}"


def _warn_about_unused_names(
    found: Sequence[FoundPlugin], allow: Sequence[str], block: Sequence[str]
) -> None:
    if any(os.environ.get(name, "0") != "0" for name in ("RANK", "LOCAL_RANK")):
        return  # the first process warns
    for source, names in ((ALLOW_VARIABLE, allow), ("--no-plugin", block)):
        for name in names:
            if not any(named(name, plugin.name, plugin.distribution) for plugin in found):
                _warn("%s names '%s', but no such plugin is installed", source, name)


def _warn_about_slow(statuses: Sequence[PluginStatus]) -> None:
    for status in statuses:
        if status.import_ms > _SLOW_MS:
            _warn(
                "plugin %s took %.1f s to import, which delays every command; --no-plugin %s "
                "skips it",
                status.owner,
                status.import_ms / 1000,
                status.distribution,
            )


def _refuse_problems(problems: Sequence[PluginStatus]) -> None:
    if not problems:
        return
    listed = "".join(f"\n  {s.owner} is {s.state}: {s.error}" for s in problems)
    raise PluginError(
        f"{len(problems)} of the installed plugins cannot be used, and strict mode is on{listed}"
        "\n  repair or uninstall them, or skip them with --no-plugin NAME"
    )


def _status(
    plugin: FoundPlugin,
    state: State,
    *,
    provides: Sequence[str] = (),
    import_ms: float = 0.0,
    error: str | None = None,
    traceback: str | None = None,
) -> PluginStatus:
    return PluginStatus(
        name=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        state=state,
        provides=tuple(provides),
        import_ms=round(import_ms, 1),
        error=error,
        traceback=traceback,
    )


def _key(plugin: FoundPlugin) -> tuple[str, str]:
    return plugin.name, plugin.distribution


def _manager_name(plugin: FoundPlugin) -> str:
    return f"{plugin.distribution}:{plugin.name}"


def _describe(error: BaseException) -> str:
    if isinstance(error, LightlyError):
        return str(error)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _format(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _warn(message: str, *values: object, exc_info: bool = False) -> None:
    # Imported late: it takes a tenth of the time budget for listing plugins.
    import logging

    logging.getLogger(__name__).warning(message, *values, exc_info=exc_info)
