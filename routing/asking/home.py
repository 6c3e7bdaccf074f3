"""A user's own files, opened when first asked for: the ledger, the prices, the embedders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from scrimp.profiles.paths import Paths
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.table import PriceTable

__all__ = ["Home"]


@dataclass(frozen=True, slots=True)
class Home:
    """Where a user's files are, and which of them this process has open. Nothing is imported before it is needed."""

    paths: Paths
    _open: list[Ledger] = field(default_factory=list)

    def ledger(self) -> Ledger:
        """Open the ledger to write, making it on first use.

        Raises
        ------
        LedgerError
            If it is damaged, newer than this version, or cannot be written.
        """
        from scrimp.routing.ledger.store import open_ledger

        self._open.append(open_ledger(self.paths.ledger))
        return self._open[-1]

    def ledger_to_read(self) -> Ledger | None:
        """Open the ledger; None when there is none yet (reading never makes one)."""
        return self.ledger() if self.paths.ledger.exists() else None

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
