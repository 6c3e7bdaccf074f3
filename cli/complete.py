"""What the shell is offered while a command line is typed: names of arms and profiles. Never an error, never slow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scrimp.profiles.schema import Profile

__all__ = [
    "complete_aliases",
    "complete_arms",
    "complete_conversations",
    "complete_plans",
    "complete_profiles",
    "complete_templates",
]


def complete_profiles(incomplete: str) -> list[str]:
    """Offer the profiles' names."""
    from scrimp.profiles.load import list_profiles
    from scrimp.profiles.paths import paths

    try:
        return [each.name for each in list_profiles(paths()) if each.name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a broken profile must not break the shell
        return []


def complete_arms(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """Offer the arms of the profile that the command line names, or of the one that would be used; and aliases."""
    try:
        known = {arm.name: arm.model for arm in _profile(ctx.params.get("profile")).arms}
    except Exception:  # noqa: BLE001 - a broken profile must not break the shell
        known = {}
    known = dict(complete_aliases("")) | known
    return [(name, model) for name, model in known.items() if name.startswith(incomplete)]


def complete_aliases(incomplete: str) -> list[tuple[str, str]]:
    """Offer the aliases, with what each stands for."""
    from scrimp.profiles.aliases import read_aliases
    from scrimp.profiles.paths import paths

    try:
        return [(name, target) for name, target in read_aliases(paths()).items() if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a broken file must not break the shell
        return []


def complete_templates(incomplete: str) -> list[str]:
    """Offer the names of the user's templates."""
    from scrimp.profiles.paths import paths
    from scrimp.profiles.templates import list_templates

    try:
        return [name for name in list_templates(paths()) if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a broken folder must not break the shell
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
