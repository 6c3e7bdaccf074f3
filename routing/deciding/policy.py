"""The policy: from what is predicted of each arm to a distribution over arms, and a draw from it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from scrimp.profiles.money import NANO
from scrimp.profiles.rungs import bare_of, base_of

from .weights import shortfalls

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

__all__ = [
    "MEASURED",
    "NEAR_TIE",
    "Barrier",
    "Choice",
    "NoDraw",
    "Option",
    "Weighed",
    "burden",
    "choose",
    "utility",
]

NEAR_TIE: Final = 0.02
"""Arms whose utility is within this share of wtp_usd of the best (two points of quality) are explored among; the
cheapest of them is the one to take where their qualities were never measured."""

MEASURED: Final = "calibrated"
"""The basis of a quality that outcomes of the arm stand behind."""


class Barrier(StrEnum):
    """What kind of reason keeps an arm from taking a prompt."""

    NOT_HERE = "not_here"
    """It does not run on this machine, where the prompt is to stay."""
    BLOCKED = "blocked"
    """It has no key, its engine is missing, or it is suspended: nothing to do with the prompt."""
    CAPABILITY = "capability"
    """It is not known to take what the prompt needs."""
    REASONING = "reasoning"
    """Its output limit leaves no room for the reasoning that it is asked for."""
    WINDOW = "window"
    """The prompt does not fit its window."""
    UNBOUNDED = "unbounded"
    """No upper bound on the prompt's tokens is known (a PDF, for a model of unknown window)."""
    NO_PRICE = "no_price"
    CAP = "cap"
    """A cap leaves too little."""
    RULE = "rule"
    """A rule of the profile, or a guard, keeps the prompt from it."""
    TIME = "time"
    """It is not expected to be done in time."""

    @classmethod
    def read(cls, text: str | None) -> Barrier | None:
        """Return the barrier that a trace holds; None where it holds none, or one that this version does not know."""
        return next((each for each in cls if each == text), None)


@dataclass(frozen=True, slots=True)
class Option:
    """One arm as the policy sees it.

    Attributes
    ----------
    quality, quality_low, quality_high
        Predicted P(right) in [0, 1], with an 80% interval; `basis` says how far to believe it.
    input_tokens, output_tokens_p50, output_tokens_p90
        Predicted tokens.
    input_bound, output_limit, bound_nano
        What would be reserved: an upper bound on input tokens, the enforced output limit, and their cost in nano-USD.
    cost_nano, cost_p90_nano
        Predicted cost, nano-USD: of the median output, and of its 90th percentile.
    infeasible
        Why the arm cannot take this prompt, in words, or None.
    barrier
        What kind of reason that is; None where there is none, or where an older trace does not say.
    limit_lowered
        The output limit was lowered to fit a cap.
    rests_on
        What stands behind the quality (`router.arms.Ground`); "" where an older trace does not say.
    cached_tokens
        How much of the input is expected to be read from the provider's cache; None where it keeps none of it.
    near
        In what an arm is near to the prompt, in words: one of a pool, or the nearest of those that say what they are
        for; "" of any other.
    nearness
        By what its quality was multiplied for how near to the prompt is what arms are told, or are for.
    learned
        By how much, in logits, labels had moved its quality at this reading of the prompt's files.
    prompt_output
        What a middling model is predicted to write for the prompt, the median in tokens; None where the router does not
        say.
    length_by
        What the lengths rest on beside the router, in words; "" where that is nothing.
    first_s, seconds, seconds_p90
        Seconds to its first word and to its end: the median, and of the end the 90th percentile; None where nothing is
        known of its pace.
    timed_by
        What stands behind these seconds; "" where nothing does.
    terms
        What else is held against it, in USD by name (what waiting costs, what it is said to lack): utility is less
        their sum.
    """

    arm: str
    model: str
    quality: float
    quality_low: float
    quality_high: float
    basis: str
    input_tokens: int
    output_tokens_p50: int
    output_tokens_p90: int
    input_bound: int
    output_limit: int
    cost_nano: int | None
    cost_p90_nano: int | None
    bound_nano: int | None
    infeasible: str | None = None
    barrier: Barrier | None = None
    limit_lowered: bool = False
    rests_on: str = ""
    cached_tokens: int | None = None
    near: str = ""
    nearness: float = 1.0
    learned: float = 0.0
    first_s: float | None = None
    seconds: float | None = None
    seconds_p90: float | None = None
    timed_by: str = ""
    terms: Mapping[str, float] = field(default_factory=dict)
    prompt_output: float | None = None
    length_by: str = ""

    @property
    def by_cap(self) -> bool:
        """Whether it is for money that the arm cannot take the prompt."""
        return self.barrier is Barrier.CAP


