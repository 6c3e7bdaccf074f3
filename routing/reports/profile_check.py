"""What is wrong, or soon will be, with a profile that loads: models going away, prices and keys that are missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, Literal

from scrimp.profiles.addresses import needs_address
from scrimp.profiles.credentials import how_to_give
from scrimp.profiles.errors import ConfigError
from scrimp.profiles.keys import key_names, provider_of
from scrimp.profiles.schema import REASONING_OUTPUT_LIMIT
from scrimp.profiles.served import unnamed
from scrimp.routing.calls.local_weights import PROVIDER, check_available
from scrimp.routing.calls.reasoning import no_room, reasoning_room, shortened
from scrimp.routing.calls.whole_prompt import by_ollama
from scrimp.routing.prompts.instructions import dressed, instructions_id
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.prompts.tokens import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrimp.profiles.keys import Keys
    from scrimp.profiles.load import Loaded
    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.prices.table import PriceTable

__all__ = ["Finding", "Level", "check_profile"]

Level = Literal["error", "warning", "note"]

_SOON: Final = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark about a profile.

    Parameters
    ----------
    level
        "error": an arm cannot be used; "warning": it will stop being usable, or is not safe; "note": good to know.
    where
        The part of the profile, such as `arm "small"`.
    message
        What is the matter.
    fix
        What to do about it; None when there is nothing to do.
    """

    level: Level
    where: str
    message: str
    fix: str | None = None


def check_profile(loaded: Loaded, table: PriceTable, keys: Keys, *, today: date) -> tuple[Finding, ...]:
    """Return what stands in the way of each arm, and what will.

    Parameters
    ----------
    loaded
        The profile.
    table
        The price table.
    keys
        The keys that are set and stored; no key command is run.
    today
        Today's date.
    """
    findings = [finding for arm in loaded.profile.arms for finding in _check_arm(arm, table, keys, today)]
    if loaded.profile.policy.wtp == 0:
        findings.append(Finding("note", "policy", "wtp_usd is 0: the cheapest arm is always taken"))
    if all(value is None for value in _caps(loaded)) and any(_may_cost(arm, table) for arm in loaded.profile.arms):
        findings.append(
            Finding("warning", "caps", "no cap is set: nothing limits what this profile spends", "set caps.per_day_usd")
        )
    if loaded.profile.pool is not None:
        findings += _check_pool(loaded.profile)
    default = loaded.profile.default
    if any(finding.level == "error" and finding.where == _where(default) for finding in findings):
        findings.append(
            Finding(
                "error",
                "default_arm",
                f"{default.name!r}, the arm taken when the router should not be trusted, cannot be used",
                "make another arm the default, or mend this one",
            )
        )
    return tuple(findings)


def _check_pool(profile: Profile) -> Iterator[Finding]:
    """Yield what is wrong with the files of a profile's pool; those are left out, and all else works."""
    from scrimp.routing.deciding.pool import check_pool

    try:
        cards, wrong = check_pool(profile)
    except ConfigError as error:
        yield Finding("error", "pool", error.message, error.hint)
        return
    for message in wrong:
        yield Finding("error", "pool", message, "mend it: until then it is no arm")
    if not cards and not wrong:
        yield Finding("warning", "pool", "there is no Markdown file in the folder", "add one, or take [pool] out")


