"""A session of `chat`: its turns, its commands, and its sum."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import BudgetRefusedError, ExitCode, ScrimpError, UsageError
from scrimp.profiles.money import format_usd
from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted

from . import session
from .asking import AskFlags, answer_request, load_for, prompt_of, request_of, way_of
from .caps import cap_table
from .chat_commands import HELP, read_typed
from .chat_lines import lines_of_stdin
from .errors import say_error
from .given import Given, gather
from .interrupts import Terminated
from .result import emit_stderr, say, write_err, write_out
from .serving import capped, summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.load import Loaded
    from scrimp.profiles.templates import Template
    from scrimp.routing.asking.request import Answer, Ask, Checked, Way
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.ledger.conversations import Conversation
    from scrimp.routing.ledger.store import Ledger

    from .chat_lines import Lines

__all__ = ["Chat", "run_chat"]


def run_chat(flags: AskFlags) -> int:
    """Talk until the input ends; return the exit code.

    That is 0 on a terminal. Of turns from a pipe it is that of the last one that failed, if any did.
    """
    from scrimp.routing.asking.typed import may_keep

    template = None
    if flags.template is not None:
        from .templates import laid_under, read_named

        template = read_named(flags.template)
        flags = laid_under(flags, template)
    arm = flags.arm
    loaded, flags = load_for(replace(flags, arm=None))
    loaded = capped(loaded, session.parse_usd(flags.max_cost, "--max-cost"))
    chat = Chat(replace(flags, arm=arm), loaded, session.ledger(), template)
    kept = paths().typed if may_keep(loaded.profile, no_log=flags.no_log) else None
    lines = lines_of_stdin(kept, chat.arms)
    if lines.typed and not flags.quiet:
        say(f"chat with profile {loaded.profile.name}{chat.begins}: !help lists commands, Ctrl-D ends")
    try:
        return chat.run(lines)
    finally:
        chat.end()


class Chat:
    """A session: one run, whose cap stands over all of its turns.

    Parameters
    ----------
    flags
        How each message is asked; words are what is said first.
    loaded
        The profile, with the session's cap.
    template
        What each message is put in.

    Raises
    ------
    ScrimpError
        If it cannot begin: there is no such arm, conversation, file or template.
    """

    def __init__(self, flags: AskFlags, loaded: Loaded, ledger: Ledger, template: Template | None) -> None:
        from scrimp.routing.asking.compose import going_on
        from scrimp.routing.asking.talk import new_run
        from scrimp.routing.asking.totals import Totals

        self._first: str | None = " ".join(flags.words) or None
        self.flags, self.loaded, self.ledger = replace(flags, words=(), max_cost=None), loaded, ledger
        self._own = loaded
        self._template, self._capped = template, flags.max_cost is not None
        self.totals = Totals()
        self._run_id = new_run(time.time())
        self._logged = not flags.no_log and loaded.profile.log.keep == "all"
        self._follow: bool | str | Conversation = flags.follow
        self.begins = ""
        if flags.follow:
            past = going_on(ledger, flags.follow, begins=True)
            if not self._logged:
                self._follow = past
            elif past.turns:
                self._follow = past.id
            self.begins = f", going on after {counted(len(past.turns), 'turn')}" if past.turns else ""
        self._sources = gather((), flags.files, quiet=flags.quiet, here_only=flags.on_this_machine, piped=False).sources
        self._space = session.workspace(loaded, ledger)
        self._space.look_after()
        self._pinned = None if flags.arm is None else self._take_arm(flags.arm)
        self._last: Answer | None = None
        self._unanswered: str | None = None
        self._said: list[tuple[str, str, str]] = []
        self._saved: set[Path] = set()
        _warm(self._space)

    # -- the session ------------------------------------------------------------------------------------------------

    def run(self, lines: Lines) -> int:
        """Take what is typed, until there is no more; return the exit code."""
        failed = 0
        first = self._first
        while True:
            try:
                line = first or lines.read(f"{self._pinned or ''}> ")
                first, more = None, self._take(line, lines)
            except EOFError:
                break
            except ScrimpError as error:
                more = say_error(error)
            except KeyboardInterrupt as stop:
                if isinstance(stop, Terminated) or not lines.typed:
                    raise
                first, more = None, self._dropped(stop)
            if more is None:
                break
            failed = more or failed
            if more == ExitCode.CLOSED_PIPE:
                return failed
        return 0 if lines.typed else failed

    def end(self) -> None:
        """Say what the session came to."""
        from scrimp.routing.asking.talk import charged_nano

        self.totals.charged_nano = charged_nano(self.ledger, self._run_id)
        if not self.flags.quiet and (self.totals.n_by_arm or self.totals.charged_nano):
            for line in summary(self.totals):
                say(line)

    def arms(self) -> list[str]:
        """Return the names of the profile's arms."""
        return [arm.name for arm in self.loaded.profile.arms]

    def _take(self, line: str, lines: Lines) -> int | None:
        """Do what was typed; return its exit code, or None where the session is to end."""
        typed = read_typed(line, lines)
        if typed.command == "exit":
            return None
        if typed.command is not None:
            return _DO[typed.command](self, typed.text)
        text = typed.text[1:] if typed.text.startswith(" !") else typed.text
        return self._turn(text) if text.strip() else 0

    def _dropped(self, stop: KeyboardInterrupt) -> int:
        """Go on after a Ctrl-C: what was typed is dropped, and of an answer it is said what was paid."""
        write_err("\n" if getattr(stop, "__notes__", ()) else "")
        for note in getattr(stop, "__notes__", ()):
            say(note)
            self.totals.n_interrupted += 1
        return 0

    # -- turns ------------------------------------------------------------------------------------------------------

    def _turn(self, text: str, *, arm: str | None = None) -> int:
        """Ask a message in the conversation."""
        from scrimp.routing.text.clean import clean_text

        self._unanswered = text
        flags = replace(self.flags, arm=arm or self._pinned, follow=self._follow)
        what = Given(clean_text(text, what="the message"), self._sources, False)
        prompt = prompt_of(flags, self._template, what)
        request = request_of(flags, self.loaded, self.ledger, prompt)
        return self._answer(request, text, way_of(flags, self.loaded, prompt))

    def _answer(self, request: Ask, text: str, way: Way | None = None) -> int:
        """Have a request answered within the session's cap."""
        request = replace(request, run_id=self._run_id)
        try:
            return answer_request(
                self.loaded,
                self.ledger,
                request,
                way=way,
                stream=True,
                quiet=self.flags.quiet,
                space=self._opened(),
                on_answer=lambda checked: self._answered(checked, request, text),
            )
        except BudgetRefusedError:
            self.totals.n_refused += 1
            raise
        except ScrimpError:
            self.totals.n_failed += self._unanswered is not None
            raise

    def _answered(self, checked: Checked, request: Ask, text: str) -> str | None:
        """Note an answer; return what is left of the session's cap, in words."""
        from scrimp.routing.asking.talk import session_caps, with_turn

        answer = checked.answer
        self._last, self._unanswered = answer, None
        self._said.append((text, answer.arm, answer.text))
        self.totals.n_by_arm[answer.arm] += 1
        self.totals.saved_nano += answer.saved_nano or 0
        if request.redo_of is not None:
            pass
        elif self._logged:
            self._follow = answer.conversation_id or answer.id
        else:
            self._follow = with_turn(request.past, text, answer, system=request.prompt.system)
        if not self._capped:
            return None
        caps = session_caps(self.ledger, self.loaded.profile, self._run_id, now=time.time())
        (run,) = (state for state in caps if state.cap.scope == "run")
        return f"{format_usd(max(0, run.left_nano))} of {format_usd(run.cap.limit_nano)} left"

    def _opened(self) -> Workspace:
        """Return what requests are asked with, opened anew where router, prices or keys have changed meanwhile."""
        from scrimp.routing.asking.home import stamp

        now = stamp(paths())
        if now != getattr(self, "_stamp", now):
            session.keys.cache_clear()
            self._space = session.workspace(self.loaded, self.ledger)
        self._stamp = now
        return self._space

    # -- commands ---------------------------------------------------------------------------------------------------

    def _take_arm(self, name: str | None) -> str | None:
        """Return an arm; a model that is named is one beside the profile's own until another one, or None, is taken."""
        loaded, arm = session.with_model(self._own, name)
        if loaded is not self.loaded:
            self.loaded = loaded
            self._space = session.workspace(loaded, self.ledger)
        return arm

    def _do_arm(self, name: str) -> int:
        self._pinned = self._take_arm(name or None)
        say(f"every turn goes to {self._pinned}, until !arm" if name else "every turn is routed")
        return 0

    def _do_cost(self, _: str) -> int:
        from scrimp.routing.asking.talk import charged_nano, session_caps

        self.totals.charged_nano = charged_nano(self.ledger, self._run_id)
        for line in summary(self.totals):
            say(line)
        caps = session_caps(self.ledger, self.loaded.profile, self._run_id, now=time.time())
        if caps:
            emit_stderr([cap_table(caps)])
        return 0

    def _do_redo(self, name: str) -> int:
        if not name:
            return self._redone(None)
        try:
            return self._redone(self._take_arm(name))
        finally:
            self._take_arm(self._pinned)

    def _redone(self, arm: str | None) -> int:
        from scrimp.routing.asking.again import label_redone, redo_request
        from scrimp.routing.asking.rating import find_request

        if self._unanswered is not None:
            return self._turn(self._unanswered, arm=arm)
        ledger, row = find_request(self.ledger, self._the_last().id)
        request = redo_request(row, self.loaded.profile, ledger=ledger, arm=arm)
        wishes = replace(request.wishes, on_this_machine=self.flags.on_this_machine)
        say(f"asking {wishes.arm} what {row['arm']} answered")
        code = self._answer(replace(request, wishes=wishes), self._said[-1][0])
        label_redone(ledger, row, str(wishes.arm), self.loaded.profile, now=time.time())
        return code

    def _do_rate(self, word: str) -> int:
        from scrimp.routing.asking.rating import rate, read_reward

        reward = read_reward(word)
        if self.flags.no_log or self.loaded.profile.log.keep == "money":
            self._the_last()
            raise UsageError("there is nothing to rate: the log keeps nothing of this session (--no-log, or log.keep)")
        row = rate(self.ledger, self._the_last().id, reward, note=None, now=time.time())
        say(f"rated {row['id']} ({row['arm']}): {reward:g}")
        return 0

    def _do_code(self, _: str) -> int:
        from scrimp.routing.text.code import extracted

        code = extracted(self._the_last().text)
        write_out(code if code.endswith("\n") else f"{code}\n")
        return 0

    def _do_save(self, name: str) -> int:
        from .outputs import new_output, replaced

        if not name:
            raise UsageError("!save takes the name of a file")
        self._the_last()
        path = Path(name).expanduser()
        text = "\n".join(
            f"## You\n\n{asked.strip()}\n\n## {arm}\n\n{said.strip()}\n" for asked, arm, said in self._said
        )
        with replaced(path) if path.absolute() in self._saved else new_output(path) as file:
            file.write(text.encode("utf-8", "replace"))
        self._saved.add(path.absolute())
        say(f"{counted(len(self._said), 'answer')} in {path}")
        return 0

    def _do_edit(self, text: str) -> int:
        from .editor import edit_text

        if not sys.stdin.isatty():
            raise UsageError("!edit needs a terminal", hint="Use !multi and !end.")
        text = edit_text(f"{text}\n" if text else "").strip("\n")
        if not text.strip():
            say("nothing is sent: the message is empty")
            return 0
        return self._turn(text)

    def _do_help(self, _: str) -> int:
        write_err(f"{HELP}\n")
        return 0

    def _the_last(self) -> Answer:
        if self._last is None:
            raise UsageError("there is no answer yet")
        return self._last


_DO: Final[dict[str, Callable[[Chat, str], int]]] = {
    "arm": Chat._do_arm,  # noqa: SLF001 - they are this module's own
    "cost": Chat._do_cost,  # noqa: SLF001
    "redo": Chat._do_redo,  # noqa: SLF001
    "rate": Chat._do_rate,  # noqa: SLF001
    "code": Chat._do_code,  # noqa: SLF001
    "save": Chat._do_save,  # noqa: SLF001
    "edit": Chat._do_edit,  # noqa: SLF001
    "help": Chat._do_help,  # noqa: SLF001
}


def _warm(space: Workspace) -> None:
    """Load the embedder while the first message is typed; LiteLLM is on its way already."""
    import contextlib
    import threading

    def load() -> None:
        with contextlib.suppress(Exception):  # whoever asks first meets it, and says it
            space.decider.contexts(["."])

    threading.Thread(target=load, name="scrimp-embedder", daemon=True).start()
