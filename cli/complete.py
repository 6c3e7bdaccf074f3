"""What the shell is offered while a command line is typed: names of arms and profiles. Never an error, never slow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scrimp.profiles.schema import Profile

__all__ = [
    "complete_arms",
    "complete_conversations",
    "complete_key_names",
    "complete_plans",
    "complete_profiles",
]


def complete_profiles(incomplete: str) -> list[str]:
    """Offer the profiles' names."""
    from scrimp.profiles.load import list_profiles
    from scrimp.profiles.paths import paths

    try:
        return [each.name for each in list_profiles(paths()) if each.name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a broken profile must not break the shell
        return []


def complete_key_names(incomplete: str) -> list[tuple[str, str]]:
    """Offer the providers whose keys can be stored, with the variable of each."""
    from scrimp.profiles.providers import words

    return [(name, variable) for name, variable in sorted(words().items()) if name.startswith(incomplete.lower())]


def complete_arms(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """Offer the arms of the profile that the command line names, or of the one that would be used."""
    try:
        profile = _profile(ctx.params.get("profile"))
        return [(arm.name, arm.model) for arm in profile.arms if arm.name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a broken profile must not break the shell
        return []


def complete_plans(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """Offer the plans of that profile, with how each is spelled."""
    try:
        plans = _profile(ctx.params.get("profile")).plans
        return [(name, text) for name, text in plans.items() if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a broken profile must not break the shell
        return []


def complete_conversations(incomplete: str) -> list[str]:
    """Offer the names of conversations."""
    try:
        from scrimp.routing.reports.conversations import names

        from . import session

        return [name for name in names(session.ledger_to_read()) if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a broken ledger must not break the shell
        return []


def _profile(name: str | None) -> Profile:
    from scrimp.profiles.load import load_profile
    from scrimp.profiles.paths import paths, working_folder

    return load_profile(name, env=os.environ, cwd=working_folder(), paths=paths()).profile
