"""From a prompt to a decision: context, predictions, filters, policy; local, offline, and explained in full."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from math import isnan
from typing import TYPE_CHECKING, Final

from msgspec import structs

from scrimp.profiles.rungs import bare_of, base_of, reading_of, with_reading
from scrimp.routing.guard.verdict import UNGUARDED
from scrimp.routing.prompts.context import contexts, stack
from scrimp.routing.prompts.tokens import estimate_tokens
from scrimp.routing.router.abilities import place_arm
from scrimp.routing.router.nearness import with_text
from scrimp.routing.router.readings import shipped_readings

from .abouts import Abouts
from .clock import Clock
from .policy import MEASURED, Option, choose

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping, Sequence

    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.calls.machine import Machine
    from scrimp.routing.guard.verdict import Finding, Guarded
    from scrimp.routing.ledger.past_calls import PastCall
    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.prices.table import PriceTable
    from scrimp.routing.prompts.context import Context, TextEmbedder
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.retrieval.texts import Found
    from scrimp.routing.router.abilities import AbilityTable
    from scrimp.routing.router.arms import ArmInfo, Predictions, Router
    from scrimp.routing.router.lengths import Length
    from scrimp.routing.router.readings import ReadingModel
    from scrimp.routing.router.timing import Tempo

    from .pace import Pace
    from .policy import Option
    from .pool import ArmPool
    from .staying import Staying
from .options import KnownArm, know_arm, option_for, runs_here
from .outlook import feasibility
from .own_lengths import OwnLengths
from .staying import Turned, moved
from .times import none_gains_by_silence
from .trace import Decision
from .weights import Weighing

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
    guarded
        What the profile's guards say of the prompt.
    fast
        A minute of waiting costs as much as a right answer is worth.
    waits
        Whether somebody waits for the answer: else the time that it takes is no matter.
    """

    arm: str | None = None
    wtp_usd: float | None = None
    min_quality: float | None = None
    explore: float | None = None
    max_cost_nano: int | None = None
    on_this_machine: bool = False
    staying: Staying | None = None
    guarded: Guarded = UNGUARDED
    fast: bool = False
    waits: bool = True


