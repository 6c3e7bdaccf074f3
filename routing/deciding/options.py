"""What each arm can do for a prompt: its option, with the limit and bound that hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from scrimp.profiles.money import format_usd
from scrimp.profiles.rungs import bare_of
from scrimp.routing.calls.reasoning import no_room, reasoning_room
from scrimp.routing.calls.whole_prompt import by_ollama
from scrimp.routing.prompts.brief import BRIEF_SHARE, BRIEF_TOKENS, may_think
from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.instructions import dressed, instructions_id
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.prompts.text_size import remembered
from scrimp.routing.prompts.tokens import bound_tokens, estimate_tokens
from scrimp.routing.router.arms import ArmInfo

from .policy import Barrier, Option
from .staying import files_cached
from .times import timed
from .weights import compares, unmet

if TYPE_CHECKING:
    from scrimp.profiles.schema import Arm
    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.prices.table import ModelInfo, PriceTable
    from scrimp.routing.router.lengths import Length
    from scrimp.routing.router.timing import Tempo

    from .staying import Staying

__all__ = ["runs_here"]


_NOTHING: Final = Prompt("")

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class KnownArm:
    """What is known of an arm before any prompt is seen."""

    arm: Arm
    info: ArmInfo
    model: ModelInfo
    price: ArmPrice | None
    output_limit: int
    window: int | None
    capabilities: frozenset[str]
    may_think: bool


def runs_here(arm: Arm) -> bool:
    """Tell whether an arm runs on this machine: in process, tagged `local`, or served on loopback."""
    if arm.api_base is not None:
        return (urlsplit(arm.api_base).hostname or "") in _LOOPBACK
    return arm.model.startswith("local/") or "local" in arm.tags


def know_arm(arm: Arm, table: PriceTable) -> KnownArm:
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
        effort=arm.reasoning_effort,
        ladder=arm.base if arm.efforts else None,
        instructions=instructions_id(arm),
        told_tokens=estimate_tokens(dressed(_NOTHING, arm)) - estimate_tokens(_NOTHING),
    )
    window = arm.context_window or model.max_input_tokens
    if by_ollama(arm.model) and isinstance(arm.params.get("num_ctx"), int):
        window = min(window or arm.params["num_ctx"], arm.params["num_ctx"])  # it cuts what is longer
    effort = () if arm.reasoning_effort is None else (f"effort-{arm.reasoning_effort}",)
    thinks = may_think(arm, known=model.known, reasoning=reasoning)
    return KnownArm(arm, info, model, price, limit, window, model.capabilities.union(arm.tags, effort), thinks)


def option_for(
    known: KnownArm,
    prompt: Prompt,
    *,
    n_input: int,
    quality: float,
    quality_low: float,
    quality_high: float,
    basis: str,
    rests_on: str,
    p50: float,
    p90: float,
    prompt_output: float | None = None,
    length: Length | None = None,
    output_limit: int | None,
    left: int | None,
    blocked: str | None,
    barred: str | None = None,
    here_only: bool,
    staying: Staying | None = None,
    told: bool = True,
    near: str = "",
    nearness: float = 1.0,
    learned: float = 0.0,
    tempo: Tempo | None = None,
    minute_usd: float = 0.0,
    max_seconds: float | None = None,
) -> Option:
    """Work out one arm's option for one prompt: limits, costs, and the first reason against it.

    Parameters
    ----------
    n_input
        Tokens of the prompt, about, as it was asked; what the arm itself is told is counted here.
    prompt_output
        What a middling model is predicted to write for it, the median in tokens; None where the router does not say.
    length
        What the arm's own calls say of its lengths; None where there are none, or none that tell.
    told
        Whether the arm is told its instructions with it.
    tempo, minute_usd, max_seconds
        How long its calls take, what a minute of that costs, USD, and how many seconds there are (`times.timed`).
    """
    arm, price = known.arm, known.price
    own = length if told and prompt_output is not None else None  # a judge's and a planner's are no answers
    if own is not None and prompt_output is not None:
        p50, p90 = own.of(prompt_output, p50)
    asked = dressed(prompt, arm) if told else prompt.as_read(None)
    if asked is not prompt:
        n_input = estimate_tokens(asked)
    limit = known.output_limit if output_limit is None else min(known.output_limit, output_limit)
    brief = prompt.brief and told and prompt.chat is None and not known.may_think
    if brief:
        p50, p90 = p50 * BRIEF_SHARE, p90 * BRIEF_SHARE
        limit = limit if prompt.forms else min(limit, BRIEF_TOKENS)  # how long a form is, its schema says
    n_p50, n_p90 = max(1, round(min(p50, limit))), max(1, round(min(p90, limit)))
    against: tuple[Barrier, str] | None = None
    lowered = False
    bound_in = bound_tokens(asked, arm.model, known.window)
    missing = sorted(need for need in prompt.required - known.capabilities if not compares(need))
    failing = next((why for need in sorted(prompt.required) if (why := unmet(need, arm)) is not None), None)
    may_lower = not known.info.reasoning
    if here_only and not runs_here(arm):  # first: the log is to say so, whatever else stands against the arm
        against = Barrier.NOT_HERE, "does not run on this machine"
    elif barred is not None:
        against = Barrier.RULE, barred
    elif blocked is not None:
        against = Barrier.BLOCKED, blocked
    elif missing:
        against = Barrier.CAPABILITY, _lacking(missing)
    elif failing is not None:
        against = Barrier.CAPABILITY, failing
    elif (why := no_room(reasoning_room(arm.model, arm.reasoning_effort, arm.params), limit)) is not None:
        against = Barrier.REASONING, why
    elif known.window is not None and n_input + limit > known.window:
        room = known.window - n_input
        if may_lower and room > n_p90:
            limit = room
        else:
            against = Barrier.WINDOW, f"about {n_input:,} tokens do not fit its window of {known.window:,}"
    elif bound_in is None:
        against = Barrier.UNBOUNDED, "a PDF cannot be priced without knowing the model's window (set context_window)"
    if price is None and against is None:
        against = Barrier.NO_PRICE, "no price is known for it (state one in the profile; 0 is allowed)"
    bound_in = bound_in or 0
    cost = p90_cost = bound = cached = None
    if price is not None:
        cached = _in_cache(bare_of(arm.name), price, asked, staying)
        cost = price.expected_nano(n_input, n_p50, cached)
        p90_cost = price.expected_nano(n_input, n_p90, cached)
        bound = price.bound_nano(bound_in, limit)
        if against is None and left is not None and bound > max(left, 0):  # what is free is never refused
            fitting = _limit_that_fits(price, bound_in, limit, left) if may_lower else 0
            if fitting > n_p90:
                limit, bound, lowered = fitting, price.bound_nano(bound_in, fitting), True
            else:
                rest = format_usd(max(left, 0))
                against = Barrier.CAP, f"could cost up to {format_usd(bound)}, and the caps leave {rest}"
    option = Option(
        arm=arm.name,
        model=arm.model,
        quality=quality,
        quality_low=quality_low,
        quality_high=quality_high,
        basis=basis,
        rests_on=rests_on,
        input_tokens=n_input,
        output_tokens_p50=n_p50,
        output_tokens_p90=n_p90,
        input_bound=bound_in,
        output_limit=limit,
        cost_nano=cost,
        cost_p90_nano=p90_cost,
        bound_nano=bound,
        infeasible=None if against is None else against[1],
        barrier=None if against is None else against[0],
        limit_lowered=lowered,
        cached_tokens=None if cached is None else min(cached, n_input),
        near=near,
        nearness=nearness,
        learned=learned,
        prompt_output=None if brief else prompt_output,  # what was asked to be short tells nothing of other answers
        length_by="" if own is None else own.text,
    )
    return timed(option, tempo, minute_usd=minute_usd, max_seconds=max_seconds)


def _in_cache(arm: str, price: ArmPrice, asked: Prompt, staying: Staying | None) -> int | None:
    """Return how many tokens are expected to be read at the price of a cache: of a conversation, or of files."""
    if staying is not None:
        return staying.cached(arm, price)
    if asked.kept is None or not asked.block:
        return None
    return files_cached(asked.kept, arm, price, remembered(asked.block, approx_tokens))


def _lacking(missing: list[str]) -> str:
    """Return why an arm cannot take what needs something that it is not known to have."""
    efforts = [each.removeprefix("effort-") for each in missing if each.startswith("effort-")]
    if efforts:
        return f'its reasoning_effort is not "{efforts[0]}", as asked for (give an arm that, or leave the field out)'
    return f"not known to take {', '.join(missing)} (if it does, add it to the arm's tags)"


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
