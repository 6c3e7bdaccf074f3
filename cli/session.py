"""What a command works with: the profile, the prices, the router, the ledger and the keys of this invocation."""

from __future__ import annotations

import contextlib
import os
import random
from functools import cache
from typing import TYPE_CHECKING, Any

from scrimp.profiles.collector import paused
from scrimp.profiles.errors import UsageError
from scrimp.profiles.load import load_profile, override
from scrimp.profiles.money import read_usd
from scrimp.profiles.paths import paths, working_folder

from .once import said_today
from .progress import on_embedded, on_forgotten, one_thread
from .result import say

if TYPE_CHECKING:
    from scrimp.profiles.keys import Keys
    from scrimp.profiles.load import Loaded
    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.asking.hinting import Hinter
    from scrimp.routing.asking.home import Home
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.table import PriceTable

in_use: Profile | None = None
"""The profile that was loaded last: a resident process for the next command is started as it says."""

__all__ = [
    "close",
    "find_key",
    "hinter",
    "home",
    "keys",
    "ledger",
    "ledger_to_read",
    "load",
    "look_back",
    "make_decider",
    "make_rng",
    "parse_usd",
    "price_table",
    "secrets",
    "tell_at_end",
    "tell_nobody",
    "with_model",
    "workspace",
]


def load(
    profile: str | None,
    *,
    prefer: str | None = None,
    wtp: float | None = None,
    min_quality: float | None = None,
    private: str | None = None,
    max_seconds: float | None = None,
    quiet: bool = False,
) -> Loaded:
    """Load the profile to use, with flags laid over it; its notes go to stderr."""
    loaded = load_profile(profile, env=os.environ, cwd=working_folder(), paths=paths())
    if loaded.profile.plans:
        one_thread(children=False)
        from scrimp.routing.asking.named_plans import check_plans

        check_plans(loaded.profile, loaded.tree.at)
    laid: dict[str, Any] = {
        "prefer": prefer, "wtp_usd": wtp, "min_quality": min_quality, "private": private, "max_seconds": max_seconds
    }  # fmt: skip
    if any(value is not None for value in laid.values()):
        loaded = override(loaded, **laid)
    keys().watch(loaded.profile.arms)
    global in_use  # noqa: PLW0603 - of this process's one command
    in_use = loaded.profile
    if not quiet:
        for note in loaded.notes:
            if note != loaded.daily or not said_today(note, paths().said):
                say(note)
    return loaded


def with_model(loaded: Loaded, asked: str | None) -> tuple[Loaded, str | None]:
    """Return the profile with the arm, alias or model that `-m` names among its arms, and what that arm is called.

    Raises
    ------
    UsageError
        If there is nothing of that name, it may be several, or it has no known price.
    """
    if asked is None or any(arm.name == asked for arm in loaded.profile.arms):
        return loaded, asked
    from scrimp.routing.asking.named_arm import arm_of

    global in_use  # noqa: PLW0603 - of this process's one command
    loaded, arm = arm_of(loaded, asked, paths=paths(), keys=keys())
    in_use = loaded.profile
    return loaded, arm


@cache
def home() -> Home:
    """Return the user's files; what is opened of them stays open until `close`."""
    from scrimp.routing.asking.home import Home

    return Home(paths())


def price_table() -> PriceTable:
    """Return the user's own price table over that of the installed LiteLLM."""
    return home().prices()


def make_decider(profile: Profile) -> Decider:
    """Put together what decides for a profile. Nothing heavy is loaded before the first prompt."""
    one_thread(children=False)
    from scrimp.routing.asking.home import make_decider

    return make_decider(profile, paths(), say=say)


def workspace(
    loaded: Loaded, ledger: Ledger, *, seed: int | None = None, calls: bool = True, decider: Decider | None = None
) -> Workspace:
    """Put together what requests of a profile are asked with.

    Parameters
    ----------
    calls
        Whether calls will be made: then LiteLLM is imported beside everything else, and arms need their keys.
    decider
        What decides, where the command has made it already.
    """
    with paused():
        one_thread(children=False)
        from scrimp.routing.asking.workspace import Workspace

    return Workspace.open(
        loaded.profile,
        paths(),
        ledger,
        keys() if calls else None,
        decider=decider,
        say=say,
        rng=make_rng(seed),
        on_embedded=on_embedded,
    )


def hinter(space: Workspace, name: str | None) -> Hinter:
    """Return what puts the user's hints in front of prompts; `name` is the one for all, None draws for the nearest."""
    from scrimp.routing.asking.hinting import open_hinter

    embed = space.decider.embedder.embed
    return open_hinter(
        paths().hints, space.ledger, space.profile.name, embed=embed, rng=space.rng, name=name, say=space.say
    )


def look_back(ledger: Ledger, profile: Profile, *, quiet: bool = False, on_this_machine: bool = False) -> None:
    """After something was paid: say which caps fill up, forget what is older than the profile keeps, tell others.

    Parameters
    ----------
    on_this_machine
        Whether nothing may leave this machine.
    """
    from .upkeep import look_back as lines_of

    for line in lines_of(ledger, profile, paths(), tell=None if quiet else on_forgotten):
        if not quiet:
            say(line)
    tell_at_end(ledger, profile, on_this_machine=on_this_machine)


def tell_at_end(ledger: Ledger, profile: Profile, *, on_this_machine: bool = False) -> None:
    """Deliver the profile's alerts, and export what it asks to, when the command has said all (`close`)."""
    _telling[profile.name] = (ledger, profile, on_this_machine)


def tell_nobody() -> None:
    """Leave that to the next command: the user wants this one to end."""
    _telling.clear()


def _tell() -> None:
    from scrimp.routing.asking.outbox import send_out

    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        for ledger, profile, on_this_machine in _telling.values():
            for line in send_out(ledger, profile, on_this_machine=on_this_machine):
                say(line)


def ledger() -> Ledger:
    """Open the ledger to write, making it on first use; `close` closes it at the command's end."""
    return home().ledger()


def ledger_to_read() -> Ledger | None:
    """Open the ledger to read; None when there is none yet (reading never makes one)."""
    return home().ledger_to_read()


_telling: dict[str, tuple[Ledger, Profile, bool]] = {}


def close() -> None:
    """Tell other programs what is to be told, and close what this command opened."""
    if _telling:
        _tell()
        _telling.clear()
    if home.cache_info().currsize:
        home().close()
        home.cache_clear()


@cache
def keys() -> Keys:
    """Return the keys of this process's environment and user, read once."""
    from scrimp.profiles.keys import Keys

    return Keys(os.environ, paths())


def find_key(arm: Arm) -> str | None:
    """Return an arm's key, or None where it needs none; raise where it cannot be called."""
    from scrimp.routing.asking.home import find_key

    return find_key(arm, keys())


def secrets() -> list[str]:
    """Return every key that this process could know, to keep them out of what is printed."""
    try:
        return list(keys().secrets())
    except Exception:  # noqa: BLE001 - used while reporting another error
        return []


def make_rng(seed: int | None) -> random.Random:
    """Return the generator that exploration draws from."""
    return random.Random(seed)  # noqa: S311 - exploration, not secrets


def parse_usd(value: str | None, flag: str) -> int | None:
    """Read an amount given on the command line, in USD, as nano-USD.

    Raises
    ------
    UsageError
        If it is not an amount, or is out of range.
    """
    if value is None:
        return None
    try:
        return read_usd(value)
    except ValueError as error:
        shown = value if len(value) <= 40 else f"{value[:37]}..."
        raise UsageError(f"{flag}: expected an amount in USD such as 0.05, not {shown!r}: {error}") from None
