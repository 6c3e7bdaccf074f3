"""From a prompt to a decision: context, predictions, filters, policy; local, offline, and explained in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from scrimp.profiles.money import format_usd, nano_from_usd, usd_from_nano

from .context import contexts, stack
from .pace import Pace
from .policy import Choice, Option, Weighed, choose
from .predict import ArmInfo
from .tokens import bound_tokens, estimate_tokens

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from scrimp.profiles.schema import Arm, Profile

    from .context import Context, TextEmbedder
    from .predict import Predictions, Router
    from .prices import ArmPrice, ModelInfo, PriceTable
    from .prompt import Prompt

__all__ = ["GUARD_QUANTILE", "Decider", "Decision", "Wishes", "runs_here"]

GUARD_QUANTILE: Final = 0.999
"""A prompt farther from the router's training prompts than this quantile of its held-out ones is not one it knows."""

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asks of a decision; None leaves it to the profile.

    Attributes
    ----------
    arm
        An arm asked for by name: no draw, no fallback.
    wtp_usd, min_quality, explore
        In place of the profile's policy.
    max_cost_nano
        A cap on this one call, nano-USD.
    on_this_machine
        Only arms that run on this machine.
    """

    arm: str | None = None
    wtp_usd: float | None = None
    min_quality: float | None = None
    explore: float | None = None
    max_cost_nano: int | None = None
    on_this_machine: bool = False


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

    @property
    def arm(self) -> str | None:
        """The arm taken, or None where none was feasible."""
        return self.choice.arm

    def fallbacks(self) -> list[Option]:
        """Return the arms to try when the taken one fails, best first; none when the arm was asked for by name."""
        if self.choice.propensity_note == "asked for by name":
            return []
        rest = [
            weighed
            for weighed in self.choice.weighed
            if weighed.option.infeasible is None and weighed.option.arm != self.arm and weighed.utility_usd is not None
        ]
        return [weighed.option for weighed in sorted(rest, key=lambda each: -(each.utility_usd or 0.0))]

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
            "propensity_note": choice.propensity_note,
            "guard": choice.guard,
            "wtp_usd": self.wtp_usd,
            "min_quality": self.min_quality,
            "explore": self.explore,
            "ood": self.ood,
            "router_version": self.router_version,
            "embedder_id": self.embedder_id,
            "input_tokens": self.input_tokens,
            "required": list(self.required),
            "pace": None if self.pace is None else self.pace.to_dict(),
            "plan": self.plan,
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
                propensity_note=trace["propensity_note"],
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
        "input_tokens": option.input_tokens,
        "input_bound": option.input_bound,
        "output_tokens_p50": option.output_tokens_p50,
        "output_tokens_p90": option.output_tokens_p90,
        "output_limit": option.output_limit,
        "cost_usd": None if option.cost_nano is None else usd_from_nano(option.cost_nano),
        "cost_usd_p90": None if option.cost_p90_nano is None else usd_from_nano(option.cost_p90_nano),
        "bound_usd": None if option.bound_nano is None else usd_from_nano(option.bound_nano),
        "utility": weighed.utility_usd,
        "propensity": None if choice.propensity_note else weighed.probability,
        "feasible": option.infeasible is None,
        "by_cap": option.by_cap,
        "limit_lowered": option.limit_lowered,
        "why": weighed.why,
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
            by_cap=each["by_cap"],
            limit_lowered=each["limit_lowered"],
        ),
        utility_usd=each["utility"],
        probability=each["propensity"] or 0.0,
        why=each["why"],
        flip_cost_usd=each["flip_cost_usd"],
        flip_wtp_usd=each["flip_wtp_usd"],
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of an arm before any prompt is seen."""

    arm: Arm
    info: ArmInfo
    model: ModelInfo
    price: ArmPrice | None
    output_limit: int
    window: int | None
    capabilities: frozenset[str]


