"""How much each arm of a plan reads for one prompt: a name without a reading, readings that are not there, pieces."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.rungs import bare_of, reading_of, with_reading
from scrimp.routing.deciding.beside import beside, with_options
from scrimp.routing.deciding.times import minute_cost
from scrimp.routing.plans.pieces import NOTHING_SHARE, PIECE_ANSWER, SIZES, best_cut
from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.pieces import piece_prompt, pieces_of
from scrimp.routing.prompts.sources import Evidence
from scrimp.routing.strategies.split import asks_for, how_to_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.caps import Room
    from scrimp.routing.plans.pieces import Cut
    from scrimp.routing.plans.plan import Plan, Stage
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["Settled", "best_read", "settle_readings"]

_TOLD: Final = 120
"""Tokens of what is said around a piece, and around the answers of pieces."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A plan as it is read for one prompt.

    Attributes
    ----------
    decision
        With an option for every name in the plan.
    remarks
        What is said to the user of readings that fell away.
    split
        Of a text that is split: what is forecast of it, as plain data; None elsewhere.
    """

    plan: Plan
    decision: Decision
    remarks: tuple[str, ...] = ()
    split: Mapping[str, Any] | None = None


def best_read(options: Mapping[str, Option], utility: Callable[[Option], float]) -> dict[str, Option]:
    """Return of each arm the one option that is worth most: whoever is asked, reads what is best for that."""
    best: dict[str, Option] = {}
    for option in options.values():
        bare = bare_of(option.arm)
        if bare not in best or utility(option) > utility(best[bare]):
            best[bare] = option
    return {option.arm: option for option in best.values()}


def settle_readings(
    plan: Plan,
    prompt: Prompt,
    decision: Decision,
    decider: Decider,
    rooms: Sequence[Room] = (),
) -> Settled:
    """Return a plan with the reading of every arm in its name.

    An arm that is named without one reads what is worth most for it. A judge of a knockout is shown the passages. A
    planner's workers are asked something else than the request: they read none of its files, unless they are named with
    a reading.
    What merges pieces reads none of the text. Where a prompt has no files, or so small ones that there is nothing to
    choose, readings fall away.

    Parameters
    ----------
    rooms
        What each cap leaves.

    Raises
    ------
    UsageError
        If the prompt's files are not read in the way that an arm is named with, or fall into too many pieces.
    """
    there = {weighed.option.arm for weighed in decision.choice.weighed}
    if not prompt.sources and not any(reading_of(arm) for arm in plan.arms) and there.issuperset(plan.arms):
        return Settled(plan, decision)
    settling = _Settling(plan, prompt, decision, decider, rooms)
    stages = tuple(settling.stage(stage) for stage in plan.stages)
    decision = with_options(decision, settling.options.values())
    return Settled(replace(plan, stages=stages), decision, tuple(dict.fromkeys(settling.remarks)), settling.split)


@dataclass(slots=True)
class _Settling:
    plan: Plan
    prompt: Prompt
    decision: Decision
    decider: Decider
    rooms: Sequence[Room]
    options: dict[str, Option] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    split: dict[str, Any] | None = None

    def stage(self, stage: Stage) -> Stage:
        if stage.how == "split":
            return self._split(stage)
        own = stage.how == "lead"  # workers answer questions of the planner's own
        arms = [self._name(arm, none=own) for arm in stage.arms]
        by = tuple(map(self._judge if stage.how == "knockout" else self._name, stage.by))
        if stage.how in ("bid", "lead"):
            arms = [*dict.fromkeys(arms)]
        if stage.how == "bid" and len(arms) == 1:  # two readings of one arm, of which one fell away
            return replace(stage, arms=tuple(arms), how="one", by=())
        return replace(stage, arms=tuple(arms), by=by)

    def _judge(self, name: str) -> str:
        """Return what an arm is asked as that drops answers: it is shown the passages, unless it is named otherwise."""
        if self.prompt.readings is None or reading_of(name) is not None:
            return self._name(name)
        read = with_reading(name, "passages")
        return read if read in self._weighed else self._beside(read, self.prompt.as_read("passages"), told=False)

    def _name(self, name: str, *, none: bool = False) -> str:
        """Return what an arm is asked as."""
        reading, bare, readings = reading_of(name), bare_of(name), self.prompt.readings
        if name in self._weighed:
            return name
        if readings is None:
            if reading is not None:
                why = "small enough to be sent whole" if self.prompt.sources else "none"
                self.remarks.append(f"{name} is {bare} here: the files of this prompt are {why}")
            return bare if bare in self._weighed else self.decision.choice.option(bare).arm
        if reading is None and not none:
            return self.decision.choice.option(bare).arm
        if reading in (None, "none"):
            return self._beside(with_reading(bare, "none"), replace(self.prompt, sources=(), readings=None), told=none)
        if reading == "passages" and with_reading(bare, "whole") in self._weighed:
            self.remarks.append(f"{name} is {bare}/whole here: the passages would be all of it")
            return with_reading(bare, "whole")
        kinds = ", ".join(readings.offered)
        raise UsageError(
            f"the plan {self.plan} is not begun: {name}: of the files of this prompt only {kinds} is on offer",
            hint="Leave --read out, or give the reading that the plan has.",
        )

    @property
    def _weighed(self) -> set[str]:
        return {weighed.option.arm for weighed in self.decision.choice.weighed}

    def _beside(self, name: str, prompt: Prompt, *, quality: float | None = None, told: bool = True) -> str:
        """Make the option of an arm for a prompt of its own; return its name."""
        if name not in self.options:
            bare = bare_of(name)
            lefts = [room.left_nano for room in self.rooms if room.cap.about(bare)]
            like = self.decision.choice.option(bare)
            self.options[name] = beside(
                self.decider, name, prompt, like, quality=quality, told=told, left=min(lefts, default=None),
                minute_usd=self.decision.minute_usd,
            )  # fmt: skip
        return name

    # -- pieces -----------------------------------------------------------------------------------------------------

    def _split(self, stage: Stage) -> Stage:
        """Return a stage that reads a text in pieces, of the size worth most; one that reads it whole if it is one."""
        prompt, (name,) = self.prompt, stage.arms
        arm = bare_of(name)
        if not prompt.sources:
            self.remarks.append(f"{name} is {arm} here: there are no files to split")
            return replace(stage, arms=(self._name(arm),), how="one", by=())
        merges = bool(stage.by) or asks_for(prompt.text) is None
        by = bare_of(stage.by[0]) if stage.by else arm
        cut = self._cut(arm, by if merges else None)
        if cut is None:
            raise UsageError(
                f"the plan {self.plan} is not begun: {name}: no piece of the text fits {arm}, or there are too many"
            )
        if cut.n <= 1:
            self.remarks.append(f"{name} is {arm} here: the text is one piece")
            whole = with_reading(arm, "whole")
            return replace(stage, arms=(whole if whole in self._weighed else self._name(arm),), how="one", by=())
        spans = pieces_of(prompt.sources, cut.n_tokens)
        longest = max(spans, key=lambda span: approx_tokens(prompt.sources[span.source].text[span.start : span.end]))
        asked = piece_prompt(prompt, longest, len(spans), len(spans), how_to_answer(prompt.text))
        self._beside(name, asked, quality=cut.right)
        merger: tuple[str, ...] = ()
        if merges:
            reads = stage.by[0] if stage.by and reading_of(stage.by[0]) else with_reading(by, "none")
            merger = (
                self._beside(reads, replace(prompt, sources=(), readings=None))
                if reading_of(reads) == "none"
                else self._name(reads),
            )
        made = replace(stage, by=merger, pieces=len(spans), piece_tokens=cut.n_tokens)
        self.split = {
            **cut.to_dict(),
            "arm": arm,
            "merge": merger[0] if merger else "code",
            "seconds": self._seconds(arm, cut, by if merger else None),
            "spans": [[span.source, span.start, span.end] for span in spans],
        }
        return made

    def _cut(self, arm: str, by: str | None) -> Cut | None:
        """Return the size of pieces that is worth most, of those that fit the arm's window."""
        prompt, choice = self.prompt, self.decision.choice
        option, price, tempo = choice.option(arm), self.decider.price(arm), self.decider.tempo(arm)
        window = self.decider.window(arm)
        beside_it = approx_tokens("\n".join(replace(prompt, sources=(), readings=None).parts())) + _TOLD
        n_text = sum(source.n_tokens for source in prompt.sources)

        def fits(size: int) -> bool:
            limit = min(option.output_limit, 4 * PIECE_ANSWER)
            return window is None or size + size // 4 + beside_it + limit <= window

        def cost(size: int, n: int) -> float:
            del size
            if price is None:
                return 0.0
            pieces = n * price.expected_nano(beside_it + n_text // n, PIECE_ANSWER)
            merging = None if by is None else self.decider.price(by)
            if merging is None or by is None:
                return float(pieces)
            said = round(n * (1.0 - NOTHING_SHARE) * PIECE_ANSWER)
            return float(pieces + merging.expected_nano(beside_it + said, choice.option(by).output_tokens_p50))

        def held(size: int, n: int) -> float:
            del size
            took = None if tempo is None else n * tempo.seconds(beside_it + n_text // n, PIECE_ANSWER)
            return sum(minute_cost(self.decision.minute_usd, took).values())

        room = None if by is None else self.decider.window(by)

        def merges(n: int) -> bool:
            if room is None or by is None:
                return True
            return beside_it + n * PIECE_ANSWER + choice.option(by).output_tokens_p90 <= room

        n_pieces = {size: len(pieces_of(prompt.sources, size)) for size in SIZES if fits(size)}
        sizes = [size for size, n in n_pieces.items() if merges(n)]
        return best_cut(
            [size for size in sizes if n_pieces[size] > 1] or sizes,  # who asks for pieces gets some
            n_pieces.__getitem__,
            cost,
            self._piece_right(arm),
            wtp_usd=self.decision.wtp_usd,
            held_usd=held,
        )

    def _piece_right(self, arm: str) -> Callable[[int], float]:
        """Return P(an arm answers a piece rightly), by its tokens: what is predicted of a text so long, read whole."""
        model, info, option = self.decider.readings, self.decider.info(arm), self.decision.choice.option(arm)
        readings, reading = self.prompt.readings, reading_of(option.arm)
        quality = option.quality
        if readings is not None and reading is not None:
            low, high = 0.0, 1.0  # the quality for the question by itself, of which this one was made
            for _ in range(30):
                quality = (low + high) / 2.0
                below = model.rights((quality,) * 3, reading, readings.evidence, info)[0] < option.quality
                low, high = (quality, high) if below else (low, quality)

        def right(n_tokens: int) -> float:
            answers, silent = model.parts(quality, "whole", Evidence(n_tokens, n_tokens), info)
            return (1.0 - NOTHING_SHARE) * answers + NOTHING_SHARE * silent

        return right

    def _seconds(self, arm: str, cut: Cut, by: str | None) -> float | None:
        """Return how long a text takes that is read in pieces, one after another; None where that is not known."""
        n_text = sum(source.n_tokens for source in self.prompt.sources)
        said = round(cut.n * (1.0 - NOTHING_SHARE) * PIECE_ANSWER)
        calls = [(arm, cut.n, n_text // cut.n + _TOLD, PIECE_ANSWER)]
        if by is not None:
            calls.append((by, 1, said + _TOLD, self.decision.choice.option(by).output_tokens_p50))
        took = 0.0
        for name, n, read, written in calls:
            if (tempo := self.decider.tempo(name)) is None:
                return None
            took += n * tempo.seconds(read, written)
        return round(took, 1)
