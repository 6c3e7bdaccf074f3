"""A decision with its whole trace, to plain data and back."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import nano_from_usd, usd_from_nano
from scrimp.profiles.rungs import bare_of
from scrimp.routing.guard.verdict import Finding

from .pace import Pace
from .policy import Barrier, Choice, NoDraw, Option, Weighed
from .price_share import price_share, shares

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = ["Decision"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision with its whole trace.

    Attributes
    ----------
    id
        The request's id in the log.
    choice
        The policy's choice, with every arm's numbers.
    wtp_usd
        What a right answer was taken to be worth, after pacing.
    ood
        How far the prompt is from what the router was trained on: a quantile in [0, 1].
    pace
        How the month stood, where the profile paces itself; None elsewhere.
    plan
        The plan of several calls that was chosen instead of one arm, and what it was weighed against; None elsewhere.
    plans
        The profile's plans that were weighed against the arm, each with what was expected of it.
    level
        How hard the router takes the prompt to be, in [1, 5]; None where it has no such judgement.
    turned
        What the conversation that it goes on with brought (`staying.Turned`); None where it began one.
    guards
        What the profile's guards found, in their order.
    similarity
        The cosine between the prompt and the nearest that the router was trained on, in [-1, 1]; None where there is
        none, or an older trace does not say.
    rephrase
        Who puts the question into other words before it is asked, and what that costs at most; None where nobody does.
    assumed
        Which terms of an arm rest on what it does not say of itself, by name of the arm (`weights.Weighing`).
    brief
        Whether a short answer is asked for.
    minute_usd, max_seconds
        What a minute of waiting cost, USD, and how many seconds there were (None: no limit).
    by
        The `Decider` that decided (its type stands above this module): its arms are called as they were then, whatever
        becomes of their files. None where there is no pool, in copies, and from the log.
    """

    id: str
    profile: str
    choice: Choice
    wtp_usd: float
    min_quality: float
    explore: float
    ood: float
    router_version: str
    embedder_id: str
    input_tokens: int
    required: tuple[str, ...] = ()
    pace: Pace | None = None
    plan: Mapping[str, Any] | None = None
    level: float | None = None
    turned: Mapping[str, Any] | None = None
    plans: tuple[Mapping[str, Any], ...] = ()
    guards: tuple[Finding, ...] = ()
    similarity: float | None = None
    rephrase: Mapping[str, Any] | None = None
    assumed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    brief: bool = False
    minute_usd: float = 0.0
    max_seconds: float | None = None
    by: Any = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> list[Any]:
        """Return what a copy is made of: all but what decided it, which holds locks and open files."""
        return [None if each.name == "by" else getattr(self, each.name) for each in fields(self)]

    @property
    def arm(self) -> str | None:
        """The arm taken, or None where none was feasible."""
        return self.choice.arm

    def fallbacks(self) -> list[Option]:
        """Return the arms to try when the taken one fails, best first; none when that was asked for or sent there."""
        if self.choice.no_draw in (NoDraw.ASKED_FOR, NoDraw.SENT):
            return []
        found: dict[str, Option] = {}
        for option in self._others():  # an arm that failed would fail at another reading
            if bare_of(option.arm) != bare_of(self.arm or ""):
                found.setdefault(bare_of(option.arm), option)
        return [*found.values()]

    def _others(self) -> list[Option]:
        """Return the feasible arms that were not taken, by utility, the greatest first."""
        rest = [
            weighed
            for weighed in self.choice.weighed
            if weighed.option.infeasible is None and weighed.option.arm != self.arm and weighed.utility_usd is not None
        ]
        return [weighed.option for weighed in sorted(rest, key=lambda each: -(each.utility_usd or 0.0))]

    @property
    def against(self) -> Option | None:
        """The next best feasible arm, with which the taken one is compared; None where there is none, or a plan."""
        if self.arm is None or self.plan is not None:
            return None
        return next(iter(self._others()), None)

    @property
    def price_share(self) -> float | None:
        """How much of what sets the arm taken and `against` apart is price, in [0, 1]; None where nothing does."""
        return None if self.against is None else price_share(self.choice.taken, self.against, self.wtp_usd)

    @property
    def shares(self) -> dict[str, float] | None:
        """Of what sets the arm taken and `against` apart, each part; None where nothing does."""
        return None if self.against is None else shares(self.choice.taken, self.against, self.wtp_usd)

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as plain data, in `route --json`'s spelling."""
        choice = self.choice
        return {
            "schema_version": 1,
            "id": self.id,
            "profile": self.profile,
            "arm": choice.arm,
            "greedy_arm": choice.greedy,
            "explored": choice.explored,
            "propensity": choice.propensity,
            "propensity_note": choice.no_draw,
            "guard": choice.guard,
            "wtp_usd": self.wtp_usd,
            "min_quality": self.min_quality,
            "explore": self.explore,
            "ood": self.ood,
            "similarity": self.similarity,
            "level": self.level,
            "against": None if self.against is None else self.against.arm,
            "price_share": self.price_share,
            "router_version": self.router_version,
            "embedder_id": self.embedder_id,
            "input_tokens": self.input_tokens,
            "required": list(self.required),
            "pace": None if self.pace is None else self.pace.to_dict(),
            "plan": self.plan,
            "plans": [dict(each) for each in self.plans],
            "conversation": self.turned,
            "guards": [each.to_dict() for each in self.guards],
            "rephrase": self.rephrase,
            "assumed": {arm: list(names) for arm, names in self.assumed.items()},
            "brief": self.brief,
            "minute_usd": self.minute_usd,
            "max_seconds": self.max_seconds,
            "arms": [_weighed_dict(weighed, choice) for weighed in choice.weighed],
        }

    @classmethod
    def from_dict(cls, trace: Mapping[str, Any]) -> Decision:
        """Read a trace back from the log."""
        weighed = tuple(_weighed_from(each) for each in trace["arms"])
        return cls(
            id=trace["id"],
            profile=trace["profile"],
            choice=Choice(
                arm=trace["arm"],
                greedy=trace["greedy_arm"],
                explored=trace["explored"],
                propensity=trace["propensity"],
                no_draw=NoDraw.read(trace["propensity_note"]),
                guard=trace["guard"],
                weighed=weighed,
            ),
            wtp_usd=trace["wtp_usd"],
            min_quality=trace["min_quality"],
            explore=trace["explore"],
            ood=trace["ood"],
            router_version=trace["router_version"],
            embedder_id=trace["embedder_id"],
            input_tokens=trace["input_tokens"],
            required=tuple(trace["required"]),
            pace=None if trace.get("pace") is None else Pace(**trace["pace"]),
            plan=trace.get("plan"),
            level=trace.get("level"),
            turned=trace.get("conversation"),
            plans=tuple(trace.get("plans", ())),
            guards=tuple(map(Finding.from_dict, trace.get("guards", ()))),
            similarity=trace.get("similarity"),
            rephrase=trace.get("rephrase"),
            assumed={arm: tuple(names) for arm, names in trace.get("assumed", {}).items()},
            brief=trace.get("brief", False),
            minute_usd=trace.get("minute_usd", 0.0),
            max_seconds=trace.get("max_seconds"),
        )