class NoDraw(StrEnum):
    """Why the arm taken was not drawn from the policy, so that no propensity is logged; the value is the sentence."""

    ASKED_FOR = "asked for by name"
    SENT = "a guard of the profile sends it to this arm"
    GUARD = "the guard's fallback, not a draw"
    CAP = "a cap altered the set of arms"
    STAYS = "it called tools, and goes on with what they gave"
    FILE_PLAN = "set by the plan for the whole file, not a draw"
    PLAN_ASKED_FOR = "a plan was asked for"
    PLAN_CHOSEN = "a plan was chosen, not drawn"
    OTHER = "not a draw"

    @classmethod
    def read(cls, text: str | None) -> NoDraw | None:
        """Return the reason that a trace holds; a sentence that this version does not know still means: no draw."""
        return None if text is None else next((each for each in cls if each == text), cls.OTHER)


@dataclass(frozen=True, slots=True)
class Weighed:
    """An option with what the policy made of it.

    Attributes
    ----------
    utility_usd
        wtp_usd * quality - cost, in USD; None where the cost is not known.
    probability
        The policy's probability of taking it.
    why
        Why it was or was not taken, in words.
    flip_cost_usd
        The predicted cost at which the choice would change: for the taken arm, above which it would be dropped; for
        another, below which it would be taken. None where no price would change it.
    flip_wtp_usd
        The willingness to pay at which this arm and the taken one are worth the same; None where there is none.
    """

    option: Option
    utility_usd: float | None
    probability: float
    why: str
    flip_cost_usd: float | None = None
    flip_wtp_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What the policy did.

    Attributes
    ----------
    arm
        The arm drawn, or None when no arm is feasible.
    propensity
        P(arm | context) at decision time; None where the choice was not a draw.
    no_draw
        Why it was not, or None.
    guard
        Why the router was not trusted, or None.
    """

    arm: str | None
    greedy: str | None
    explored: bool
    propensity: float | None
    no_draw: NoDraw | None
    guard: str | None
    weighed: tuple[Weighed, ...] = field(default=())

    @property
    def taken(self) -> Option:
        """The option of the arm that was taken."""
        return self.option(self.arm or "")

    def option(self, arm: str) -> Option:
        """Return an arm's option; of one that was weighed at several readings, that of the reading worth most."""
        mine = [each for each in self.weighed if each.option.arm == arm]
        mine = mine or [each for each in self.weighed if bare_of(each.option.arm) == arm]
        return max(mine, key=_worth).option


def _worth(weighed: Weighed) -> tuple[bool, float]:
    return weighed.option.infeasible is None, -math.inf if weighed.utility_usd is None else weighed.utility_usd


def burden(option: Option) -> float:
    """Return what an arm's answer takes in USD: its predicted cost, and the `terms` that are held against it."""
    return (option.cost_nano or 0) / NANO + sum(option.terms.values())


def utility(option: Option, wtp_usd: float) -> float | None:
    """Return wtp_usd * quality - burden, in USD; None where the cost is not known."""
    return None if option.cost_nano is None else wtp_usd * option.quality - burden(option)


