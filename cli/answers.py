"""How an answer is printed: as it comes or whole, and the line of cost and choice below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.errors import ExitCode
from scrimp.profiles.money import format_usd
from scrimp.profiles.rungs import bare_of, with_reading
from scrimp.routing.text.in_words import counted, percent

from .conversations import memory_words
from .readings import read_in_words
from .result import deliver

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.routing.asking.request import Answer, Ask, Checked

__all__ = ["Printer", "extracted_from", "kept_where", "printable", "summary_of"]


def kept_where(request: Ask, decision_id: str) -> str:
    """Return where an answer is to be had that could not be written out."""
    if request.keep == "all":
        return f"the answer is in the log (scrimp log show {decision_id})"
    return "the answer is lost, since no text is kept of it (--no-log, or log.keep)"


class Printer:
    """Prints an answer to a terminal as it comes in, with nothing left in it that could control the terminal.

    Attributes
    ----------
    code
        The exit code as far as printing goes (`deliver`).
    """

    def __init__(self, otherwise: str) -> None:
        from scrimp.routing.text.sanitize import Sanitizer

        self.code = ExitCode.OK
        self._otherwise = otherwise
        self._sanitizer = Sanitizer()
        self._last = "\n"

    def show(self, text: str) -> None:
        """Print a piece."""
        self._write(self._sanitizer.feed(text))

    def below(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """Return `say` as it is while an answer is printed: what is said of it begins a line of its own."""

        def told(line: str) -> None:
            self.end()
            say(line)

        return told

    def end(self) -> None:
        """Print what was held back, and end the line."""
        self._write(self._sanitizer.flush())
        if self._last != "\n":
            self._write("\n")

    def _write(self, text: str) -> None:
        if text:
            self.code = deliver(text, otherwise=self._otherwise) or self.code
            self._last = text[-1]


def printable(text: str) -> str:
    """Return an answer as stdout gets it: it ends with a newline."""
    from scrimp.routing.text.sanitize import encodable

    text = encodable(text)
    return text if text.endswith("\n") else text + "\n"


def extracted_from(answer: str) -> str:
    """Return the code of an answer (`text.code.extracted`)."""
    from scrimp.routing.text.code import extracted

    return extracted(answer)


def summary_of(answer: Answer, checked: Checked, request: Ask, also: str | None = None) -> str:
    """Return the line of cost and choice that follows each answer; `also` stands at its end."""
    taken = answer.decision.choice.option(answer.arm)
    cost = format_usd(answer.cost_nano)
    if answer.cost_nano is None:
        cost = f"unknown (charged {format_usd(answer.charged_nano)})"
    parts = [answer.arm if answer.read["reading"] is None else bare_of(answer.arm), *read_in_words(answer.read)]
    parts.append(cost)
    if answer.whole_cost_nano is not None and answer.cost_nano is not None:
        parts[-1] += f" instead of about {format_usd(answer.whole_cost_nano)} whole"
    if answer.total_charged_nano != answer.charged_nano:
        parts.append(
            f"{format_usd(answer.total_charged_nano)} for all {counted(answer.n_attempts, 'call')}"
            if checked.several
            else f"{format_usd(answer.total_charged_nano)} with failed attempts"
        )
    if request.recalled is not None:
        parts.append(memory_words(request.recalled.to_dict()))
    if checked.verdicts:
        n_passed = sum(verdict.outcome == "pass" for verdict in checked.verdicts)
        parts.append(f"{n_passed} of {counted(len(checked.verdicts), 'check')} passed")
    against = answer.saved_against
    said = answer.whole_cost_nano is not None and against == with_reading(answer.arm, "whole")  # just before
    if answer.saved_nano and against is not None and not said:
        word = "saved" if answer.saved_nano >= 0 else "spent more:"
        parts.append(f"{word} {format_usd(abs(answer.saved_nano))} against {against}")
    parts.append(f"predicted quality {percent(taken.quality)} ({taken.rests_on or taken.basis})")
    parts.append(f"{answer.latency_s:.1f} s")
    parts += [] if also is None else [also]
    return "[" + " · ".join(parts) + "]"
