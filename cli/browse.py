"""`scrimp log browse`: the log as a page, opened with the system's browser."""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.paths import paths

from . import session
from .log_filters import ArmFilter, CidFilter, ProfileFilter, TagFilter
from .options import DaysOption, JsonOption, SinceOption, days_back
from .outputs import own_page
from .result import Result, emit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["browse"]


def browse(
    words: Annotated[
        str | None, typer.Argument(metavar="[WORDS]", help="Words that prompt or answer must hold.")
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=2000, help="How many, newest first.")] = 200,
    arm: ArmFilter = None,
    profile: ProfileFilter = None,
    tag: TagFilter = None,
    days: DaysOption = None,
    since: SinceOption = None,
    cid: CidFilter = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the page there, and open nothing.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """Open the log as a page in a browser: a row for each request, which opens to its texts, decision and calls.

    The page asks no network. It is private and goes after a day; --output keeps it.
    """
    from scrimp.routing.reports.conversations import id_of
    from scrimp.routing.reports.entries import entries
    from scrimp.routing.reports.page.browse import browse_html

    ledger, now = session.ledger_to_read(), time.time()
    of = None if cid is None else id_of(ledger, cid)
    found = entries(
        ledger,
        now=now,
        days=days_back(days, since, now=now),
        query=words,
        limit=limit,
        arm=arm,
        profile=profile,
        tag=tag,
        conversation=of,
    )
    chosen = {"arm": arm, "profile": profile, "tag": tag, "conversation": cid, "with": words}
    told = [f"{name} {value}" for name, value in chosen.items() if value is not None]
    told += [] if days is None else [f"the last {days:g} days"]
    told += [] if since is None else [f"since {since}"]
    zone = None if ledger is None else ledger.zone
    made = datetime.fromtimestamp(now, zone).strftime("%Y-%m-%d %H:%M")
    page = browse_html(found, made_at=made, filters=", ".join(told)).encode()
    path = _place(now) if out is None else out.absolute()
    with own_page(path, "log") as file:
        file.write(page)
    opened = out is None and not json and _open(path)
    data = {
        "schema_version": 1, "path": str(path), "n_bytes": len(page), "requests": len(found), "opened": opened
    }  # fmt: skip
    said = f"{len(found):,} {'request' if len(found) == 1 else 'requests'}, {len(page) / 1000:,.0f} kB"
    if not opened:
        said += "; open it with a browser" + ("" if out is not None else ", within a day")
    return emit(Result(data=data, blocks=(str(path),), messages=(said,)), as_json=json)


def _place(now: float) -> Path:
    from scrimp.routing.reports.page.opened import new_place

    folder = paths().pages
    try:
        return new_place(folder, now=now)
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror}", hint="--output FILE writes elsewhere."
        ) from None


def has_display(env: Mapping[str, str], platform: str) -> bool:
    """Tell whether a browser could show a page here: one is named, or there is a screen."""
    return bool(env.get("BROWSER") or env.get("DISPLAY") or env.get("WAYLAND_DISPLAY")) or platform == "darwin"


def _open(path: Path) -> bool:
    """Open a page with the system's browser; return whether there was one."""
    if not has_display(os.environ, sys.platform):
        return False
    import webbrowser

    return webbrowser.open(path.as_uri())
