"""What every command that pays does before and after, alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrimp.routing.ledger import digests
from scrimp.routing.ledger.caps import check_zone
from scrimp.routing.ledger.exports import ask_for
from scrimp.routing.ledger.forget import retire
from scrimp.routing.ledger.reservations import reap
from scrimp.routing.ledger.store import instant
from scrimp.routing.ledger.upkeep import make_sure
from scrimp.routing.retrieval import passages_kept

from .outbox import filled_caps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.store import Ledger

__all__ = ["forget_before", "keep_sums", "look_after", "look_back"]

_SUMMING_S: Final = 5.0
"""How long each kind of sums is made at most: half a million requests."""


def look_after(ledger: Ledger, profile: Profile, *, now: float) -> None:
    """Before anything is paid: look the ledger over, check that its days are the profile's, charge what the dead left.

    Raises
    ------
    LedgerError
        If the ledger is damaged.
    ConfigError
        If the profile's days are not the ledger's.
    """
    make_sure(ledger)
    check_zone(ledger, profile)
    ask_for(ledger, profile.name, wanted=profile.otel is not None)
    reap(ledger, now=now)


def look_back(
    ledger: Ledger,
    profile: Profile,
    *,
    now: float,
    cache: Path | None,
    tell: Callable[[int, bool], None] | None = None,
) -> list[str]:
    """After something was paid: forget what is older than the profile keeps; return which caps are filling up.

    Parameters
    ----------
    cache
        The folder of the cache: the words of files in it go along, and pages of the log that are a day old.
    tell
        Takes how many requests are forgotten so far, and whether that is all.
    """
    before = forget_before(profile, now=now)
    if before is not None and retire(ledger, profile=profile.name, before=before, tell=tell) and cache is not None:
        passages_kept.forget(cache)
    if cache is not None and (pages := cache / "pages").is_dir():
        from scrimp.routing.reports.page.opened import clean

        clean(pages, now=now)
    return filled_caps(ledger, profile, now=now)


def keep_sums(ledger: Ledger) -> None:
    """After many calls: sum up what was logged, for a few seconds at most, so that no report has all of it to read."""
    from scrimp.routing.reports.lengths import tally_lengths
    from scrimp.routing.reports.quality import tally_requests

    digests.keep_up(ledger, "requests", tally_requests, seconds=_SUMMING_S)
    digests.keep_up(ledger, "calls", tally_lengths, seconds=_SUMMING_S)


def forget_before(profile: Profile, *, now: float) -> str | None:
    """Return the instant before which a profile keeps no text; None where it keeps all."""
    days = profile.log.retention_days
    return None if days is None else instant(now - days * 86_400)
