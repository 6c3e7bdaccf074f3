"""Delivers an event to the command or the address that a profile names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from scrimp.profiles.environment import command_environment

if TYPE_CHECKING:
    from scrimp.profiles.schema import Alerts
    from scrimp.routing.ledger.events import Event

__all__ = ["SCHEMA_VERSION", "UndeliveredError", "deliver", "is_here", "payload", "why_broken"]

SCHEMA_VERSION: Final = 1

_DESKTOP: Final = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS")
"""What `notify-send` and its like find the user's desktop by."""

_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class UndeliveredError(Exception):
    """An event was not delivered; the message says why, and names no address beyond its host."""


def payload(event: Event) -> dict[str, Any]:
    """Return an event as it is delivered (docs/alerts.md has the schema)."""
    return {
        "schema_version": SCHEMA_VERSION,
        "id": f"{event.kind}-{event.ids[0]}",
        "at": event.at,
        "kind": event.kind,
        "profile": event.profile,
        "message": event.message,
        "data": event.data,
    }


def is_here(url: str) -> bool:
    """Tell whether an address is on this machine."""
    return urlsplit(url).hostname in _HERE


def why_broken(alerts: Alerts) -> str | None:
    """Return what is wrong with a way of delivery, as far as can be told without using it; None where nothing is."""
    if alerts.cmd is not None and shutil.which(alerts.cmd[0]) is None:
        return f"alerts.cmd: there is no program {alerts.cmd[0]!r}"
    return None


def deliver(alerts: Alerts, event: dict[str, Any]) -> str:
    """Deliver an event; return where it went, in words.

    Raises
    ------
    UndeliveredError
        If that did not work, or took too long.
    """
    if alerts.cmd is not None:
        return _run(alerts.cmd, event, alerts.timeout_s)
    assert alerts.url is not None  # noqa: S101 - the caller has looked
    return _post(alerts.url, event, alerts.timeout_s)


def _run(cmd: tuple[str, ...], event: dict[str, Any], timeout_s: float) -> str:
    words = [word.replace("{message}", event["message"]).replace("{kind}", event["kind"]) for word in cmd]
    env = command_environment(os.environ) | {name: os.environ[name] for name in _DESKTOP if name in os.environ}
    env |= {f"SCRIMP_ALERT_{key.upper()}": str(event[key]) for key in ("id", "kind", "profile", "message")}
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        raise UndeliveredError(f"{cmd[0]} cannot be run: {error.strerror or error}") from None
    with process:
        try:
            process.communicate(json.dumps(event).encode() + b"\n", timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise UndeliveredError(f"{cmd[0]} took longer than {timeout_s:g} s") from None
        except BaseException:
            _kill(process)
            raise
    if process.returncode != 0:
        raise UndeliveredError(f"{cmd[0]} ended with {process.returncode}")
    return f"{cmd[0]} was run"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and what it started."""
    import contextlib
    import signal

    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:  # Windows: what it started is left
            process.kill()
    process.wait()


def _post(url: str, event: dict[str, Any], timeout_s: float) -> str:
    import httpx

    host = urlsplit(url).hostname
    try:
        with httpx.Client(timeout=timeout_s, follow_redirects=False, trust_env=not is_here(url)) as client:
            reply = client.post(url, json=event, headers={"user-agent": "scrimp"})
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        why = "took too long" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
        raise UndeliveredError(f"{host} {why} ({type(error).__name__})") from None
    if reply.is_redirect:
        raise UndeliveredError(f"{host} answers {reply.status_code}: redirects are not followed")
    if not reply.is_success:
        raise UndeliveredError(f"{host} answers {reply.status_code}")
    return f"{host} answered {reply.status_code}"
