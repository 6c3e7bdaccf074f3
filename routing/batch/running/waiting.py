"""What a run has with providers, from outside of it: how it stands, giving it up, and settling what is loose."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ScrimpError
from scrimp.routing.asking.books import write
from scrimp.routing.batch.rows.reaching import SETTLES_S, placed, posix_of, reach
from scrimp.routing.batch.state.loose_calls import settled_alone
from scrimp.routing.calls.dispatch import aclose, get_ready
from scrimp.routing.calls.faults import CallError, to_scrimp_error
from scrimp.routing.calls.provider_batches.protocol import Undecided
from scrimp.routing.ledger import provider_batches
from scrimp.routing.ledger.batches import listing as runs_listed
from scrimp.routing.ledger.store import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrimp.profiles.schema import Arm
    from scrimp.routing.calls.provider_batches.protocol import ProviderBatch, Result, Standing
    from scrimp.routing.ledger.batches import Run
    from scrimp.routing.ledger.provider_batches import Handed
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Account", "Looked", "any_open", "by_run", "give_up", "look_at", "n_waiting", "settle_all"]

_OPEN: Final = ("submitting", "going")
_CANCEL_S: Final = 60.0
_POLL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks providers.

    Attributes
    ----------
    arms
        Those of the profile that handed the batches over.
    key
        Returns an arm's key.
    """

    arms: Sequence[Arm]
    key: Callable[[Arm], str | None]

    async def reach(self, handed: Handed) -> ProviderBatch:
        """Return how a batch is reached.

        Raises
        ------
        ScrimpError
            If it cannot be.
        """

        async def ready(model: str) -> None:
            await asyncio.to_thread(get_ready, model)

        return await reach(handed, self.arms, self.key, ready)


@dataclass(frozen=True, slots=True)
class Looked:
    """A batch as its provider has it, as far as it could be asked.

    Attributes
    ----------
    problem
        Why it could not.
    """

    handed: Handed
    problem: str | None = None


def by_run(ledger: Ledger, which: str | None) -> list[tuple[Run | None, list[Handed]]]:
    """Return batches, by run: those of the one that is named (or the one batch), or all that hold calls."""
    found: dict[str, list[Handed]] = {}
    for each in provider_batches.listed(ledger, which):
        found.setdefault(each.run_id, []).append(each)
    runs = {run.id: run for run in runs_listed(ledger, limit=None)}
    return [(runs.get(run_id), batches) for run_id, batches in found.items()]


def n_waiting(ledger: Ledger, run_id: str) -> int:
    """Return how many calls of a run are with providers."""
    return provider_batches.n_held(ledger, run_id)


def any_open(batches: Sequence[Handed]) -> bool:
    """Tell whether any batch may have changed since its provider was last asked."""
    return any(each.status in _OPEN for each in batches)


async def look_at(ledger: Ledger, batches: Sequence[Handed], account: Account, *, now: float) -> list[Looked]:
    """Ask how batches stand that are not over, and note it."""
    found = []
    try:
        for handed in batches:
            if handed.status not in _OPEN:
                found.append(Looked(handed))
                continue
            try:
                known, _, _ = await _look(ledger, handed, account, now=now)
            except (CallError, ScrimpError, Undecided) as error:
                found.append(Looked(handed, getattr(error, "message", str(error))))
            else:
                found.append(Looked(known))
    finally:
        await aclose()
    return found


async def _look(
    ledger: Ledger, handed: Handed, account: Account, *, now: float
) -> tuple[Handed, ProviderBatch, Standing | None]:
    """Return how a batch stands: None where its provider does not have it."""
    api = await account.reach(handed)
    if handed.provider_id is None:
        names, known = provider_batches.added(ledger, handed.id), provider_batches.known_ids(ledger)
        at = posix_of(handed.at)
        found = await api.find(handed.id, names, since=at - SETTLES_S, known=known)
        if found is None:
            if now - at >= SETTLES_S:
                handed = _note(ledger, handed, status="lost")
            return handed, api, None
        handed = _note(ledger, handed, provider_id=found, status="going")
    assert handed.provider_id is not None  # noqa: S101 - it was found
    standing = await api.look(handed.provider_id)
    told: dict[str, Any] = {"status": standing.state, "word": standing.word, "n_done": standing.n_done}
    if standing.expires_at is not None:
        told["expires_at"] = instant(standing.expires_at)
    if standing.state != "going":
        told["ended_at"] = instant(standing.ended_at or now)
    return _note(ledger, handed, **told), api, standing


def _note(ledger: Ledger, handed: Handed, **told: Any) -> Handed:
    provider_batches.standing(ledger, handed.id, **told)
    return replace(handed, **told)


async def give_up(
    ledger: Ledger,
    batches: Sequence[Handed],
    account: Account,
    *,
    clock: Callable[[], float],
    say: Callable[[str], None],
) -> int:
    """Cancel batches at their providers, and settle what was done; return how many calls are still there."""
    try:
        for handed in batches:
            try:
                known, api, standing = await _look(ledger, handed, account, now=clock())
                if standing is not None and standing.state == "going":
                    await api.cancel(standing.id)
                    until = clock() + _CANCEL_S
                    while standing is not None and standing.state == "going" and clock() < until:
                        await asyncio.sleep(_POLL_S)
                        known, api, standing = await _look(ledger, known, account, now=clock())
                await _settle(ledger, known, api, standing, now=clock())
            except (CallError, ScrimpError, Undecided) as error:
                say(getattr(error, "message", str(error)))
    finally:
        await aclose()
    return sum(len(provider_batches.calls_of(ledger, handed.id)) for handed in batches)


async def settle_all(ledger: Ledger, batches: Sequence[Handed], account: Account, *, clock: Callable[[], float]) -> int:
    """Settle what is done of batches whose run is over; return how many calls are still with providers.

    Raises
    ------
    ScrimpError
        If a provider cannot be asked.
    """
    try:
        for handed in batches:
            try:
                known, api, standing = await _look(ledger, handed, account, now=clock())
                await _settle(ledger, known, api, standing, now=clock())
            except Undecided:
                continue
            except CallError as error:
                raise to_scrimp_error(error, next(arm for arm in account.arms if arm.name == handed.arm)) from None
    finally:
        await aclose()
    return sum(len(provider_batches.calls_of(ledger, handed.id)) for handed in batches)


async def _settle(ledger: Ledger, handed: Handed, api: ProviderBatch, standing: Standing | None, *, now: float) -> None:
    never = handed.status == "lost" or (standing is not None and standing.state == "failed")
    if not never and (standing is None or standing.state == "going"):
        return
    came: dict[str, Result] = {}
    if not never and standing is not None:
        nameless: list[Result] = []
        async for result in api.results(standing.id):
            if result.custom_id:
                came.setdefault(result.custom_id, result)
            else:
                nameless.append(result)
        for result in placed(nameless, provider_batches.added(ledger, handed.id)):
            came.setdefault(result.custom_id, result)
    given_up = never or (standing is not None and ("cancel" in standing.word or "expire" in standing.word))
    records = [
        settled_alone(held, came.get(held.custom_id), never=given_up and held.custom_id not in came)
        for held in provider_batches.calls_of(ledger, handed.id)
    ]
    write(ledger, records, now=now, at=instant(now))
