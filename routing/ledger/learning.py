"""The log of learning itself: refits and audits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .store import Ledger

__all__ = ["add_audit", "add_refit", "audits_of", "refits_of"]


def refits_of(ledger: Ledger, profile: str) -> list[dict[str, Any]]:
    """Return a profile's refits, oldest first."""
    return ledger.rows("SELECT * FROM refits WHERE profile = ? ORDER BY id", (profile,))


def add_refit(
    ledger: Ledger,
    *,
    at: str,
    profile: str,
    verdict: str,
    version: str | None,
    tested: bool,
    alpha: float,
    last_label: int,
    forced: bool,
    data: str,
) -> None:
    """Put a refit on record.

    Parameters
    ----------
    version
        The router that was fitted; None where none was kept.
    tested, alpha
        Whether error was spent, and how much, in [0, 1].
    last_label
        Id of the last label that was read.
    data
        JSON: what `refit --json` prints.
    """
    values = {
        "at": at, "profile": profile, "verdict": verdict, "version": version, "tested": int(tested), "alpha": alpha,
        "last_label": last_label, "forced": int(forced), "data": data,
    }  # fmt: skip
    with ledger.transaction():
        ledger.insert("refits", values)


def audits_of(ledger: Ledger, profile: str) -> list[dict[str, Any]]:
    """Return a profile's audits: arm, first_n and last_n (the requests drawn from), n_pool and n_sampled."""
    return ledger.rows("SELECT arm, first_n, last_n, n_pool, n_sampled FROM audits WHERE profile = ?", (profile,))


def add_audit(
    ledger: Ledger, *, at: str, profile: str, arm: str, first_n: int, last_n: int, n_pool: int, n_sampled: int
) -> None:
    """Put an audit on record: `arm` was asked `n_sampled` of `n_pool` requests again, from `first_n` to `last_n`."""
    values = {
        "at": at, "profile": profile, "arm": arm, "first_n": first_n, "last_n": last_n, "n_pool": n_pool,
        "n_sampled": n_sampled,
    }  # fmt: skip
    with ledger.transaction():
        ledger.insert("audits", values)