class Decider:
    """Makes decisions for one profile: everything that does not depend on the prompt is worked out once.

    Parameters
    ----------
    profile, table, router, embedder
        Whose arms, at which prices, judged by which router, from which embedding.
    abilities
        A table of abilities; what is the user's own of it goes before what the router knows. None: there is none.
    pool
        Arms beside the profile's own, of which a prompt sees the nearest (`narrowed`). None: there is none.
    remembering
        Embeds what arms say they are for: an embedder with a memory. None: `embedder` does.
    machine
        What says how fast models of this process are supposed to be. None: nothing does.
    """

    def __init__(
        self,
        profile: Profile,
        table: PriceTable,
        router: Router,
        embedder: TextEmbedder,
        abilities: AbilityTable | None = None,
        pool: ArmPool | None = None,
        *,
        remembering: TextEmbedder | None = None,
        machine: Machine | None = None,
    ) -> None:
        self.profile = profile
        self.table = table
        self.router = router
        self.embedder = embedder
        self.pool = pool
        self._abilities = abilities
        self._abouts = Abouts(profile.arms, remembering or embedder)
        self._near: Mapping[str, Found] | None = None
        self._reading_model: ReadingModel | None = None
        self._clock = Clock(machine)
        self._tempos: Mapping[str, Tempo] = {}
        self._lengths: Mapping[str, Length] = {}
        self._own_lengths = OwnLengths()
        self._models = {arm.name: arm.model for arm in profile.arms}
        self._known = tuple(map(self._know, profile.arms))
        self._weighing: Weighing | None = None

    def _know(self, arm: Arm) -> KnownArm:
        known = know_arm(arm, self.table)
        info = replace(known.info, like=arm.like if self._models.get(arm.like or "") == arm.model else None)
        if self._abilities is not None and self._abilities.is_own(arm.model):
            info = replace(info, placed=place_arm(self._abilities, info))
        return replace(known, info=info)

    def under(self, profile: Profile) -> Decider:
        """Return what decides under another policy for the same arms; nothing is loaded anew."""
        return self._with(profile=profile)

    def at_prices(self, prices: Mapping[str, ArmPrice]) -> Decider:
        """Return what decides where some arms cost something else: predictions stay as they are."""
        known = (replace(each, price=prices.get(each.arm.name, each.price)) for each in self._known)
        return self._with(_known=tuple(known)) if prices else self

    def reading_by(self, model: ReadingModel) -> Decider:
        """Return what decides by another judgement of readings: what labels added to the shipped one."""
        return self._with(_reading_model=model)

    def experienced(self, past: Mapping[str, Sequence[PastCall]]) -> Decider:
        """Return what decides with what earlier calls of its arms say of lengths and times.

        Parameters
        ----------
        past
            Calls by arm, the newest first; arms without any are left out.
        """
        return self._with(
            _tempos=self._clock.tempos(self._known, past),
            _lengths=self._own_lengths.of(past, (known.arm for known in self._known)),
        )

    def with_experience_of(self, other: Decider) -> Decider:
        """Return what decides with what another one, of the same arms, was told of earlier calls."""
        return self._with(_tempos=other._tempos, _lengths=other._lengths)

    def tempo(self, arm: str) -> Tempo | None:
        """Return how long calls of an arm take; None where nothing is known of that (`experienced` tells)."""
        return self._tempos.get(bare_of(arm))

    @property
    def readings(self) -> ReadingModel:
        """By what P(right) of each reading is judged."""
        return self._reading_model or shipped_readings()

    def _with(self, **changed: object) -> Decider:
        other = copy(self)
        other._weighing = None  # noqa: SLF001 - of the same class
        for name, value in changed.items():
            setattr(other, name, value)
        return other

    def narrowed(self, text: str, context: Context, named: Iterable[str] = ()) -> Decider:
        """Return what decides one prompt: the profile's own arms, those of the pool that are named, and the nearest.

        Parameters
        ----------
        text, context
            The prompt's, embedded by this decider.
        named
            Arms that are to be there whatever is near; names of no arm of the pool are passed over.
        """
        if self.pool is None:
            return self.rated(text, context)
        near = self.pool.nearest(text, context.embedding)
        return self._with(_near={**near, **self._own_near(context)}).with_arms((*near, *named))

    def with_arms(self, names: Iterable[str]) -> Decider:
        """Return what decides among the profile's own arms and some of the pool, as they are now."""
        there = {known.arm.name for known in self._known}
        more = [name for name in dict.fromkeys(map(bare_of, names)) if name not in there]
        arms = self.pool.arms(more) if self.pool is not None and more else ()
        if not arms:
            return self
        profile = structs.replace(self.profile, arms=(*self.profile.arms, *arms))
        return self._with(profile=profile, _known=(*self._known, *map(self._know, arms)))

    @property
    def weighing(self) -> Weighing:
        """What the profile's weights hold against its arms."""
        if self._weighing is None:
            arms = [known.arm for known in self._known]
            self._weighing = Weighing.of(self.profile.policy.weights, arms, list(map(runs_here, arms)))
        return self._weighing

    @property
    def rates(self) -> bool:
        """Whether a prompt is decided by which arms are near to it, too."""
        return self.pool is not None or bool(self._abouts)

    def rated(self, text: str, context: Context) -> Decider:
        """Return what decides one prompt among the same arms, by how near to it is what they are for."""
        if not self.rates:
            return self
        of_pool = {} if self.pool is None else self.pool.nearest(text, context.embedding)
        return self._with(_near={**of_pool, **self._own_near(context)})

    def _own_near(self, context: Context) -> dict[str, Found]:
        return self._abouts.near(context.embedding) if self._abouts else {}

    def _by_text(self, basis: Sequence[str]) -> list[float]:
        """Return by what each arm's quality is multiplied for how near to the prompt is what it is told, or is for.

        Of the profile's own arms those count that share a model with others, until outcomes of their own tell of them
        (`basis`, one an arm). The rungs of a ladder are for one thing, and fit alike.
        """
        names = [known.arm.name for known in self._known]
        if self._near is None:
            return [1.0] * len(names)
        pool = self.pool
        told = {known.arm.name for known in self._known if pool is not None and pool.has(known.arm)}
        own = self._abouts.tells_apart.difference(told)
        unmeasured = {name for name, rests in zip(names, basis, strict=True) if rests != MEASURED}
        told |= own & unmeasured
        scores = {base_of(name): each.score for name, each in self._near.items()}
        factors = with_text(map(base_of, names), scores, map(base_of, told))
        moved_too = self._abouts.beside & unmeasured if pool is None else set(names) - own
        return [factors[base_of(name)] if name in told | moved_too else 1.0 for name in names]

    def arm(self, name: str) -> Arm:
        """Return an arm of the profile or its pool.

        Raises
        ------
        KeyError
            If no arm has that name.
        """
        return self._find(name).arm

    def profile_with(self, name: str) -> Profile:
        """Return the profile, with an arm of its pool among its arms if it is one.

        Raises
        ------
        KeyError
            If no arm has that name.
        """
        if any(known.arm.name == bare_of(name) for known in self._known):
            return self.profile
        return structs.replace(self.profile, arms=(*self.profile.arms, self.arm(name)))

    @property
    def infos(self) -> tuple[ArmInfo, ...]:
        """What the router is told of each arm, in the profile's order."""
        return tuple(known.info for known in self._known)

    def price(self, arm: str) -> ArmPrice | None:
        """Return an arm's price."""
        return self._find(arm).price

    def window(self, arm: str) -> int | None:
        """Return an arm's context window in tokens; None where it is not known."""
        return self._find(arm).window

    def _find(self, name: str) -> KnownArm:
        bare = bare_of(name)
        found = None
        for known in self._known:  # a generator would take three times as long, and each row asks a dozen times
            if known.arm.name == bare:
                found = known
                break
        if found is None and self.pool is not None and (arm := self.pool.arm(bare)) is not None:
            found = self._know(arm)
        if found is None:
            raise KeyError(name)
        return found if reading_of(name) is None else _called(found, name)

    def known(self, arm: str) -> KnownArm:
        """Return all that is known of an arm whatever the prompt; with a reading in its name, under that name.

        Raises
        ------
        KeyError
            If no arm has that name.
        """
        return self._find(arm)

    def info(self, arm: str) -> ArmInfo:
        """Return what the router is told of an arm."""
        return self._find(arm).info

    def reasons(self) -> dict[str, str]:
        """Return what each arm's predicted quality rests on, in words."""
        return dict(zip((info.name for info in self.infos), self.router.reasons(self.infos), strict=True))

    def contexts(self, texts: Sequence[str]) -> list[Context]:
        """Return the context of each prompt (this loads the embedder)."""
        return contexts(texts, self.embedder)

    def predict(self, items: Sequence[Context]) -> Predictions:
        """Return the router's predictions for `n` contexts and this profile's arms."""
        embeddings, surface = stack(items)
        return self.router.predict(embeddings, surface, self.infos)

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
        minute_usd = wtp_usd if wishes.fast else float(policy.minute_usd or 0.0)
        minute_usd, max_seconds = (minute_usd, policy.max_seconds) if wishes.waits else (0.0, None)
        min_quality = policy.min_quality if wishes.min_quality is None else wishes.min_quality
        explore = policy.explore if wishes.explore is None else wishes.explore
        n_input = estimate_tokens(prompt)
        staying = wishes.staying
        turned: Turned | None = None
        by_text = self._by_text(predictions.basis)
        if staying is not None:
            alone = {
                known.arm.name: float(quality) * fits
                for known, quality, fits in zip(self._known, predictions.quality[row], by_text, strict=True)
            }
            turned = Turned.by(staying, prompt.text, alone)
        readings = prompt.readings if told else None
        base = None if predictions.prompt_tokens is None else float(predictions.prompt_tokens[row])
        options = []
        for column, known in enumerate(self._known):
            fits, near = by_text[column], (self._near or {}).get(known.arm.name)
            left = left_nano.get(known.arm.name)
            barred = wishes.guarded.bars(known.arm.name)
            if wishes.max_cost_nano is not None:
                left = wishes.max_cost_nano if left is None else min(left, wishes.max_cost_nano)
            shift = 0.0 if turned is None else turned.shift(known.arm.name)
            rights = [
                moved(float(each[row, column]) * fits, shift)
                for each in (predictions.quality, predictions.quality_low, predictions.quality_high)
            ]
            for reading in (None,) if readings is None else readings.offered:
                quality, low, high = rights
                learned = 0.0
                if reading is not None and readings is not None:
                    quality, low, high = self.readings.rights(rights, reading, readings.evidence, known.info)
                    learned = self.readings.offset(known.info.model, reading).mean
                options.append(
                    option_for(
                        known if reading is None else _called(known, with_reading(known.arm.name, reading)),
                        prompt,
                        n_input=n_input,
                        quality=quality,
                        quality_low=low,
                        quality_high=high,
                        basis=predictions.basis[column],
                        rests_on=predictions.rests_on[column],
                        p50=float(predictions.output_tokens_p50[row, column]),
                        p90=float(predictions.output_tokens_p90[row, column]),
                        prompt_output=base,
                        length=self._lengths.get(known.arm.name),
                        output_limit=output_limit,
                        left=left,
                        blocked=blocked.get(known.arm.name),
                        barred=barred,
                        here_only=wishes.on_this_machine or wishes.guarded.here,
                        staying=staying,
                        told=told,
                        near="" if near is None or not near.by else near.in_words(),
                        nearness=fits,
                        learned=learned,
                        tempo=self.tempo(known.arm.name),
                        minute_usd=minute_usd,
                        max_seconds=max_seconds,
                    )
                )
        weighing = self.weighing
        options = [self._with_terms(option, weighing) for option in none_gains_by_silence(options)]
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
            sent=wishes.guarded.sends,
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
            guards=(*wishes.guarded.findings, *self._cannot(prompt, options)),
            assumed=weighing.assumed,
            brief=prompt.brief,
            minute_usd=minute_usd,
            max_seconds=max_seconds,
            similarity=None if predictions.similarity is None else float(predictions.similarity[row]),
            by=None if self.pool is None else self,
        )

    def _cannot(self, prompt: Prompt, options: Sequence[Option]) -> tuple[Finding, ...]:
        """Return what is found of arms that cannot take a prompt (`outlook.feasibility`)."""
        if all(option.infeasible is None for option in options):
            return ()
        required = prompt.required
        lacking = {known.arm.name: sorted(required - known.capabilities) for known in self._known} if required else {}
        found = feasibility(options, lacking)
        return () if found is None else (found,)

    @staticmethod
    def _with_terms(option: Option, weighing: Weighing) -> Option:
        terms = weighing.terms(bare_of(option.arm), option.output_tokens_p50)
        return replace(option, terms={**option.terms, **terms}) if terms else option


def _called(known: KnownArm, name: str) -> KnownArm:
    """Return an arm under a name with a reading in it."""
    return replace(known, arm=structs.replace(known.arm, name=name))
