"""What duels say: how strong each arm is, how sure that is, by kind of prompt, and what an answer of it costs."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scrimp.routing.learn.data.contestants import fit_of, sides_of
from scrimp.routing.learn.maths.kmeans import clusters_of
from scrimp.routing.ledger.duels import duels_of
from scrimp.routing.ledger.store import instant
from scrimp.routing.prices.price import ArmPrice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.learn.data.contestants import Contestant, Standing
    from scrimp.routing.ledger.store import Ledger

    Row = Mapping[str, Any]

__all__ = ["DuelReport", "KindReport", "SideReport", "Strength", "duel_report"]

ENOUGH_OF_A_KIND: Final = 30
"""Duels of one kind of prompt from which on its own strengths are told."""

ENOUGH_EACH: Final = 5
"""Duels for each contestant below which an order is called a guess."""

_MOST_KINDS: Final = 6


@dataclass(frozen=True, slots=True)
class Strength:
    """How one contestant stands.

    Attributes
    ----------
    model, instructions
        What the arm was then: with another model or other instructions it is another contestant.
    n, won, tied, lost
        Its duels; one in which neither answer was good counts as tied.
    strength, low, high
        In logits above the mean of all, with its 95% interval.
    beats_average
        P(it is preferred to one of average strength | one of them is), in [0, 1].
    above_next
        P(it is stronger than the next one below), in [0, 1]; None for the last.
    usd_per_answer
        Mean of what an answer was charged, retries included; None where that is not known.
    input_usd_per_mtok, output_usd_per_mtok
        Its price when it last met somebody; None where that is not known.
    output_tokens
        Mean tokens of an answer; None where none were reported.
    """

    arm: str
    model: str | None
    instructions: str | None
    n: int
    won: int
    tied: int
    lost: int
    strength: float
    low: float
    high: float
    beats_average: float
    above_next: float | None
    usd_per_answer: float | None
    input_usd_per_mtok: float | None
    output_usd_per_mtok: float | None
    output_tokens: float | None


@dataclass(frozen=True, slots=True)
class SideReport:
    """By how much the left is preferred for being on the left.

    Attributes
    ----------
    bias, low, high
        In logits, with its 95% interval; 0 is none.
    p_left
        P(left is preferred | one is, between equals), in [0, 1].
    p_tie
        P(tie) between equals, in [0, 1].
    """

    bias: float
    low: float
    high: float
    p_left: float
    p_tie: float


@dataclass(frozen=True, slots=True)
class KindReport:
    """One kind of prompt: its number of duels, one of its prompts (None where not kept), and who is strong there."""

    n: int
    example: str | None
    strengths: tuple[Strength, ...]


@dataclass(frozen=True, slots=True)
class DuelReport:
    """What duels say; strengths are from the strongest on.

    Attributes
    ----------
    n
        Judged duels.
    side
        None without any.
    kinds
        The kinds of prompts with enough duels; `n_of_no_kind` are those of the others.
    notes
        What is too little to tell.
    """

    n: int
    strengths: tuple[Strength, ...]
    side: SideReport | None
    kinds: tuple[KindReport, ...]
    n_of_no_kind: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"schema_version": 1, **asdict(self)}


def duel_report(ledger: Ledger | None, *, profile: str | None = None, since: float | None = None) -> DuelReport:
    """Return what judged duels say.

    Strengths are the maximum a posteriori of `maths.bradley_terry`, with intervals from its curvature; those of a kind
    of prompt come of its duels alone.

    Parameters
    ----------
    ledger
        None where there is none yet.
    profile, since
        Only this profile's; only those at this POSIX time or later.
    """
    at = None if since is None else instant(since)
    rows = [] if ledger is None else duels_of(ledger, profile=profile, since=at)
    if not rows:
        return DuelReport(0, (), None, (), 0, ("no duel was judged yet: `scrimp duel` asks two arms",))
    standing = fit_of(rows)
    fit = standing.fit
    bias, low, high = fit.side_interval()
    kinds, n_rest = _kinds(rows)
    notes = []
    m = len(standing.places)
    if len(rows) < ENOUGH_EACH * m:
        notes.append(
            f"too few duels to tell an order: {len(rows)} among {m} arms, and below {ENOUGH_EACH * m} it is a guess"
        )
    if not kinds:
        notes.append(f"no kind of prompt has {ENOUGH_OF_A_KIND} duels yet, from which on it is told by itself")
    return DuelReport(
        n=len(rows),
        strengths=_strengths(rows, standing),
        side=SideReport(bias, low, high, _logistic(bias), fit.nu_ / (2.0 * math.cosh(bias / 2.0) + fit.nu_)),
        kinds=kinds,
        n_of_no_kind=n_rest,
        notes=tuple(notes),
    )


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


@dataclass(slots=True)
class _Record:
    """What is counted of a contestant."""

    won: int = 0
    tied: int = 0
    lost: int = 0
    price: ArmPrice | None = None


def _strengths(rows: Sequence[Row], standing: Standing) -> tuple[Strength, ...]:
    records: defaultdict[Contestant, _Record] = defaultdict(_Record)
    nano: defaultdict[Contestant, list[int]] = defaultdict(list)
    tokens: defaultdict[Contestant, list[int]] = defaultdict(list)
    for row in rows:
        for side, who in zip(("left", "right"), sides_of(row), strict=True):
            record = records[who]
            if row["verdict"] in ("tie", "neither"):
                record.tied += 1
            elif row["verdict"] == side:
                record.won += 1
            else:
                record.lost += 1
            if row[f"{side}_nano"] is not None:
                nano[who].append(row[f"{side}_nano"])
            if row[f"{side}_output_tokens"] is not None:
                tokens[who].append(row[f"{side}_output_tokens"])
            if row[f"{side}_price"] is not None:
                record.price = ArmPrice.from_json(row[f"{side}_price"])
    fit, places = standing.fit, standing.places
    found = fit.intervals()
    order = sorted(places, key=lambda who: -found[places[who], 0])
    strengths = []
    for who, below in zip(order, [*order[1:], None], strict=True):
        i, record = places[who], records[who]
        above = None
        if below is not None:
            gap = float(found[i, 0] - found[places[below], 0])
            above = NormalDist().cdf(gap / math.sqrt(fit.variance_of(i, places[below])))
        strengths.append(
            Strength(
                *who,
                n=record.won + record.tied + record.lost,
                won=record.won,
                tied=record.tied,
                lost=record.lost,
                strength=float(found[i, 0]),
                low=float(found[i, 1]),
                high=float(found[i, 2]),
                beats_average=_logistic(float(found[i, 0])),
                above_next=above,
                usd_per_answer=fmean(nano[who]) / 1e9 if nano[who] else None,
                input_usd_per_mtok=None if record.price is None else record.price.input_usd_per_mtok,
                output_usd_per_mtok=None if record.price is None else record.price.output_usd_per_mtok,
                output_tokens=fmean(tokens[who]) if tokens[who] else None,
            )
        )
    return tuple(strengths)


def _kinds(rows: Sequence[Row]) -> tuple[tuple[KindReport, ...], int]:
    """Return the kinds of prompts that have enough duels, largest first, and how many duels are of none of them.

    Kinds are clusters of embeddings, as in `learn status`; only prompts of the embedder that most were seen by.
    """
    seen = [row for row in rows if row["embedding"] is not None]
    if len(seen) < ENOUGH_OF_A_KIND:
        return (), len(rows)
    names = [(row["embedder_id"], len(row["embedding"])) for row in seen]
    most = max(dict.fromkeys(names), key=names.count)
    seen = [row for row, name in zip(seen, names, strict=True) if name == most]
    points = np.stack([np.frombuffer(row["embedding"], dtype="<f4").astype(np.float32) for row in seen])
    kind, _ = clusters_of(points, min(_MOST_KINDS, max(1, len(seen) // ENOUGH_OF_A_KIND)))
    found = []
    for number in np.unique(kind).tolist():
        mine = np.flatnonzero(kind == number)
        if len(mine) < ENOUGH_OF_A_KIND:
            continue
        part = [seen[i] for i in mine.tolist()]
        middle = points[mine].mean(axis=0)
        example = part[int((points[mine] @ middle).argmax())]["prompt"]
        found.append(KindReport(len(part), example, _strengths(part, fit_of(part))))
    found.sort(key=lambda each: -each.n)
    return tuple(found), len(rows) - sum(each.n for each in found)
