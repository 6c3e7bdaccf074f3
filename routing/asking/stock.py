"""What a process has loaded ahead of need, for all that is forked from it: modules, the embedder, prices, the router.

Only a resident process lays in a stock. Everything in it is as it would be loaded anew: what came of a file is not
handed out once that file has changed.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.paths import Paths
    from scrimp.routing.prices.table import PriceTable
    from scrimp.routing.prompts.embedding import Embedder
    from scrimp.routing.router.abilities import AbilityTable
    from scrimp.routing.router.arms import Router

__all__ = ["abilities", "embedder", "fresh", "lay_in", "local_weights", "network_folder", "prices", "router"]

_ROOMS: Final = (
    "text", "prompts", "prices", "calls", "ledger", "router", "checks", "deciding", "plans", "strategies", "reports",
    "asking",
)  # fmt: skip
_FIRST_USED: Final = (
    # What our modules and libraries put off until their first use.
    "httpcore", "openai.resources.chat.completions", "jsonschema", "rich.console", "rich.text", "sqlite3",
    "litellm.proxy.openai_files_endpoints.common_utils", "difflib", "gzip", "csv", "subprocess",
    "zoneinfo",
)  # fmt: skip

_Stamp = tuple[tuple[str, int, int, int], ...]

_kept: dict[tuple[str, ...], tuple[_Stamp, Any]] = {}
_embedders: dict[tuple[str, Path], Embedder] = {}
_in_use: WeakValueDictionary[tuple[str, Path | None], Embedder] = WeakValueDictionary()
_turn = threading.Lock()


def lay_in(paths: Paths, embedding: str) -> None:
    """Load what commands on a home need, in this thread and with none left behind.

    Parameters
    ----------
    embedding
        The embedding model, as a profile names it. One that cannot be loaded is left to the commands to complain of.
    """
    from scrimp.profiles.errors import ScrimpError
    from scrimp.routing.calls.dispatch import prepare
    from scrimp.routing.ledger.tools import database
    from scrimp.routing.prompts.embedding import Embedder

    for room in _ROOMS:
        package = importlib.import_module(f"scrimp.routing.{room}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    prepare()
    with sqlite3.connect(":memory:") as conn:
        database(conn)
    conn.close()
    for name in _FIRST_USED:
        with contextlib.suppress(ImportError):  # LiteLLM moves its own about
            importlib.import_module(name)
    model = Embedder(embedding, cache_dir=paths.cache)
    try:
        # Whole: what a fork would unpack for its one prompt lies in memory shared with all, and is not copied.
        model.load()
        model.embed(["What is the capital of France?"])
    except ScrimpError:
        return
    _embedders[embedding, paths.cache] = model
    fresh(paths, model.id)


def fresh(paths: Paths, embedder_id: str | None = None) -> None:
    """Load again what has changed on disk since it was loaded."""
    from scrimp.profiles.errors import ScrimpError

    for known in (embedder_id,) if embedder_id is not None else [model.id for model in _embedders.values()]:
        with contextlib.suppress(ScrimpError):  # the command that needs it says what is wrong
            _keep(_router(paths, known))
            _keep(_prices(paths.prices))
            _keep(_abilities(paths.abilities))


def embedder(model: str, cache_dir: Path) -> Embedder:
    """Return an embedder: loaded already if it is in stock, and the one that others in this process have in use."""
    from scrimp.routing.prompts.embedding import BUILTIN_MODEL, Embedder

    known = _embedders.get((model, cache_dir))
    if known is not None:
        return known
    key = (model, None if model == BUILTIN_MODEL else cache_dir)  # the packaged one is in no cache
    with _turn:
        used = _in_use.get(key)
        if used is None:
            used = _in_use[key] = Embedder(model, cache_dir=cache_dir)
        return used


def router(paths: Paths, embedder_id: str) -> Router:
    """Return the router in force (`in_force.load_router`)."""
    found: Router = _take(_router(paths, embedder_id))
    return found


def prices(own: Path) -> PriceTable:
    """Return the price table (`PriceTable.load`).

    Raises
    ------
    ConfigError
        As that.
    """
    found: PriceTable = _take(_prices(own))
    return found


def abilities(own: Path) -> AbilityTable:
    """Return the table of abilities (`ability_files.load_table`).

    Raises
    ------
    ConfigError
        As that.
    """
    found: AbilityTable = _take(_abilities(own))
    return found


def local_weights() -> None:
    """Keep the hash of the packaged local model's weights; the model is loaded by whoever asks it."""
    from scrimp.routing.calls.local_weights import hash_packaged

    hash_packaged()


def network_folder(folder: Path) -> str | None:
    """Return the kind of network file system that a folder is on, or None."""
    from scrimp.routing.ledger.place import network_file_system

    return network_file_system(folder)


class _Goods(NamedTuple):
    """Something that is loaded from files: its name in stock, the files, and how."""

    name: tuple[str, ...]
    files: Callable[[], tuple[Path, ...]]
    load: Callable[[], Any]


def _router(paths: Paths, embedder_id: str) -> _Goods:
    from scrimp.routing.router.in_force import load_router

    def load() -> Router:
        return load_router(None, paths.routers, embedder_id=embedder_id)

    return _Goods(("router", embedder_id, str(paths.routers)), lambda: _router_files(paths.routers), load)


def _prices(own: Path) -> _Goods:
    from scrimp.routing.prices.table import PriceTable

    return _Goods(("prices", str(own)), lambda: (own,), lambda: PriceTable.load(own))


def _abilities(own: Path) -> _Goods:
    from scrimp.routing.router.ability_files import load_table

    return _Goods(("abilities", str(own)), lambda: (own,), lambda: load_table(own))


def _take(goods: _Goods) -> Any:
    """Return what is in stock, if the files it came from are as they were; else load it."""
    found = _kept.get(goods.name)
    if found is None or found[0] != _stamp(goods.files()):
        return goods.load()
    return found[1]


def _keep(goods: _Goods) -> None:
    """Take into stock what is not in it, or has changed."""
    stamp = _stamp(goods.files())
    found = _kept.get(goods.name)
    if found is None or found[0] != stamp:
        _kept[goods.name] = (stamp, goods.load())


def _stamp(files: tuple[Path, ...]) -> _Stamp:
    stamp = []
    for file in files:
        try:
            found = file.stat()
        except OSError:
            stamp.append((str(file), 0, 0, 0))
        else:
            stamp.append((str(file), found.st_ino, found.st_size, found.st_mtime_ns))
    return tuple(stamp)


def _router_files(routers: Path) -> tuple[Path, ...]:
    from scrimp.routing.router.in_force import current_version

    version = current_version(routers)
    if version is None:
        return (routers / "current",)
    folder = routers / Path(version).name
    try:
        return (routers / "current", folder, *sorted(folder.iterdir()))
    except OSError:
        return (routers / "current", folder)