def _weighed_dict(weighed: Weighed, choice: Choice) -> dict[str, Any]:
    option = weighed.option
    return {
        "name": option.arm,
        "model": option.model,
        "quality": option.quality,
        "quality_low": option.quality_low,
        "quality_high": option.quality_high,
        "basis": option.basis,
        "rests_on": option.rests_on,
        "input_tokens": option.input_tokens,
        "input_bound": option.input_bound,
        "cached_tokens": option.cached_tokens,
        "output_tokens_p50": option.output_tokens_p50,
        "output_tokens_p90": option.output_tokens_p90,
        "prompt_output_tokens": option.prompt_output,
        "length_rests_on": option.length_by or "the router",
        "output_limit": option.output_limit,
        "cost_usd": None if option.cost_nano is None else usd_from_nano(option.cost_nano),
        "cost_usd_p90": None if option.cost_p90_nano is None else usd_from_nano(option.cost_p90_nano),
        "bound_usd": None if option.bound_nano is None else usd_from_nano(option.bound_nano),
        "utility": weighed.utility_usd,
        "propensity": None if choice.no_draw else weighed.probability,
        "feasible": option.infeasible is None,
        "barrier": option.barrier,
        "by_cap": option.by_cap,
        "limit_lowered": option.limit_lowered,
        "why": weighed.why,
        "near": option.near,
        "nearness": option.nearness,
        "learned": option.learned,
        "first_s": option.first_s,
        "seconds": option.seconds,
        "seconds_p90": option.seconds_p90,
        "timed_by": option.timed_by,
        "terms": dict(option.terms),
        "flip_cost_usd": weighed.flip_cost_usd,
        "flip_wtp_usd": weighed.flip_wtp_usd,
    }


def _weighed_from(each: Mapping[str, Any]) -> Weighed:
    def nano(key: str) -> int | None:
        return None if each[key] is None else nano_from_usd(each[key])

    return Weighed(
        option=Option(
            arm=each["name"],
            model=each["model"],
            quality=each["quality"],
            quality_low=each["quality_low"],
            quality_high=each["quality_high"],
            basis=each["basis"],
            input_tokens=each["input_tokens"],
            output_tokens_p50=each["output_tokens_p50"],
            output_tokens_p90=each["output_tokens_p90"],
            input_bound=each["input_bound"],
            output_limit=each["output_limit"],
            cost_nano=nano("cost_usd"),
            cost_p90_nano=nano("cost_usd_p90"),
            bound_nano=nano("bound_usd"),
            infeasible=None if each["feasible"] else each["why"],
            barrier=Barrier.CAP if each["by_cap"] else Barrier.read(each.get("barrier")),
            limit_lowered=each["limit_lowered"],
            rests_on=each.get("rests_on", ""),
            cached_tokens=each.get("cached_tokens"),
            near=each.get("near", ""),
            nearness=each.get("nearness", 1.0),
            learned=each.get("learned", 0.0),
            first_s=each.get("first_s"),
            seconds=each.get("seconds"),
            seconds_p90=each.get("seconds_p90"),
            timed_by=each.get("timed_by", ""),
            terms=each.get("terms", {}),
            prompt_output=each.get("prompt_output_tokens"),
            length_by="" if each.get("length_rests_on", "the router") == "the router" else each["length_rests_on"],
        ),
        utility_usd=each["utility"],
        probability=each["propensity"] or 0.0,
        why=each["why"],
        flip_cost_usd=each["flip_cost_usd"],
        flip_wtp_usd=each["flip_wtp_usd"],
    )
