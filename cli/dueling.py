"""`duel` from flags to exit code: what is to be judged, the session at the terminal, and what came of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import BudgetRefusedError, ExitCode, ScrimpError, UsageError
from scrimp.profiles.money import format_usd, nano_from_usd
from scrimp.routing.text.in_words import counted

from . import session
from .result import Column, Note, Result, Table, ask_line, emit, say, show_progress
from .side_by_side import ask_verdict, show, show_pair

if TYPE_CHECKING:
    from pathlib import Path

    from scrimp.profiles.load import Loaded
    from scrimp.profiles.schema import Profile
    from scrimp.routing.learn.collecting.duel import Arena, Duel, Question

__all__ = ["DuelFlags", "run_duels"]

_WEIGHED: Final = 50
"""Prompts of a file by which its cost is estimated: each is embedded."""

_HOPELESS: Final = 3
"""Duels that may fail before any has an answer from both."""


@dataclass(frozen=True, slots=True)
class DuelFlags:
    """The flags of `duel`, as given."""

    words: tuple[str, ...] = ()
    file: Path | None = None
    arms: str | None = None
    max_cost: str | None = None
    profile: str | None = None
    private: str | None = None
    skip_bad: bool = False
    on_this_machine: bool = False
    seed: int | None = None


def run_duels(flags: DuelFlags, *, dry_run: bool, as_json: bool) -> int:
    """Estimate, ask and judge; print what came of it."""
    from scrimp.routing.learn.collecting.duel import Arena

    screen = sys.stderr if as_json else sys.stdout
    if not dry_run and not (sys.stdin.isatty() and screen.isatty()):
        raise UsageError(
            "a duel is judged at a terminal, and this is none: nothing was asked",
            hint="--dry-run says what it would cost. To compare answers by a check, without anybody watching:"
            " `scrimp learn audit --check NAME`.",
        )
    names = _two_names(flags.arms)
    if bool(flags.words) == (flags.file is not None):
        raise UsageError("what is to be asked? A prompt, or a file of prompts with -f: one of the two")
    loaded = session.load(flags.profile, private=flags.private)
    named: tuple[str, str] | None = None
    if names is not None:
        loaded, named = _both(loaded, names)
    questions, n_judged = _questions(flags, loaded.profile, named)
    if n_judged:
        say(f"{n_judged:,} of {counted(n_judged + len(questions), 'prompt')} were judged before, and are left out")
    if not questions:
        return emit(Result(data=_summary([], 0, None), messages=("every prompt of the file was judged before",)))
    space = session.workspace(loaded, session.ledger(), seed=flags.seed, calls=not dry_run)
    space.look_after()
    arena = Arena(
        space,
        named=named,
        max_nano=session.parse_usd(flags.max_cost, "--max-cost"),
        on_this_machine=flags.on_this_machine,
        rng=session.make_rng(flags.seed),
    )
    if dry_run:
        return _estimate(arena, questions, as_json=as_json)
    _forecast(arena, questions)
    judging = _Judging(arena, questions, as_json=as_json)
    try:
        code = judging.run()
    finally:
        session.look_back(space.ledger, loaded.profile)
    return judging.sum_up(code)


def _two_names(arms: str | None) -> tuple[str, str] | None:
    """Read --arms."""
    if arms is None:
        return None
    names = [name.strip() for name in arms.split(",")]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise UsageError(f"--arms: expected two different arms such as small,large, not {arms!r}")
    return names[0], names[1]


def _both(loaded: Loaded, names: tuple[str, str]) -> tuple[Loaded, tuple[str, str]]:
    """Return the profile with both among its arms, as `-m` does, and what they are called there."""
    arms = []
    for name in names:
        loaded, arm = session.with_model(loaded, name)
        arms.append(str(arm))
    if arms[0] == arms[1]:
        raise UsageError(f"--arms: {names[0]} and {names[1]} are the same arm, {arms[0]}")
    return loaded, (arms[0], arms[1])


def _questions(flags: DuelFlags, profile: Profile, named: tuple[str, str] | None) -> tuple[list[Question], int]:
    """Return what is to be asked, and how many prompts are left out, having been judged before."""
    from scrimp.routing.asking.compose import compose
    from scrimp.routing.batch.files.rows import Row, content_key
    from scrimp.routing.batch.files.scan import good_rows, scan
    from scrimp.routing.batch.files.shelf import Shelf
    from scrimp.routing.batch.files.source import Source
    from scrimp.routing.batch.planning.start import check_rows
    from scrimp.routing.learn.collecting.duel import Question, judged_before
    from scrimp.routing.text.clean import clean_text

    if flags.file is None:
        text = clean_text(" ".join(flags.words), what="the prompt")
        prompt = compose(text, system=None, attachments=(), schema=None, needs=())
        return [Question(content_key(Row(0, 1, "1", prompt)).hex(), prompt)], 0
    path = flags.file.expanduser().absolute()
    source = Source.of(path, name=str(flags.file.expanduser()))
    shelf = Shelf(path.parent, tell=say)
    found = scan(source, shelf)
    for line in check_rows(source, found, skip_bad=flags.skip_bad):
        say(line)
    if found.graph is not None:
        raise UsageError(f"{source.name}: rows that take other rows' answers are for `scrimp batch`")
    questions: dict[str, Question] = {}
    for row in map(shelf.fill, good_rows(source, found)):
        if row.unread is not None:
            continue
        key = content_key(row).hex()
        questions[key] = Question(key, row.prompt, row.params, row.response_format, row.max_output_tokens)
    known = judged_before(session.ledger_to_read(), profile.name, named)
    left = [question for key, question in questions.items() if key not in known]
    return left, len(questions) - len(left)


# -- before anything is asked -----------------------------------------------------------------------------------------


def _likely(arena: Arena, questions: list[Question]) -> tuple[float, int]:
    """Return what duels are predicted to cost in all, USD, and one at most, nano-USD; by the first of them."""
    slates = [arena.slate(question) for question in questions[:_WEIGHED]]
    mean = sum(slate.cost_usd for slate in slates) / len(slates)
    return mean * len(questions), max(slate.bound_nano for slate in slates)


def _usd(value: float) -> str:
    return format_usd(nano_from_usd(round(value, 9)))


def _forecast(arena: Arena, questions: list[Question]) -> None:
    usd, most = _likely(arena, questions)
    n = len(questions)
    say(f"{n:,} {'duel' if n == 1 else 'duels'}: about {_usd(usd)} in all, at most {format_usd(most)} each")


def _estimate(arena: Arena, questions: list[Question], *, as_json: bool) -> int:
    """Print what duels would cost, and who could meet on the first prompt."""
    usd, most = _likely(arena, questions)
    slate = arena.slate(questions[0])
    pairs = sorted(slate.pairs, key=lambda pair: -pair.chance)
    data = {
        "schema_version": 1, "n": len(questions), "cost_usd": usd, "bound_usd": most / 1e9,
        "pairs": [
            {"arms": [pair.first, pair.second], "cost_usd": pair.cost_usd, "information_nats": pair.information,
             "chance": pair.chance if slate.named is None else None}
            for pair in pairs
        ],
    }  # fmt: skip
    table = Table(
        (Column("pair", narrow="whole"), Column("cost", "right"), Column("tells (nats)", "right"),
         Column("chance", "right")),
        [
            (f"{pair.first}, {pair.second}", _usd(pair.cost_usd), f"{pair.information:.3f}",
             "named" if slate.named is not None else f"{pair.chance:.1%}")
            for pair in pairs
        ],
        title=None if len(questions) == 1 else "the first prompt",
    )  # fmt: skip
    line = f"{len(questions):,} to judge: about {_usd(usd)} in all, at most {format_usd(most)} each"
    return emit(Result(data=data, blocks=(Note(line), table)), as_json=as_json)


# -- the session ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Judging:
    """Duels one after another, until there are no more, or it is enough."""

    arena: Arena
    questions: list[Question]
    as_json: bool
    duels: list[Duel] = field(default_factory=list)
    stopped: str | None = None

    def run(self) -> int:
        """Ask and judge; return the exit code.

        Raises
        ------
        ScrimpError
            If the only prompt there is has no duel.
        """
        n_failed = 0
        for number, question in enumerate(self.questions, 1):
            place = "" if len(self.questions) == 1 else f"({number} of {len(self.questions)})"
            try:
                slate = self.arena.slate(question)
                show_progress("two arms are asked ...", ended=False)
                try:
                    duel = self.arena.meet(slate)
                finally:
                    show_progress("", ended=True, keep=False)
            except ScrimpError as error:
                if isinstance(error, BudgetRefusedError) or len(self.questions) == 1:
                    if not self.duels:
                        raise
                    self.stopped = error.message
                    return int(error.exit_code)
                say(f"{place} {error.message}".strip())
                n_failed += 1
                continue
            self.duels.append(duel)
            if duel.id is None:
                n_failed += 1
                self._lopsided(duel, place)
                if len(self.questions) == 1:
                    return int(next(error for error in duel.errors if error is not None).exit_code)
                if n_failed >= _HOPELESS and n_failed == number:
                    self.stopped = f"{counted(n_failed, 'duel')} failed and none succeeded"
                    break
            elif not self._judge(duel, place):
                self.stopped = "as you said"
                break
        else:
            self._last_word()
        return int(ExitCode.BATCH_FAILURES if n_failed else ExitCode.OK)

    def _judge(self, duel: Duel, place: str) -> bool:
        """Have a duel judged; return whether to go on."""
        show_pair(duel.question.prompt.text, duel.texts, place=place, stderr=self.as_json)
        while True:
            before = self._judged()
            said = ask_verdict(undo=before is not None, why=True)
            if said.order == "undo" and before is not None:
                self._take_back(before)
                continue
            if said.verdict is not None:
                self.arena.judge(duel, said.verdict, said.why)
                self._name(duel)
            return said.order != "stop"

    def _judged(self) -> Duel | None:
        """Return the last duel that has a verdict."""
        return next((duel for duel in reversed(self.duels) if duel.verdict is not None), None)

    def _last_word(self) -> None:
        """Let the last verdict be taken back before all is over."""
        last = self._judged()
        if last is not None and last is self.duels[-1] and ask_line("Enter ends, u takes the last verdict back: ") in (
            "u", "U", "undo",
        ):  # fmt: skip
            self._take_back(last)

    def _take_back(self, duel: Duel) -> None:
        self.arena.take_back(duel)
        say("the last verdict is taken back: it counts for nothing")

    def _name(self, duel: Duel) -> None:
        """Say whose answers they were, and what they cost."""
        rows = []
        for number, answer in enumerate(duel.answers, 1):
            if answer is not None:
                cost = "unknown" if answer.cost_nano is None else format_usd(answer.cost_nano)
                tokens = ["unknown" if n is None else f"{n:,}" for n in (answer.input_tokens, answer.output_tokens)]
                rows.append(
                    (str(number), answer.arm, answer.served_model or answer.requested_model, cost, *tokens,
                     f"{answer.latency_s:.1f} s")
                )  # fmt: skip
        columns = (
            Column("answer"), Column("arm"), Column("model", drop=1), Column("cost", "right"),
            Column("tokens in", "right"), Column("out", "right"), Column("took", "right"),
        )  # fmt: skip
        show(Table(columns, rows), stderr=self.as_json)
        for line in duel.said:
            say(line)
        for answer in duel.answers:
            if answer is not None:
                for note in answer.notes:
                    say(f"{answer.arm}: {note}")

    def _lopsided(self, duel: Duel, place: str) -> None:
        """Say which arm failed; the answer that is there was paid for, and is shown."""
        for line in duel.said:
            say(line)
        for error in duel.errors:
            if error is not None:
                say(f"{place} no duel: {error.message}".strip())
        for answer in duel.answers:
            if answer is not None:
                show(f"--- {answer.arm}\n{answer.text}", stderr=self.as_json)

    def sum_up(self, code: int) -> int:
        """Print what came of it all; return the exit code."""
        data = _summary(self.duels, self.arena.charged_nano, self.stopped)
        n = data["n_judged"]
        lines = [f"{n:,} {'duel' if n == 1 else 'duels'} judged, {format_usd(self.arena.charged_nano)} charged"]
        if self.stopped:
            lines.append(f"stopped: {self.stopped}")
        if n:
            lines.append("`scrimp report --duels` says who is the stronger so far")
        found = Result(data=data, messages=tuple(lines), exit_code=ExitCode(code))
        return emit(found, as_json=self.as_json, otherwise="what was asked is in the log (scrimp log)")


def _summary(duels: list[Duel], charged_nano: int, stopped: str | None) -> dict[str, object]:
    return {
        "schema_version": 1,
        "n_judged": sum(duel.verdict is not None for duel in duels),
        "n_failed": sum(duel.id is None for duel in duels),
        "charged_usd": charged_nano / 1e9,
        "stopped": stopped,
        "duels": [duel.to_dict() for duel in duels],
    }
