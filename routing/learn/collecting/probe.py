"""Place a model that was never seen: ask it short prompts whose answers a machine can check, under their own cap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.errors import BudgetRefusedError, ConfigError, UsageError
from scrimp.profiles.rungs import bare_of
from scrimp.profiles.schema import did_you_mean
from scrimp.routing.ledger.store import new_id
from scrimp.routing.router.learned import LearnedRouter

from .probe_log import LogItem, LogItems
from .probe_place import report_of
from .probe_report import Probed
from .probe_run import Run, prompt_of_item
from .probe_suite import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrimp.routing.asking.workspace import Workspace

    from .probe_report import ProbeReport
    from .probe_suite import ProbeItem

__all__ = ["probe", "router_with_a_scale", "suite_of"]


def probe(
    asker: Workspace,
    arm_name: str,
    *,
    max_nano: int,
    limit: int | None = None,
    kinds: Sequence[str] = (),
    log: LogItems | None = None,
    on_item: Callable[[int, int], None] = lambda _done, _total: None,
) -> ProbeReport:
    """Ask an arm the suite until it is done, or the money is, and place it.

    Parameters
    ----------
    max_nano
        The most to spend, nano-USD; the profile's own caps hold besides.
    limit
        At most so many prompts of the suite; all of them when None.
    kinds
        Only the suite's prompts of these kinds; of all when empty.
    log
        Prompts of the user's log to ask as well, in turn with the suite's.
    on_item
        Told after each prompt how many are done, of how many.

    Raises
    ------
    ConfigError
        If the router in force has no scale of abilities to place the arm on.
    UsageError
        If the profile has no such arm.
    ScrimpError
        If the first call fails for a reason that holds for all (a key, no money).
    """
    router = router_with_a_scale(asker)
    names = [arm.name for arm in asker.decider.profile.arms]
    if arm_name not in names:
        raise UsageError(
            f"profile {asker.decider.profile.name} has no arm {arm_name!r}{did_you_mean(arm_name, names)}",
            hint=f"It has: {', '.join(names)}.",
        )
    log = log or LogItems((), (), {})
    items = _in_turn(limit, log.to_ask, kinds)
    contexts = asker.decider.contexts([prompt_of_item(item).text for item in items])
    run = Run(asker, arm_name, max_nano, new_id(asker.clock()), dict(log.left_out))
    for item, context in zip(items, contexts, strict=True):
        if not run.ask(item, context):
            break
        on_item(len(run.tried), len(items))
    if not run.tried and not log.known:
        raise BudgetRefusedError(run.ended or "nothing could be tried", hint="Raise --max-cost, or the profile's caps.")
    tried = [*run.tried, *(Probed(item, item.reward, "known from the log", 0, asked=False) for item in log.known)]
    placed = [*run.contexts, *(asker.decider.contexts([item.prompt.text for item in log.known]) if log.known else [])]
    return report_of(
        asker,
        router,
        arm_name,
        tried,
        placed,
        logged=[item for item in log.to_ask if bare_of(item.arm) in names],
        charged_nano=run.charged_nano(),
        served=sorted(run.served),
        ended=run.ended,
        left_out=run.left_out,
    )


def router_with_a_scale(asker: Workspace) -> LearnedRouter:
    """Return the router in force, by which an arm can be placed.

    Raises
    ------
    ConfigError
        If it has no scale of abilities.
    """
    router = asker.decider.router
    if not isinstance(router, LearnedRouter):
        raise ConfigError("the router in force has no weights, so there is no scale to place an arm on")
    return router


def suite_of(limit: int | None, kinds: Sequence[str]) -> list[ProbeItem]:
    """Return the suite's prompts of some kinds (all, where none is named), in its order, at most so many."""
    return [item for item in in_order() if not kinds or item.kind in kinds][:limit]


def _in_turn(limit: int | None, logged: Sequence[LogItem], kinds: Sequence[str]) -> list[ProbeItem | LogItem]:
    """Return the suite in its order, and the log's prompts spread evenly among it: both are begun early."""
    suite = suite_of(limit, kinds)
    placed: list[tuple[float, ProbeItem | LogItem]] = [((k + 1) / len(suite), item) for k, item in enumerate(suite)]
    placed += [((k + 1) / len(logged), item) for k, item in enumerate(logged)]
    return [item for _, item in sorted(placed, key=lambda each: each[0])]