def choose(
    options: Sequence[Option],
    *,
    wtp_usd: float,
    min_quality: float = 0.0,
    explore: float = 0.0,
    forced: str | None = None,
    default_arm: str | None = None,
    guard: str | None = None,
    stays: str | None = None,
    sent: str | None = None,
    rng: random.Random,
) -> Choice:
    """Choose an arm.

    Without `min_quality` the best arm is the one of greatest utility, or a cheaper one that is near-tied with it where
    the quality of either was never measured: two points that nobody has seen are not paid for. With `min_quality` it is
    the cheapest arm whose predicted quality reaches it (the best there is where none does). The greedy arm is taken
    with probability 1 - eps + eps/k, and each of the other k - 1 near-tied arms with eps/k.

    Parameters
    ----------
    options
        Every arm of the profile, feasible or not, in the profile's order (which settles exact ties).
    wtp_usd
        USD that a right answer is worth, > 0.
    explore
        eps, in [0, 1].
    forced
        An arm asked for by name.
    default_arm, guard
        Where the router should not be trusted on this prompt (`guard` says why) the default arm is taken, if feasible.
    stays
        The arm that called tools: it goes on while it is feasible, whatever else is better.
    sent
        The arm that a guard sends the prompt to: it or none takes it, whatever was asked for.
    rng
        Draws; seeded by the caller.
    """
    feasible = [option for option in options if option.infeasible is None and option.cost_nano is not None]
    note: NoDraw | None = None
    forced = sent or forced
    if forced is not None:
        candidates = [option for option in feasible if forced in (option.arm, bare_of(option.arm), base_of(option.arm))]
        note = NoDraw.ASKED_FOR if sent is None else NoDraw.SENT
    else:
        candidates = feasible
    if not candidates:
        return Choice(None, None, False, None, note, guard, _weigh(options, wtp_usd, {}, None, min_quality))
    ranked = _rank(candidates, wtp_usd, min_quality)
    greedy = ranked[0]
    # Of an arm that may be asked at several readings, the best of them.
    fallback = next((option for option in ranked if default_arm in (option.arm, bare_of(option.arm))), None)
    goes_on = next((option for option in ranked if stays is not None and bare_of(option.arm) == bare_of(stays)), None)
    if forced is None and goes_on is not None:
        greedy, guard = goes_on, None
        note = NoDraw.STAYS
        probabilities = {greedy.arm: 1.0}
    elif forced is None and guard is not None:
        greedy = fallback or greedy
        note = NoDraw.GUARD
        probabilities = {greedy.arm: 1.0}
    else:
        near = _near(ranked, greedy, wtp_usd, min_quality) if forced is None else [greedy]
        eps = explore if len(near) > 1 else 0.0
        probabilities = {option.arm: eps / len(near) for option in near}
        probabilities[greedy.arm] += 1.0 - eps
    taken = _draw(probabilities, greedy.arm, rng)
    if note is None and any(option.by_cap or option.limit_lowered for option in options):
        note = NoDraw.CAP
    return Choice(
        arm=taken,
        greedy=greedy.arm,
        explored=taken != greedy.arm,
        propensity=None if note is not None else probabilities[taken],
        no_draw=note,
        guard=guard,
        weighed=_weigh(options, wtp_usd, probabilities, taken, min_quality),
    )


def _rank(options: list[Option], wtp_usd: float, min_quality: float) -> list[Option]:
    """Order options from best to worst."""

    def by_utility(option: Option) -> tuple[float, float]:
        return -(utility(option, wtp_usd) or 0.0), burden(option)

    if min_quality <= 0.0:
        ranked = sorted(options, key=by_utility)
        first = _unpaid(ranked, wtp_usd)
        return [first, *(option for option in ranked if option is not first)]
    reaching = [option for option in options if option.quality >= min_quality]
    if reaching:
        rest = [option for option in options if option.quality < min_quality]
        cheapest = sorted(reaching, key=lambda option: (burden(option), -option.quality))
        return cheapest + sorted(rest, key=by_utility)
    return sorted(options, key=lambda option: (-option.quality, burden(option)))


def margin(one: Option, other: Option, wtp_usd: float) -> float:
    """Return by how much utility, in USD, one arm must exceed a cheaper one.

    0 where both are measured, and where one is better since it is near to the prompt by what it is for: then it is the
    user who said so (of a ladder's rungs he said it alike).
    """
    nearer = one if one.nearness > other.nearness else other
    said = one.nearness != other.nearness and nearer.near != "" and base_of(one.arm) != base_of(other.arm)
    return 0.0 if said or one.basis == other.basis == MEASURED else NEAR_TIE * wtp_usd


def _unpaid(ranked: list[Option], wtp_usd: float) -> Option:
    """Return the cheapest arm that is near-tied with the best and not measured like it; the best where none is."""
    best = ranked[0]
    top = utility(best, wtp_usd) or 0.0
    near = [
        option
        for option in ranked
        if burden(option) < burden(best) and (utility(option, wtp_usd) or 0.0) >= top - margin(best, option, wtp_usd)
    ]
    return min(near, key=burden, default=best)


def _near(ranked: list[Option], greedy: Option, wtp_usd: float, min_quality: float) -> list[Option]:
    """Return the arms that are as good as tied with the greedy one, itself first."""
    floor = (utility(greedy, wtp_usd) or 0.0) - NEAR_TIE * wtp_usd
    return [greedy] + [
        option
        for option in ranked[1:]
        if (utility(option, wtp_usd) or 0.0) >= floor and option.quality >= min(min_quality, greedy.quality)
    ]


