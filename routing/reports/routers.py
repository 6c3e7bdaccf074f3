"""Versions of the router: what the gate said of each, and which one is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import DataError
from scrimp.routing.router.versions import current_name, folder_of, history, list_versions, version_names

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["router_version", "router_versions", "version_names"]


def router_versions(routers: Path) -> list[dict[str, Any]]:
    """Return a row for each version, oldest first, with the gate's reasons."""
    return [
        {
            "name": each.name,
            "current": each.current,
            "verdict": each.verdict.get("verdict"),
            "forced": bool(each.verdict.get("forced")),
            "at": each.verdict.get("at") or each.card.get("date"),
            "profile": each.verdict.get("profile"),
            "n_labels": each.verdict.get("n_labels"),
            "problem": each.problem,
            "reasons": list(each.verdict.get("reasons") or []),
        }
        for each in list_versions(routers)
    ]


def router_version(routers: Path, name: str | None) -> dict[str, Any]:
    """Return one version (the one in force unless named): its card, its verdict, and when it was in force.

    Raises
    ------
    DataError, UsageError
        If there is none of that name, or it cannot be shown.
    """
    name = name or current_name(routers)
    each = next((one for one in list_versions(routers) if one.name == name), None)
    if each is None:
        folder_of(routers, name)  # raises, naming what there is
        raise DataError(f"router version {name!r} cannot be shown")
    events = [event for event in history(routers) if event["version"] == name]
    return {
        "schema_version": 1, "name": name, "current": each.current, "problem": each.problem, "card": dict(each.card),
        "verdict": dict(each.verdict), "history": events,
    }  # fmt: skip
