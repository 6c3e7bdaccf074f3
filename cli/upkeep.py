"""What is done after something was paid, by commands and by the Python face alike."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.paths import Paths
    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.store import Ledger

__all__ = ["look_back"]


def look_back(
    ledger: Ledger, profile: Profile, paths: Paths, *, tell: Callable[[int, bool], None] | None = None
) -> list[str]:
    """Forget what is older than the profile keeps; return which caps are filling up, a line each.

    Parameters
    ----------
    tell
        Takes how many requests are forgotten so far, and whether that is all.
    """
    from scrimp.routing.asking import housekeeping

    now = time.time()
    lines = housekeeping.look_back(ledger, profile, now=now, cache=paths.cache, tell=tell)
    before = housekeeping.forget_before(profile, now=now)
    if before is not None and next(paths.batches.glob("*.journal"), None) is not None:
        from scrimp.routing.batch.state import parked

        parked.retire(ledger, paths.batches, profile=profile.name, before=before)
    return lines
