"""What a ledger says was paid, to be held against a server's own bill."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scrimp.routing.ledger import reservations
from scrimp.routing.ledger.store import open_ledger

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Account:
    """The charges of a ledger: of settled calls, each; how many are settled in no certain way; which running sums are wrong."""

    settled: list[int]
    unsure: list[int]
    n_live: int
    n_wrong_sums: int

    @property
    def charged(self) -> int:
        """All that counts against caps, in nano-USD."""
        return sum(self.settled) + sum(self.unsure)


def account(path: Path) -> Account:
    """Read a ledger when all who used it are gone, or idle."""
    with open_ledger(path) as ledger:
        reservations.reap(ledger, now=time.time())
        rows = ledger.rows("SELECT status, charged_nano FROM reservations WHERE status != 'released'")
        wrong = len(reservations.audit_balances(ledger))
    by_status: dict[str, list[int]] = {}
    for row in rows:
        by_status.setdefault(row["status"], []).append(int(row["charged_nano"]))
    unsure = by_status.get("unknown", []) + by_status.get("unverified", [])
    return Account(by_status.get("settled", []), unsure, len(by_status.get("reserved", [])), wrong)
