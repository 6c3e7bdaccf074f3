"""From a prompt to a decision: context, predictions, filters, policy; local, offline, and explained in full."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from math import isnan
from typing import TYPE_CHECKING, Final

from scrimp.routing.prompts.context import contexts, stack
from scrimp.routing.prompts.tokens import estimate_tokens
from scrimp.routing.router.abilities import place_arm

from .policy import choose

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from scrimp.profiles.schema import Profile
    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.prices.table import PriceTable
    from scrimp.routing.prompts.context import Context, TextEmbedder
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.router.abilities import AbilityTable
    from scrimp.routing.router.arms import ArmInfo, Predictions, Router

    from .pace import Pace
    from .staying import Staying
from .options import KnownArm, know_arm, option_for
from .staying import Turned, moved
from .trace import Decision

__all__ = ["GUARD_QUANTILE", "Decider", "Wishes"]


GUARD_QUANTILE: Final = 0.999
"""A prompt farther from the router's training prompts than this quantile of its held-out ones is not one it knows."""


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
    staying
        The conversation that the prompt goes on with; None where it begins one.
    """

    arm: str | None = None
    wtp_usd: float | None = None
    min_quality: float | None = None
    explore: float | None = None
    max_cost_nano: int | None = None
    on_this_machine: bool = False
    staying: Staying | None = None


class Decider:
    """Makes decisions for one profile: everything that does not depend on the prompt is worked out once.

    Parameters
    ----------
    profile, table, router, embedder
        Whose arms, at which prices, judged by which router, from which embedding.
    abilities
        A table of abilities; what is the user's own of it goes before what the router knows. None: there is none.
    """

    def __init__(
        self,
        profile: Profile,
        table: PriceTable,
        router: Router,
        embedder: TextEmbedder,
        abilities: AbilityTable | None = None,
    ) -> None:
        self.profile = profile
        self.table = table
        self.router = router
        self.embedder = embedder
        self._known = tuple(know_arm(arm, table) for arm in profile.arms)
        self._infos = [
            replace(known.info, placed=place_arm(abilities, known.info))
            if abilities is not None and abilities.is_own(known.info.model)
            else known.info
            for known in self._known
        ]

    def under(self, profile: Profile) -> Decider:
        """Return what decides under another policy for the same arms; nothing is loaded anew."""
        other = copy(self)
        other.profile = profile
        return other

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

    def _find(self, arm: str) -> KnownArm:
        return next(known for known in self._known if known.arm.name == arm)

    def info(self, arm: str) -> ArmInfo:
        """Return what the router is told of an arm."""
        return next(info for info in self._infos if info.name == arm)

    def reasons(self) -> dict[str, str]:
        """Return what each arm's predicted quality rests on, in words."""
        return dict(zip((info.name for info in self._infos), self.router.reasons(self._infos), strict=True))

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
        told: bool = True,
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
            How the month stands (`against_caps.month_pace`): it lowers wtp_usd when spending runs ahead.
        told
            Whether arms are told their instructions with it: a judge and a planner are not.
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
        staying = wishes.staying
        turned: Turned | None = None
        if staying is not None:
            names = (known.arm.name for known in self._known)
            turned = Turned.by(
                staying, prompt.text, dict(zip(names, map(float, predictions.quality[row]), strict=True))
            )
        options = []
        for column, known in enumerate(self._known):
            left = left_nano.get(known.arm.name)
            if wishes.max_cost_nano is not None:
                left = wishes.max_cost_nano if left is None else min(left, wishes.max_cost_nano)
            shift = 0.0 if turned is None else turned.shift(known.arm.name)
            options.append(
                option_for(
                    known,
                    prompt,
                    n_input=n_input,
                    quality=moved(float(predictions.quality[row, column]), shift),
                    quality_low=moved(float(predictions.quality_low[row, column]), shift),
                    quality_high=moved(float(predictions.quality_high[row, column]), shift),
                    basis=predictions.basis[column],
                    rests_on=predictions.rests_on[column],
                    p50=float(predictions.output_tokens_p50[row, column]),
                    p90=float(predictions.output_tokens_p90[row, column]),
                    output_limit=output_limit,
                    left=left,
                    blocked=blocked.get(known.arm.name),
                    here_only=wishes.on_this_machine,
                    staying=staying,
                    told=told,
                )
            )
        ood = float(predictions.ood[row])
        level = float(predictions.level[row])
        if turned is not None and not isnan(level):
            level = turned.level(level)
        guard = None
        # A turn that says little is strange by itself, and stands for a conversation that is not.
        speaks = turned is None or turned.weight >= 0.5
        if ood >= GUARD_QUANTILE and len(options) > 1 and speaks:
            guard = "this prompt is unlike anything the router was trained on"
        choice = choose(
            options,
            wtp_usd=wtp_usd,
            min_quality=min_quality,
            explore=explore,
            forced=wishes.arm,
            default_arm=self.profile.default_arm,
            guard=guard,
            stays=staying.arm if staying is not None and staying.forced else None,
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
            level=None if isnan(level) else level,
            turned=None if turned is None else turned.to_dict(),
        )
