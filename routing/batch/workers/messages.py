"""What a run and its workers tell each other: pickled lists of these, many to a frame.

Both sides run the same version of the same code, started by the same user, and trust each other.
"""

from __future__ import annotations

import pickle
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.profiles.errors import ScrimpError
    from scrimp.routing.asking.plan_choice import PlanChooser
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.batch.planning.choosing import Chooser
    from scrimp.routing.batch.planning.money import Money
    from scrimp.routing.batch.planning.optimise import Rule
    from scrimp.routing.batch.planning.plan import Planner
    from scrimp.routing.batch.rows.flow import Flow
    from scrimp.routing.batch.rows.jobs import Settings
    from scrimp.routing.ledger.batches import Run

__all__ = [
    "Answer",
    "Asked",
    "Bar",
    "Broke",
    "Finish",
    "Gone",
    "Idle",
    "Kit",
    "Learnt",
    "Planned",
    "Ready",
    "Said",
    "Stop",
    "Window",
    "framed",
    "own_version",
    "unframed",
]


def framed(messages: Sequence[object]) -> bytes:
    """Return messages as a frame."""
    return pickle.dumps(messages, protocol=5)


def unframed(frame: bytes) -> list[Any]:
    """Return the messages of a frame, which comes from a process that this user has started."""
    return list(pickle.loads(frame))  # noqa: S301 - see above


def own_version() -> str:
    """Return what both sides must have alike."""
    from importlib.metadata import version

    return f"scrimp {version('scrimp')}, Python {sys.version_info.major}.{sys.version_info.minor}"


# -- from the run to a worker ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kit:
    """What a worker works with: sent first, once.

    Attributes
    ----------
    chooser, planner, settings, flow
        As in `desk.Desk`; the planner's sample stays with the run.
    prices
        The ledger's id of each arm's price.
    keys
        Each arm's key, where it has one.
    plans
        Chooses the rows' plans, without the ledger.
    share
        How many workers there are: of the calls that may be in flight each makes its part.
    repeated, rows_name_arms
        As in `row_runner.RowRunner` and `desk.Desk`.
    """

    run: Run
    chooser: Chooser
    plans: PlanChooser
    planner: Planner
    settings: Settings
    flow: Flow
    prices: Mapping[str, int]
    keys: Mapping[str, str | None] = field(repr=False)
    share: int
    repeated: frozenset[int]
    rows_name_arms: bool


@dataclass(frozen=True, slots=True)
class Window:
    """Rows to decide and ask.

    Attributes
    ----------
    id
        Of the window, which `Planned` gives back.
    money, rule
        As in `row_decider.RowDecider.decide`.
    learned
        What the planner has learnt of costs (`true_usd`, `predicted_usd`, `n_true`).
    last
        Whether rows that the budget does not reach are written off; else they are given back.
    """

    id: int
    rows: Sequence[Row]
    money: Money
    rule: Rule | None
    learned: tuple[Mapping[str, float], Mapping[str, float], Mapping[str, int]]
    last: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an `Asked`: its value, or the error that it raises."""

    token: int
    value: object = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Send nothing more; what is in flight is waited for. Said again, it is given up."""

    why: str


@dataclass(frozen=True, slots=True)
class Bar:
    """No more rows go to an arm."""

    arm: str
    error: ScrimpError


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing more comes: the worker ends."""


# -- from a worker to the run ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker can be given rows; or why not."""

    version: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """Something is to be done with the run's books (`row_books.RowBooks`).

    Attributes
    ----------
    token
        By which its `Answer` is known; 0: none is waited for.
    what
        The name of the function.
    """

    token: int
    what: str
    args: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planned:
    """A window is decided.

    Attributes
    ----------
    costs
        Place, what it is expected to cost (USD) and the variance of that (USD squared), of rows on their way.
    later
        Places of rows that the budget does not seem to reach.
    back
        Places of rows that only the run itself can ask.
    n_planned
        How many have an arm.
    """

    id: int
    costs: Sequence[tuple[int, float, float]]
    later: Sequence[int]
    back: Sequence[int]
    n_planned: int


@dataclass(frozen=True, slots=True)
class Gone:
    """A row is over, with a result or without.

    Attributes
    ----------
    errors
        The kinds of what rows have failed with since the last of these.
    """

    n: int
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a call cost, beside what was predicted (`planning.plan.Planner.learn`)."""

    arm: str
    predicted_usd: float
    true_usd: float


@dataclass(frozen=True, slots=True)
class Said:
    """A line for the user, and of which kind of trouble it is."""

    line: str
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Broke:
    """Something is wrong that ends the run."""

    error: ScrimpError


@dataclass(frozen=True, slots=True)
class Idle:
    """The worker was told to stop, and has nothing in flight any more."""
