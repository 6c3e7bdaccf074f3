"""When something happened, as a person reads it: in the time of this machine (or of TZ), its zone named."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["local_time", "local_time_and_zone", "with_zone"]

_DAY = 10
"""A text of this length is a day without a time: of every zone."""


def local_time(at: str | None, *, seconds: bool = False) -> str:
    """Return an instant as a cell of a table, whose column's title names the zone (`with_zone`); "-" for None.

    Parameters
    ----------
    at
        ISO 8601 with its zone, as the ledger and JSON spell it; a bare date stays as it is.
    """
    if at is None or len(at) <= _DAY:
        return at or "-"
    return _local(at).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def with_zone(title: str, instants: Iterable[str | None]) -> str:
    """Return a column's title with the zone of its instants: `when (CET)`; with both where summer time ends among them.

    Parameters
    ----------
    instants
        As `local_time` takes them. None of them has a time: the title alone.
    """
    zones = dict.fromkeys(_local(at).tzname() for at in instants if at is not None and len(at) > _DAY)
    return f"{title} ({'/'.join(str(zone) for zone in zones)})" if zones else title


def local_time_and_zone(at: str, *, seconds: bool = False) -> str:
    """Return an instant as it stands in a sentence: `2026-12-01 00:00 CET`."""
    return at if len(at) <= _DAY else f"{local_time(at, seconds=seconds)} {_local(at).tzname()}"


def _local(at: str) -> datetime:
    return datetime.fromisoformat(at).astimezone()
