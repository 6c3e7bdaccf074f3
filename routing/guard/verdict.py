"""What guards say of a prompt, as values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from scrimp.profiles.rungs import bare_of, base_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrimp.routing.prompts.context import Context
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["UNGUARDED", "Finding", "Guarded", "Name", "Outcome", "Seen", "Watch"]


class Name(StrEnum):
    """Which guard speaks; in the order in which they look."""

    PRIVATE = "private"
    RULES = "rules"
    UNSAFE = "unsafe"
    SCOPE = "scope"
    FEASIBLE = "feasible"
    RISK = "risk"


class Outcome(StrEnum):
    """What became of the prompt."""

    PASSED = "passed"
    WARNED = "warned"
    CHANGED = "changed"
    """It goes out otherwise than it came: with placeholders, to another arm, among fewer arms."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one guard found.

    Attributes
    ----------
    guard, outcome
        Who speaks, and what became of the prompt.
    why
        A sentence for the user; it quotes nothing that is private.
    detail
        The figures behind it, as plain data; nothing that is private either.
    """

    guard: Name
    outcome: Outcome
    why: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"guard": str(self.guard), "outcome": str(self.outcome), "why": self.why, "detail": dict(self.detail)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Finding:
        """Read it back from the log."""
        return cls(Name(data["guard"]), Outcome(data["outcome"]), data["why"], data["detail"])


@dataclass(frozen=True, slots=True)
class Guarded:
    """What guards leave of a choice.

    Attributes
    ----------
    findings
        What each of them found, in their order.
    barred
        Arms that may not take the prompt (without reading; a ladder's name bars its rungs), and why.
    sends
        The arm that the prompt is sent to, whatever is worth more; None leaves the choice.
    here
        Whether only arms that run on this machine may take it.
    only
        The names that alone may take it (without reading; a ladder's name stands for its rungs); None leaves all.
    only_why
        Why.
    """

    findings: tuple[Finding, ...] = ()
    barred: Mapping[str, str] = field(default_factory=dict)
    sends: str | None = None
    here: bool = False
    only: frozenset[str] | None = None
    only_why: str = ""

    @property
    def refused(self) -> Finding | None:
        """What refuses the prompt; None where nothing does."""
        return next((each for each in self.findings if each.outcome is Outcome.REFUSED), None)

    def bars(self, arm: str) -> str | None:
        """Return why an arm may not take the prompt; None where it may, as far as guards say."""
        name, base = bare_of(arm), base_of(arm)
        if (refused := self.refused) is not None:
            return refused.why
        if self.sends is not None and self.sends not in (name, base):
            return f"a guard sends this prompt to {self.sends}"
        if (barred := self.barred.get(name) or self.barred.get(base)) is not None:
            return barred
        return self.only_why if self.only is not None and self.only.isdisjoint((name, base)) else None

    @property
    def aside(self) -> Guarded:
        """What holds for calls that do not answer (a judge, a summary): what keeps arms from the text, and no more."""
        return Guarded(barred=self.barred, here=self.here, only=self.only, only_why=self.only_why)

    def then(self, other: Guarded) -> Guarded:
        """Return what both say; the earlier one's arm stands."""
        return Guarded(
            (*self.findings, *other.findings),
            {**other.barred, **self.barred},
            self.sends or other.sends,
            here=self.here or other.here,
            only=self.only if other.only is None else other.only if self.only is None else self.only & other.only,
            only_why=self.only_why or other.only_why,
        )

    def also(self, *findings: Finding) -> Guarded:
        """Return it with more findings."""
        return replace(self, findings=(*self.findings, *findings))

    @classmethod
    def together(cls, parts: Iterable[Guarded]) -> Guarded:
        """Return what several say."""
        whole = UNGUARDED
        for part in parts:
            whole = whole.then(part)
        return whole


UNGUARDED: Final = Guarded()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a guard sees of a request.

    Attributes
    ----------
    prompt
        As it goes out: what is private has been replaced already.
    context
        Its features; None where nothing is embedded, since no guard asks for that (`Watch.embeds`).
    command, tag
        The command that asks, and the user's word for the request.
    asked_for
        The arm that was asked for by name; None leaves the choice.
    """

    prompt: Prompt
    context: Context | None
    command: str
    tag: str | None = None
    asked_for: str | None = None


class Watch(Protocol):
    """One guard: a module of this room, opened once for a profile."""

    @property
    def embeds(self) -> bool:
        """Whether it needs the prompt's embedding."""
        ...

    def look(self, seen: Seen) -> Guarded:
        """Return what it says of a prompt."""
        ...