def _draw(probabilities: dict[str, float], greedy: str, rng: random.Random) -> str:
    if len(probabilities) == 1:
        return greedy
    point = rng.random()
    for arm, probability in probabilities.items():
        point -= probability
        if point < 0.0:
            return arm
    return greedy


def _weigh(
    options: Sequence[Option], wtp_usd: float, probabilities: dict[str, float], taken: str | None, min_quality: float
) -> tuple[Weighed, ...]:
    chosen = next((option for option in options if option.arm == taken), None)
    feasible = [option for option in options if option.infeasible is None and option.cost_nano is not None]
    rivals = [option for option in feasible if option is not chosen]
    weighed = []
    for option in options:
        value = utility(option, wtp_usd)
        flip_cost: float | None = None
        flip_wtp: float | None = None
        if chosen is not None and option.infeasible is None and option.cost_nano is not None and min_quality <= 0.0:
            flip_cost = _flip_cost(option, chosen, rivals, wtp_usd)
            gap = option.quality - chosen.quality
            if option is not chosen and chosen.cost_nano is not None and gap:
                slack = margin(option, chosen, 1.0) * (1.0 if burden(option) > burden(chosen) else -1.0)
                break_even = (burden(option) - burden(chosen)) / (gap - slack) if gap != slack else -1.0
                flip_wtp = break_even if break_even > 0.0 else None
        weighed.append(
            Weighed(
                option=option,
                utility_usd=value,
                probability=probabilities.get(option.arm, 0.0),
                why=_why(option, chosen, wtp_usd, min_quality),
                flip_cost_usd=flip_cost,
                flip_wtp_usd=flip_wtp,
            )
        )
    return tuple(weighed)


def _flip_cost(option: Option, chosen: Option, rivals: Sequence[Option], wtp_usd: float) -> float | None:
    """Return the cost, in USD, at which the choice would change; None where no price would.

    Below a rival's cost an arm holds against it while it is worth no less than it by the margin; above, while it is
    worth more by it.
    """
    costs = []
    for other in rivals if option is chosen else [chosen]:
        even = wtp_usd * option.quality - (utility(other, wtp_usd) or 0.0)
        slack = margin(option, other, wtp_usd)
        costs.append(min(even + slack, max(burden(other), even - slack)))
    cost = min(costs, default=-1.0) - sum(option.terms.values())
    return cost if cost > 0.0 else None


def _why(option: Option, chosen: Option | None, wtp_usd: float, min_quality: float) -> str:
    if option.infeasible is not None:
        return option.infeasible
    if option is chosen:
        return "taken"
    if chosen is None:
        return "not asked for"
    dearer = (option.cost_nano or 0) > (chosen.cost_nano or 0)
    if min_quality > 0.0:
        if option.quality < min_quality:
            return f"predicted quality below {min_quality:g}"
        if burden(option) <= burden(chosen):
            same = burden(option) == burden(chosen) and option.quality <= chosen.quality
            return "no cheaper, and no better" if same else "worth more, but not drawn or not asked for"
        return "dearer than the arm taken" if dearer else _outweighed(option, chosen)
    mine, best = utility(option, wtp_usd), utility(chosen, wtp_usd)
    if mine is None or best is None:
        return "cost not known"
    if mine == best:
        return "worth exactly as much"
    if mine > best:
        if burden(option) > burden(chosen) and mine <= best + margin(option, chosen, wtp_usd):
            return f"{option.quality - chosen.quality:.0%} better, which nobody has measured, is not paid for"
        return "worth more, but not drawn or not asked for"
    if mine + sum(option.terms.values()) >= best + sum(chosen.terms.values()) and option.terms:
        return _outweighed(option, chosen)  # by quality and cost alone it would be no worse
    if option.quality > chosen.quality:
        return f"{_better(option, chosen)}, not worth its extra cost"
    if option.cost_nano == chosen.cost_nano:
        return "worse, and no cheaper"
    return "no better, and dearer" if dearer else "cheaper, but worse by more"


def _outweighed(option: Option, chosen: Option) -> str:
    """Return why an arm was not taken that something else than quality and cost speaks against."""
    gains = [_better(option, chosen)] if option.quality > chosen.quality else []
    if (option.cost_nano or 0) < (chosen.cost_nano or 0):
        gains.append("cheaper")
    return f"{' and '.join(gains) or 'as good'}, but {shortfalls(option.terms, chosen.terms)}, which weighs more"


def _better(option: Option, chosen: Option) -> str:
    gap = option.quality - chosen.quality
    return f"{f'{gap:.0%}' if gap >= 0.01 else 'under 1%'} better"