class Decider:
    """Makes decisions for one profile: everything that does not depend on the prompt is worked out once.

    Parameters
    ----------
    profile, table, router, embedder
        Whose arms, at which prices, judged by which router, on which embedding.
    """

    def __init__(self, profile: Profile, table: PriceTable, router: Router, embedder: TextEmbedder) -> None:
        self.profile = profile
        self.table = table
        self.router = router
        self.embedder = embedder
        self._known = tuple(_know(arm, table) for arm in profile.arms)
        self._infos = [known.info for known in self._known]

    @property
    def infos(self) -> tuple[ArmInfo, ...]:
        """What the router is told of each arm, in the profile's order."""
        return tuple(self._infos)

    def price(self, arm: str) -> ArmPrice | None:
        """Return an arm's price."""
        return self._find(arm).price

    def window(self, arm: str) -> int | None:
        """Return an arm's context window in tokens; None where it is not known."""
        return self._find(arm).window

    def _find(self, arm: str) -> _Known:
        return next(known for known in self._known if known.arm.name == arm)

    def info(self, arm: str) -> ArmInfo:
        """Return what the router is told of an arm."""
        return next(known.info for known in self._known if known.arm.name == arm)

    def contexts(self, texts: Sequence[str]) -> list[Context]:
        """Return the context of each prompt (this loads the embedder)."""
        return contexts(texts, self.embedder)

    def predict(self, items: Sequence[Context]) -> Predictions:
        """Return the router's predictions for `n` contexts and this profile's arms."""
        embeddings, surface = stack(items)
        return self.router.predict(embeddings, surface, self._infos)

    def decide(
        self,
        prompt: Prompt,
        predictions: Predictions,
        wishes: Wishes,
        *,
        decision_id: str,
        rng: random.Random,
        row: int = 0,
        output_limit: int | None = None,
        left_nano: Mapping[str, int | None] | None = None,
        blocked: Mapping[str, str] | None = None,
        pace: Pace | None = None,
    ) -> Decision:
        """Decide which arm takes a prompt.

        Parameters
        ----------
        predictions
            As `predict` returned them; `row` is this prompt's.
        output_limit
            The prompt's own limit in tokens, where it brings one: it lowers each arm's.
        left_nano
            What the caps leave for each arm, nano-USD (None: no cap). An arm whose bound is above it is filtered,
            unless a lower output limit that still covers the predicted 90th percentile fits.
        blocked
            Arms that cannot be called now, and why (suspended, no key).
        pace
            How the month stands (`budget.month_pace`): it lowers wtp_usd when spending runs ahead of the calendar.
        """
        left_nano = left_nano or {}
        blocked = blocked or {}
        policy = self.profile.policy
        wtp_usd = policy.wtp if wishes.wtp_usd is None else wishes.wtp_usd
        if pace is not None:
            wtp_usd *= pace.factor
        min_quality = policy.min_quality if wishes.min_quality is None else wishes.min_quality
        explore = policy.explore if wishes.explore is None else wishes.explore
        n_input = estimate_tokens(prompt)
        options = []
        for column, known in enumerate(self._known):
            left = left_nano.get(known.arm.name)
            if wishes.max_cost_nano is not None:
                left = wishes.max_cost_nano if left is None else min(left, wishes.max_cost_nano)
            options.append(
                _option(
                    known,
                    prompt,
                    n_input=n_input,
                    quality=float(predictions.quality[row, column]),
                    quality_low=float(predictions.quality_low[row, column]),
                    quality_high=float(predictions.quality_high[row, column]),
                    basis=predictions.basis[column],
                    p50=float(predictions.output_tokens_p50[row, column]),
                    p90=float(predictions.output_tokens_p90[row, column]),
                    output_limit=output_limit,
                    left=left,
                    blocked=blocked.get(known.arm.name),
                    here_only=wishes.on_this_machine,
                )
            )
        ood = float(predictions.ood[row])
        guard = None
        if ood >= GUARD_QUANTILE and len(options) > 1:
            guard = "this prompt is unlike anything the router was trained on"
        choice = choose(
            options,
            wtp_usd=wtp_usd,
            min_quality=min_quality,
            explore=explore,
            forced=wishes.arm,
            default_arm=self.profile.default_arm,
            guard=guard,
            rng=rng,
        )
        return Decision(
            id=decision_id,
            profile=self.profile.name,
            choice=choice,
            wtp_usd=wtp_usd,
            min_quality=min_quality,
            explore=explore,
            ood=ood,
            router_version=self.router.version,
            embedder_id=self.embedder.id,
            input_tokens=n_input,
            required=tuple(sorted(prompt.required)),
            pace=pace,
        )


