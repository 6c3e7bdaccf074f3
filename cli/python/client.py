"""`Scrimp`: ask, route, rate and look at spending from Python, as the commands do."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from scrimp.profiles.errors import LedgerError, UsageError
from scrimp.profiles.rungs import READ_TOKENS

from .accounts import Rating
from .composing import nano, prepare, several
from .opened import Opened, logger
from .results import Answer
from .views import answer_of, route_of, spending_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Unpack

    from scrimp.routing.asking.request import Checked

    from .accounts import Spending
    from .composing import AskOptions, Job, Name, Usd
    from .results import Route

__all__ = ["Scrimp"]


class Scrimp:
    """One profile, opened once: asks, decides, rates, and says what was spent.

    It may be used from many threads and by many tasks at once. It prints nothing: what the commands say on stderr is in
    the results (`notes`, `said`) and goes to the logger `scrimp`. In a process that was forked from the one that opened
    it, it refuses to work: open one in each.

    Parameters
    ----------
    profile
        A profile's name, or a path to a .toml file; None takes what the command would take without `-p`.
    home
        A folder for everything (profiles, ledger, keys, routers), as SCRIMP_HOME; None takes the user's own.
    seed
        Of what is drawn: the same seed explores alike.

    Attributes
    ----------
    profile
        The profile's name.
    notes
        Remarks on it, such as that none was chosen and which was taken.

    Raises
    ------
    UsageError
        If there is no such profile.
    ConfigError
        If it says what it may not.
    """

    def __init__(self, profile: Name | None = None, *, home: Name | None = None, seed: int | None = None) -> None:
        self._opened = Opened(
            None if profile is None else os.fspath(profile),
            home=None if home is None else os.fspath(home),
            seed=seed,
        )
        self._named = profile is not None
        self.profile: str = self._opened.loaded.profile.name
        self.notes: tuple[str, ...] = self._opened.loaded.notes
        for note in self.notes:
            logger.info(note)

    # -- asking -----------------------------------------------------------------------------------------------------

    def ask(self, prompt: str, **options: Unpack[AskOptions]) -> Answer:
        """Answer a prompt with the cheapest arm that will do the job, as `scrimp ask`.

        An answer that came is returned, even where it failed its checks or is empty: it is paid for. `Answer.passed`
        and `Answer.error` say so, and `Answer.raise_for_error` raises it.

        Parameters
        ----------
        prompt
            What to ask.
        system
            A system prompt.
        files
            What is asked of: paths of files (text, HTML, PDF) and folders, and patterns such as `minutes/**/*.md`.
            Without a prompt they are the prompt.
        read, read_tokens
            How much of the files is sent: `auto` (what is worth most), `whole`, `passages`, `split` (a call a piece) or
            `none`; and the most tokens of passages.
        attachments
            Paths of images and PDFs, for arms that take them.
        schema
            A JSON Schema that the answer must satisfy: as a mapping, as text, or as the name of a file.
        arm
            The arm to ask, by its name, an alias, or as a model with a known price, as `-m` takes it; None lets the
            policy choose.
        temperature, max_tokens, options
            How freely the model chooses its words; the most output tokens (an arm's own limit holds too); and further
            options of the call by name, as `-o` takes them.
        max_cost_usd
            The most that this request may cost, USD: a `Decimal`, a string, or a float read by its shortest form.
        max_seconds, fast
            How many seconds there are: arms that are known to take longer are not asked, and the call is broken off
            when they are up; and whether a minute of waiting costs as much as a right answer is worth.
        prefer, wtp_usd, min_quality
            In place of the profile's policy: `cheap`, `balanced` or `best`; what a right answer is worth, USD; the
            predicted quality to reach, in [0, 1].
        on_this_machine
            Only arms that run on this machine.
        private
            In place of the profile's `guard.private`: `off`, `warn`, `redact`, `local` or `refuse`.
        needs
            Tags that an arm must have.
        checks
            What the answer must pass, as `--check` spells it.
        cascade, plan, repair
            Whether a plan of several calls may be chosen; a plan as `--plan` spells it; whether the next arm is told
            what was wrong.
        brief
            Ask for a short answer, and pay for no long one.
        tag
            A word by which log and spending find it.
        conversation
            Goes on with a conversation: an answer of it, its name, or its id. A new name begins one.
        memory
            How much of the conversation goes along: `auto`, `last`, `relevant`, `all` or `summary`.
        rephrase
            Have the cheapest arm put it into other words, so many ways; the one most likely to be answered right is
            asked (`Answer.asked_as`).
        confirmed
            Send it even where the profile would ask a person first, since a right answer is unlikely (`guard.risky`).
        no_log
            Keep neither text nor features of it, only its money.
        on_text
            Takes the answer's text in pieces as they come; in one piece at the end where a later answer may replace the
            first (some checks and plans), and where a provider does not stream. What it raises ends the request.

        Raises
        ------
        ScrimpError
            Where there is no answer: `UsageError`, `BudgetRefusedError`, `AuthError`, `ProviderError`, `TryAgainError`,
            `GuardRefusedError`, `ConfigError`, `LedgerError`; `exit_code` is what the command would have ended with.
        """
        with self._opened.use() as opened:
            job = prepare(opened, prompt, **options)
            decision, plan = job.space.choose(job.ask, job.context, job.way)
            missed = job.tell_missed(decision)
            hear = job.hearing(plan)
            checked = job.space.run(job.ask, decision, job.context, plan, job.way, on_text=hear)
            answer = self._answer(job, checked, missed=missed)
        if job.listener is not None:
            job.listener.end(answer.text)
        return answer

    async def aask(self, prompt: str, **options: Unpack[AskOptions]) -> Answer:
        """As `ask`, without blocking the event loop; `on_text` is called in it.

        A task that is cancelled has its call settled first: what left is paid for, and in the log.

        Raises
        ------
        ScrimpError
            As `ask`.
        asyncio.CancelledError
            If cancelled.
        """
        import asyncio

        from scrimp.routing.asking.awaiting import AwaitingHands, attend_loop, of_text

        with self._opened.use() as opened:
            await attend_loop()
            job = await asyncio.to_thread(prepare, opened, prompt, **options)
            decision, plan = await job.space.achoose(job.ask, job.context, job.way)
            missed = job.tell_missed(decision)
            hear = job.hearing(plan)
            scribe = opened.scribe(job.space.ledger)
            hands = AwaitingHands(job.space, job.ask, scribe, None if hear is None else of_text(hear))
            checked = await job.space.arun(job.ask, decision, job.context, plan, job.way, hands=hands)
            answer = await asyncio.to_thread(self._answer, job, checked, missed=missed)
        if job.listener is not None:
            job.listener.end(answer.text)
        return answer

    def _answer(self, job: Job, checked: Checked, *, missed: bool) -> Answer:
        """Return an answer as the caller gets it, and see to what is done after every payment."""
        from scrimp.cli.upkeep import look_back

        try:
            for line in look_back(job.space.ledger, job.space.profile, self._opened.paths):
                job.space.say(line)
            self._opened.tell(job.space.ledger)
        except LedgerError as error:  # the answer is paid for: it is not lost for this
            job.space.say(error.message)
        decision = checked.answer.decision
        was_checked = job.way.records_steps(decision) or decision.rephrase is not None
        return answer_of(checked, was_checked=was_checked, missed=missed, said=tuple(job.said))

    # -- deciding, rating, spending ---------------------------------------------------------------------------------

    def route(
        self,
        prompt: str,
        *,
        arm: str | None = None,
        max_cost_usd: Usd | None = None,
        max_seconds: float | None = None,
        fast: bool = False,
        prefer: str | None = None,
        wtp_usd: float | None = None,
        min_quality: float | None = None,
        on_this_machine: bool = False,
        needs: str | Iterable[str] = (),
        plan: str | None = None,
        files: Name | Iterable[Name] = (),
        read: str = "auto",
        read_tokens: int = READ_TOKENS,
        brief: bool = False,
        private: str | None = None,
    ) -> Route:
        """Decide which arm or plan would take a prompt, as `scrimp route`: no network, no key, nothing logged.

        The parameters are those of `ask`. Where no arm can take the prompt, `Route.arm` is None.

        Raises
        ------
        UsageError
            If the prompt is empty, there is no such arm, or the plan is none for this prompt.
        BudgetRefusedError
            If the caps leave too little for the plan that was asked for.
        """
        from scrimp.routing.asking.compose import compose, question_of, read_sources
        from scrimp.routing.asking.refusal import missed_quality
        from scrimp.routing.asking.route import Guide
        from scrimp.routing.asking.ways import make_way, split_plan
        from scrimp.routing.text.clean import clean_text

        with self._opened.use() as opened:
            profile, arm = opened.under(prefer, wtp_usd, min_quality, max_seconds, private, arm=arm)
            if (split := split_plan(read, arm=arm, plan=plan)) is not None:
                read, arm, plan = "auto", None, split
            way = make_way(profile, schema=None, plan=plan, arm=arm)
            guide = Guide(
                opened.decider(profile),
                opened.ledger_to_read(),
                arm=arm,
                max_cost_nano=nano(max_cost_usd),
                on_this_machine=on_this_machine,
                needs=frozenset(several(needs)),
                rng=opened.rng,
                way=replace(way, cascade=False, named=()) if way.cascade else way,
                cache=opened.paths.cache,
                fast=fast,
            )
            typed = clean_text(prompt, what="the prompt")
            text, sources = question_of(typed, read_sources(several(files), tell=logger.info))
            asked = compose(text, system=None, attachments=(), schema=None, needs=(), sources=sources, brief=brief)
            _, decision = guide.one(asked, reading=read, read_tokens=read_tokens)
        return route_of(decision, missed=missed_quality(decision) is not None)

    def rate(self, answer: Answer | str, rating: str | float, *, note: str | None = None) -> Rating:
        """Say how good an answer was, as `scrimp rate`; the router learns from it.

        Parameters
        ----------
        answer
            An answer, its id, or `last`.
        rating
            `good`, `bad`, or a number in [0, 1].
        note
            Why.

        Raises
        ------
        UsageError
            If there is no such request, it has no answer, or the rating is none.
        """
        from scrimp.routing.asking.rating import rate, read_reward

        reward = read_reward(str(rating))
        which = answer.id if isinstance(answer, Answer) else answer
        with self._opened.use() as opened:
            row = rate(opened.ledger_to_read(), which, reward, note=note, now=time.time())
        return Rating(row["id"], row["arm"], reward)

    def spend(self, by: str = "day", *, days: int | None = None) -> Spending:
        """Return what was spent and what the caps leave, as `scrimp spend`.

        Parameters
        ----------
        by
            What to sum by: day, week, month, arm, profile, source or tag.
        days
            Only the last so many days; None takes all.

        Raises
        ------
        UsageError
            If there is no such sum.
        """
        from scrimp.routing.reports.spending import GROUPS, spending_report

        if by not in GROUPS:
            raise UsageError(f"by: expected one of {', '.join(GROUPS)}, not {by!r}")
        only = self.profile if self._named else None
        with self._opened.use() as opened:
            profile = opened.loaded.profile
            return spending_of(
                spending_report(opened.ledger_to_read(), profile, by=by, days=days, only=only, now=time.time())
            )

    def close(self) -> None:
        """Take nothing more, and close what was opened; requests under way go on to their end first."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Scrimp profile={self.profile!r}{' closed' if self._opened.closed else ''}>"
