"""Tells other programs what happened: alerts to a command or an address, spans and metrics to a collector.

It is done after answers are out, from what the ledger holds; what fails is tried again by a later command, and never
fails the request.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ConfigError, ScrimpError, TryAgainError, UsageError
from scrimp.routing.ledger import events, exports
from scrimp.routing.ledger.caps import applicable_caps
from scrimp.routing.ledger.store import instant

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.store import Ledger

__all__ = ["filled_caps", "keep_telling", "past_events", "send_out", "try_alert"]

EVERY_S: Final = 15.0
"""How often what goes on for long looks what is to be told, seconds."""

_AT_ONCE: Final = 256
_REST_S: Final = 30.0
"""How long a collector that did not take what it was sent is left alone, seconds."""

_said: set[str] = set()


def filled_caps(ledger: Ledger, profile: Profile, *, now: float) -> list[str]:
    """Note which caps have newly passed a share of themselves; return a line for each."""
    caps = applicable_caps(ledger, profile, None, now=now)
    return events.passed_caps(
        ledger, caps, profile.alerts.at, profile=profile.name, wanted=profile.alerts.wanted, now=now
    )


def send_out(ledger: Ledger, profile: Profile, *, on_this_machine: bool = False) -> list[str]:
    """Deliver what is to be told; return lines for the user about what could not be, each once a process.

    Parameters
    ----------
    on_this_machine
        Whether nothing may leave this machine: then an address elsewhere is told by a later command.
    """
    try:
        lines = [
            *_alerts(ledger, profile, on_this_machine=on_this_machine),
            *_spans(ledger, profile, on_this_machine=on_this_machine),
        ]
    except ScrimpError as error:
        lines = [error.message]
    except Exception as error:  # noqa: BLE001 - the question is answered: nothing may take that back
        lines = [f"other programs could not be told: {type(error).__name__}: {error}"]
    fresh = [line for line in dict.fromkeys(lines) if line not in _said]
    _said.update(fresh)
    return fresh


def _alerts(ledger: Ledger, profile: Profile, *, on_this_machine: bool) -> list[str]:
    alerts = profile.alerts
    if not alerts.wanted:
        events.keep(ledger, profile.name)
        return []
    from scrimp.routing.signals.alerts import UndeliveredError, deliver, is_here, payload

    if on_this_machine and alerts.url is not None and not is_here(alerts.url):
        return []
    until = time.monotonic() + alerts.timeout_s
    while time.monotonic() < until:
        event = events.claim(ledger, profile.name, now=time.time(), for_s=alerts.timeout_s * 2)
        if event is None:
            break
        try:
            deliver(alerts, payload(event))
        except UndeliveredError as error:
            again = events.failed(ledger, event, str(error))
            rest = "a later command tries again" if again else "it is not tried any more"
            return [f"an alert was not delivered: {error}; {rest} (`scrimp alerts test` tries the way)"]
        events.delivered(ledger, event)
    return []


def _spans(ledger: Ledger, profile: Profile, *, on_this_machine: bool) -> list[str]:
    otel = profile.otel
    exports.ask_for(ledger, profile.name, wanted=otel is not None)
    if otel is None or exports.rests(ledger, profile.name, now=time.time(), most_s=_REST_S):
        return []
    from scrimp.routing.signals.alerts import is_here

    waiting = exports.waiting(ledger, profile.name, limit=_AT_ONCE)
    if not waiting or (on_this_machine and not is_here(otel.endpoint)):
        return []
    from scrimp.routing.signals.telemetry import Collector

    collector = Collector(otel)
    try:
        while waiting:
            calls = exports.calls(ledger, waiting)
            if not collector.export(calls, exports.requests(ledger, waiting)):
                exports.rest(ledger, profile.name, time.time() + _REST_S)
                return ["the collector of [otel] takes no spans: a later command tries again"]
            exports.done(ledger, [call["id"] for call in calls])
            waiting = exports.waiting(ledger, profile.name, limit=_AT_ONCE) if len(waiting) == _AT_ONCE else []
    finally:
        collector.close()
    return []


async def keep_telling(ledger: Ledger, profile: Callable[[], Profile], say: Callable[[str], None]) -> None:
    """Tell, every few seconds and in a thread, what happens, until it is cancelled."""

    def once() -> list[str]:
        own = profile()
        if not own.alerts.wanted and own.otel is None:
            return []
        with contextlib.suppress(ScrimpError):
            return [*filled_caps(ledger, own, now=time.time()), *send_out(ledger, own)]
        return []

    while True:
        await asyncio.sleep(EVERY_S)
        for line in await asyncio.to_thread(once):
            say(line)


def try_alert(profile: Profile, *, on_this_machine: bool) -> dict[str, Any]:
    """Deliver an event of the kind `test` in the way that a profile names; return it, and where it went.

    Raises
    ------
    ConfigError
        If no way is named.
    UsageError
        If nothing may leave this machine, and the address is elsewhere.
    TryAgainError
        If it did not arrive.
    """
    from scrimp.routing.signals.alerts import UndeliveredError, deliver, is_here, payload

    alerts, now = profile.alerts, time.time()
    if not alerts.wanted:
        raise ConfigError(
            f"profile {profile.name} has no [alerts]",
            hint='Write [alerts] with cmd = ["notify-send", "scrimp", "{message}"] or url = "https://...".',
        )
    if on_this_machine and alerts.url is not None and not is_here(alerts.url):
        raise UsageError("the address of [alerts] is not on this machine, and --offline sends nothing beyond it")
    event = payload(
        events.Event((int(now),), instant(now), "test", profile.name, f"a test of profile {profile.name}'s alerts", {})
    )
    try:
        return {"schema_version": 1, "delivered": deliver(alerts, event), "event": event}
    except UndeliveredError as error:
        raise TryAgainError(f"the alert was not delivered: {error}", hint="docs/alerts.md has the ways.") from None


def past_events(ledger: Ledger | None, *, limit: int) -> list[dict[str, Any]]:
    """Return the last events, newest first, and what became of each (`new` ones are still to be delivered)."""
    return events.listing(ledger, limit=limit)
