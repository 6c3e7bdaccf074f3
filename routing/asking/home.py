"""A user's own files, opened when first asked for: the ledger, the prices, the embedders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scrimp.profiles.errors import AuthError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scrimp.profiles.keys import Keys
    from scrimp.profiles.paths import Paths
    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.table import PriceTable

__all__ = ["Home", "find_key", "make_decider", "stamp"]


@dataclass(frozen=True, slots=True)
class Home:
    """Where a user's files are, and which of them this process has open. Nothing is imported before it is needed."""

    paths: Paths
    _open: list[Ledger] = field(default_factory=list)

    def ledger(self) -> Ledger:
        """Open the ledger to write, making it on first use; it is looked over before anything is written.

        Raises
        ------
        LedgerError
            If it is damaged, newer than this version, or cannot be written.
        """
        from scrimp.routing.ledger.store import open_ledger
        from scrimp.routing.ledger.upkeep import make_sure

        self._open.append(open_ledger(self.paths.ledger))
        make_sure(self._open[-1])
        return self._open[-1]

    def ledger_to_read(self) -> Ledger | None:
        """Open the ledger; None when there is none yet (reading never makes one)."""
        from scrimp.routing.ledger.store import read_ledger

        found = read_ledger(self.paths.ledger)
        if found is not None:
            self._open.append(found)
        return found

    def prices(self) -> PriceTable:
        """Return the user's own price table over that of the installed LiteLLM."""
        from scrimp.routing.prices.table import PriceTable

        return PriceTable.load(self.paths.prices)

    def fetch_embedder(self, model: str) -> Path:
        """Download an embedding model by fastembed's name into the cache; return its folder.

        Raises
        ------
        ConfigError, ProviderError
            If fastembed does not support it, the cache cannot be written, or the model hub cannot be reached.
        """
        from scrimp.routing.prompts.embedding import fetch

        return fetch(model, self.paths.cache)

    def close(self) -> None:
        """Close what was opened."""
        while self._open:
            self._open.pop().close()


def make_decider(profile: Profile, paths: Paths, *, say: Callable[[str], None] = lambda _line: None) -> Decider:
    """Put together what decides for a profile. Nothing heavy is loaded before the first prompt."""
    from scrimp.routing.deciding.decide import Decider

    from . import stock

    embedder = stock.embedder(profile.embedding.model, paths.cache)
    router = stock.router(paths, embedder.id)
    if router.note:
        say(router.note)
    pool = None
    if profile.pool is not None:
        from scrimp.routing.deciding.pool import ArmPool

        pool = ArmPool(profile, paths.cache, embedder, say=say)
    remembering = None
    if any(arm.about is not None for arm in profile.arms):
        from scrimp.routing.prompts.vector_cache import VectorCache

        remembering = VectorCache(embedder, paths.abouts)
    prices, abilities = stock.prices(paths.prices), stock.abilities(paths.abilities)
    machine = None
    if any(arm.model.startswith("local/") for arm in profile.arms):
        from scrimp.routing.calls.machine import Machine

        machine = Machine(paths.machine)
    return Decider(profile, prices, router, embedder, abilities, pool, remembering=remembering, machine=machine)


def stamp(paths: Paths) -> tuple[tuple[int, int] | None, ...]:
    """Return what tells whether the user's router, prices, abilities or keys have changed since.

    For each file, when it was written (ns) and how long it is (bytes); None where it is not there.
    """
    return tuple(map(_written, (paths.routers / "current", paths.prices, paths.abilities, paths.keys)))


def _written(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def find_key(arm: Arm, keys: Keys) -> str | None:
    """Return an arm's key, or None where it needs none.

    Raises
    ------
    AuthError
        If it needs one that is not set.
    ConfigError
        If it runs in this process and its engine or weights are missing, or it has no address to be called at.
    """
    from scrimp.profiles.addresses import needs_address
    from scrimp.profiles.keys import key_names

    if arm.model.startswith("local/"):
        from scrimp.routing.calls.local_weights import check_available

        check_available(arm.model)
        return None
    if (missing := needs_address(arm)) is not None:
        hint = "`scrimp setup` asks for what is missing, or write it into a profile of your own."
        raise ConfigError(f"arm {arm.name}: {missing}", hint=hint)
    key = keys.resolve(arm)
    if key is not None:
        return key.reveal()
    if keys.status(arm) == "missing":
        name = key_names(arm)[0]
        raise AuthError(
            f"no key for {arm.name}: {name} is not set",
            hint=f"Store one with `scrimp keys set {name}`, or export {name}.",
        )
    return None