def _check_arm(arm: Arm, table: PriceTable, keys: Keys, today: date) -> Iterator[Finding]:
    where = _where(arm)
    info = table.model_info(arm)
    instead = f"its likely successor is {info.successor}" if info.successor else "`scrimp models` lists what is known"
    if table.price(arm) is None:
        if info.known:
            message = f"{arm.model} has no price in the table of {table.source}: it is never sent"
        else:
            message = f"{arm.model} is not in the price table of {table.source}, so it has no price: it is never sent"
        fix = f"state a price (0 is allowed) if the name is right; {instead}"
        yield Finding("error", where, message, fix)
    if info.deprecation_date is not None:
        yield from _check_date(arm, info.deprecation_date, instead, today)
    if arm.model.startswith(f"{PROVIDER}/"):
        yield from _check_local(arm)
    elif (missing := needs_address(arm)) is not None:
        fix = f'model = "{arm.provider}/NAME"' if unnamed(arm) else 'api_base = "https://..."'
        yield Finding("error", where, missing, fix)
    elif keys.status(arm) == "missing":
        names = key_names(arm)
        yield Finding("error", where, f"no key: {' or '.join(names)} is not set", f"scrimp keys set {names[0]}")
    elif keys.status(arm) == "not seen":
        message = "no credentials are seen here; a machine of the provider's own may have a role, which cannot be seen"
        yield Finding("warning", where, message, how_to_give(provider_of(arm)))
    if arm.api_base is not None and arm.api_base.startswith("http://") and keys.status(arm) != "not needed":
        host = arm.api_base.removeprefix("http://").partition("/")[0]
        if not _loopback(host):
            yield Finding("warning", where, f"its key and prompts go to {host} unencrypted", "use an https:// address")
    if info.max_output_tokens is not None and (arm.max_output_tokens or 0) > info.max_output_tokens:
        yield Finding(
            "warning",
            where,
            f"max_output_tokens is {arm.max_output_tokens}, but {arm.model} produces {info.max_output_tokens} at most",
            f"lower it to {info.max_output_tokens}: more than that is reserved for nothing",
        )
    yield from _check_reasoning(arm, table)
    yield from _check_told(arm, table)
    if by_ollama(arm.model) and "num_ctx" not in arm.params and (arm.context_window or info.max_input_tokens) is None:
        message = "Ollama reads a few thousand tokens of a longer prompt and cuts the rest: its window is not known"
        yield Finding("warning", where, message, "set context_window: it is sent as num_ctx")
    if arm.tier is None and not info.known:
        yield Finding("note", where, "it has no tier: its quality is guessed from its price", 'set tier = "small"')


def _check_local(arm: Arm) -> Iterator[Finding]:
    """Yield why an arm cannot run in this process: it needs the extra `local`, or another file."""
    try:
        check_available(arm.model)
    except ConfigError as error:
        yield Finding("error", _where(arm), error.message, error.hint)


def _check_reasoning(arm: Arm, table: PriceTable) -> Iterator[Finding]:
    limit, room = table.output_limit(arm), reasoning_room(arm.model, arm.reasoning_effort, arm.params)
    enough = f'raise max_output_tokens (to {REASONING_OUTPUT_LIMIT:,}, say), or set reasoning_effort = "none"'
    why, budget = no_room(room, limit), shortened(room, limit)
    if why is not None:
        yield Finding("error", _where(arm), f"{why}: it is never sent", enough)
    elif budget is not None and room is not None:
        message = f"its reasoning is cut from {room.wanted:,} tokens to {budget:,}: max_output_tokens is {limit:,}"
        yield Finding("warning", _where(arm), message, enough)


def _check_told(arm: Arm, table: PriceTable) -> Iterator[Finding]:
    window, limit = arm.context_window or table.model_info(arm).max_input_tokens, table.output_limit(arm)
    told = estimate_tokens(dressed(Prompt(""), arm))
    if window is not None and instructions_id(arm) is not None and told + limit > window:
        message = f"what it is told (about {told:,} tokens) and max_output_tokens ({limit:,}) do not fit its window"
        yield Finding(
            "error", _where(arm), f"{message} of {window:,}: it is never sent", "shorten its system or prompt"
        )


def _check_date(arm: Arm, deprecated: str, instead: str, today: date) -> Iterator[Finding]:
    try:
        end = date.fromisoformat(deprecated)
    except ValueError:
        return
    if end <= today:
        yield Finding("error", _where(arm), f"{arm.model} was withdrawn on {end}", instead)
    elif end <= today + _SOON:
        yield Finding("warning", _where(arm), f"{arm.model} will be withdrawn on {end}", instead)
    else:
        yield Finding("note", _where(arm), f"{arm.model} is to be withdrawn on {end}", instead)


def _where(arm: Arm) -> str:
    return f'arm "{arm.name}"'


def _caps(loaded: Loaded) -> tuple[object, ...]:
    caps = loaded.profile.caps
    return (caps.per_call_usd, caps.per_run_usd, caps.per_day_usd, caps.per_month_usd)


def _may_cost(arm: Arm, table: PriceTable) -> bool:
    price = table.price(arm)
    return price is not None and not price.free


def _loopback(host: str) -> bool:
    """Return whether a host, with or without its port, is this machine."""
    from ipaddress import ip_address

    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        return name == "localhost" or ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
