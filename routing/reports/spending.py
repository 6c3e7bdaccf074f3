"""What was spent, by day, week, month, arm, profile, source or tag, and what the caps leave."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import nano_from_usd, usd_from_nano
from scrimp.routing.ledger import spending
from scrimp.routing.ledger.caps import Cap, applicable_caps, cap_states, shared_caps_at
from scrimp.routing.ledger.reservations import reap

from .quality import quality_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.caps import CapState
    from scrimp.routing.ledger.store import Ledger

    from .quality import QualityReport

__all__ = ["GROUPS", "Spending", "Sum", "cap_dict", "cap_states_of", "shared_states", "spending_report", "sums"]

GROUPS = tuple(spending.GROUPS)
"""What spending can be grouped by."""


@dataclass(frozen=True, slots=True)
class Sum:
    """What the calls of one group cost together.

    Attributes
    ----------
    name
        The group: a day, an arm, a tag.
    n_calls
        Calls that were reserved, those that failed included.
    charged_nano
        What counts against the caps, nano-USD: the sum of the next four.
    settled_nano
        Of that, of calls whose cost is known, nano-USD.
    unverified_nano, reserved_nano, unknown_nano
        Of that, at their upper bounds, nano-USD: of calls without a believable usage, of calls in flight, and of calls
        whose process died.
    n_breaches
        Calls that cost more than their upper bound.
    input_tokens, output_tokens
        As reported; None where no call reported any.
    """

    name: str
    n_calls: int
    charged_nano: int
    settled_nano: int
    unverified_nano: int
    reserved_nano: int
    unknown_nano: int
    n_breaches: int
    input_tokens: int | None
    output_tokens: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return it with amounts in USD."""
        data = asdict(self)
        return {
            (key.removesuffix("_nano") + "_usd" if key.endswith("_nano") else key): (
                usd_from_nano(value) if key.endswith("_nano") else value
            )
            for key, value in data.items()
        }


def sums(
    ledger: Ledger, by: str, *, since_day: str | None = None, profile: str | None = None, arm: str | None = None
) -> list[Sum]:
    """Return the sums of a grouping of `GROUPS`: by time in order of time, else dearest first.

    Parameters
    ----------
    since_day
        Only calls from this day (YYYY-MM-DD) on.
    """
    return [Sum(**row) for row in spending.sums(ledger, by, since_day=since_day, profile=profile, arm=arm)]


def cap_dict(state: CapState) -> dict[str, Any]:
    """Return a cap's state as `spend --json` spells it, in USD; `resets_at` is an instant, or None."""
    return {
        "scope": state.cap.scope,
        "limit_usd": usd_from_nano(state.cap.limit_nano),
        "settled_usd": usd_from_nano(state.settled_nano),
        "reserved_usd": usd_from_nano(state.reserved_nano),
        "unknown_usd": usd_from_nano(state.unknown_nano),
        "left_usd": usd_from_nano(state.left_nano),
        "resets_at": state.resets_at,
    }


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent, and what the caps leave.

    Attributes
    ----------
    caps
        Every cap that applies to a profile, with what is charged to its window now.
    rows
        Sums by day, arm or the like.
    open
        The calls whose true cost is not known.
    quality
        What the log says of the answers' quality in the same time.
    zone
        The time zone of days and months; None where there is no ledger yet.
    """

    profile: str
    by: str
    caps: list[CapState]
    rows: list[Sum]
    open: list[dict[str, Any]]
    quality: QualityReport
    zone: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, amounts in USD."""
        return {
            "schema_version": 1,
            "profile": self.profile,
            "zone": self.zone,
            "by": self.by,
            "caps": [cap_dict(state) for state in self.caps],
            "rows": [each.to_dict() for each in self.rows],
            "open": self.open,
            "quality": {key: value for key, value in self.quality.to_dict().items() if key != "schema_version"},
        }


def spending_report(
    ledger: Ledger | None,
    profile: Profile,
    *,
    by: str,
    now: float,
    days: int | None = None,
    only: str | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> Spending:
    """Return what was spent; what dead processes left is charged first.

    Parameters
    ----------
    ledger
        None where there is none yet.
    profile
        Whose caps.
    days
        Only the last so many days, today included.
    only
        Only the calls of this profile.
    tell
        Takes how many requests are summed up so far, and of how many, where sums are missing.
    """
    if ledger is None:
        return Spending(profile.name, by, [], [], [], quality_report(None), None)
    caps = cap_states_of(ledger, profile, now=now)
    since = None if days is None else ledger.windows(now - (days - 1) * 86_400)[0]
    return Spending(
        profile.name,
        by,
        caps,
        sums(ledger, by, since_day=since, profile=only),
        spending.open_calls(ledger),
        quality_report(ledger, since=None if days is None else now - days * 86_400, profile=only, tell=tell),
        ledger.zone_name,
    )


def cap_states_of(ledger: Ledger, profile: Profile, *, now: float) -> list[CapState]:
    """Return every cap of a profile and what it leaves; what dead processes left is charged first."""
    reap(ledger, now=now)
    return cap_states(ledger, _caps(ledger, profile, now=now), now=now)


def _caps(ledger: Ledger, profile: Profile, *, now: float) -> list[Cap]:
    """Return every cap of a profile, that on a single run included: of it all is left to the next run."""
    caps = list(applicable_caps(ledger, profile, None, now=now))
    if profile.caps.per_run_usd is not None:
        caps.insert(profile.caps.per_call_usd is not None, Cap("run", nano_from_usd(profile.caps.per_run_usd), None))
    return caps


def shared_states(ledger: Ledger | None, *, now: float) -> list[CapState]:
    """Return the caps over all profiles and what they leave; what dead processes left is charged first."""
    if ledger is None:
        return []
    reap(ledger, now=now)
    return cap_states(ledger, shared_caps_at(ledger, now=now), now=now)