def runs_here(arm: Arm) -> bool:
    """Tell whether an arm runs on this machine: in process, tagged `local`, or served on loopback."""
    if arm.api_base is not None:
        return (urlsplit(arm.api_base).hostname or "") in _LOOPBACK
    return arm.model.startswith("local/") or "local" in arm.tags


def _know(arm: Arm, table: PriceTable) -> _Known:
    price = table.price(arm)
    model = table.model_info(arm)
    limit = table.output_limit(arm)
    reasoning = arm.reasoning_effort not in (None, "none") or (
        arm.reasoning_effort is None and "reasoning" in model.capabilities
    )
    info = ArmInfo(
        name=arm.name,
        model=arm.model,
        tier=arm.tier,
        input_usd_per_mtok=None if price is None else price.input_usd_per_mtok,
        output_usd_per_mtok=None if price is None else price.output_usd_per_mtok,
        reasoning=reasoning,
        output_limit=limit,
    )
    window = arm.context_window or model.max_input_tokens
    return _Known(arm, info, model, price, limit, window, model.capabilities | frozenset(arm.tags))


def _option(
    known: _Known,
    prompt: Prompt,
    *,
    n_input: int,
    quality: float,
    quality_low: float,
    quality_high: float,
    basis: str,
    p50: float,
    p90: float,
    output_limit: int | None,
    left: int | None,
    blocked: str | None,
    here_only: bool,
) -> Option:
    """Work out one arm's option for one prompt: limits, costs, and the first reason against it."""
    arm, price = known.arm, known.price
    limit = known.output_limit if output_limit is None else min(known.output_limit, output_limit)
    n_p50, n_p90 = max(1, round(min(p50, limit))), max(1, round(min(p90, limit)))
    why: str | None = None
    by_cap = lowered = False
    bound_in = bound_tokens(prompt, arm.model, known.window)
    missing = sorted(prompt.required - known.capabilities)
    may_lower = not known.info.reasoning
    if blocked is not None:
        why = blocked
    elif here_only and not runs_here(arm):
        why = "does not run on this machine"
    elif missing:
        why = f"not known to take {', '.join(missing)} (if it does, add it to the arm's tags)"
    elif known.window is not None and n_input + limit > known.window:
        room = known.window - n_input
        if may_lower and room > n_p90:
            limit = room
        else:
            why = f"about {n_input:,} tokens do not fit its window of {known.window:,}"
    elif bound_in is None:
        why = "a PDF cannot be priced without knowing the model's window (set context_window)"
    if price is None and why is None:
        why = "no price is known for it (state one in the profile; 0 is allowed)"
    bound_in = bound_in or 0
    cost = p90_cost = bound = None
    if price is not None:
        cost = price.expected_nano(n_input, n_p50)
        p90_cost = price.expected_nano(n_input, n_p90)
        bound = price.bound_nano(bound_in, limit)
        if why is None and left is not None and bound > max(left, 0):  # what is free is never refused
            fitting = _limit_that_fits(price, bound_in, limit, left) if may_lower else 0
            if fitting > n_p90:
                limit, bound, lowered = fitting, price.bound_nano(bound_in, fitting), True
            else:
                by_cap = True
                why = f"could cost up to {format_usd(bound)}, and the caps leave {format_usd(max(left, 0))}"
    return Option(
        arm=arm.name,
        model=arm.model,
        quality=quality,
        quality_low=quality_low,
        quality_high=quality_high,
        basis=basis,
        input_tokens=n_input,
        output_tokens_p50=n_p50,
        output_tokens_p90=n_p90,
        input_bound=bound_in,
        output_limit=limit,
        cost_nano=cost,
        cost_p90_nano=p90_cost,
        bound_nano=bound,
        infeasible=why,
        by_cap=by_cap,
        limit_lowered=lowered,
    )


def _limit_that_fits(price: ArmPrice, n_input: int, limit: int, left: int) -> int:
    """Return the greatest output limit below `limit` whose bound is within `left` nano-USD; 0 where there is none."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if price.bound_nano(n_input, middle) <= left:
            low = middle
        else:
            high = middle - 1
    return low
