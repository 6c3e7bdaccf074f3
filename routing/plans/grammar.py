"""How plans are spelled: one grammar, and errors that point at what is wrong.

    plan     = stage { ">" stage } ;
    stage    = answers [ "?" gate ] ;
    answers  = group [ "vote" | "best" | "bid" | "knockout" arm ]
             | group "=>" arm { "=>" arm }
             | arm "leads" group ;
    group    = member { "+" member } ;
    member   = arm [ "*" count ] | pick ;
    pick     = "@" [ "cheap" ] count [ "/" reading ] ;
    gate     = "checks" | "agree" | "most" | check ;
    count    = a whole number from 1 to 12 ;
    arm      = the name of an arm: anything but blanks and > ? + * = @ ; with a reading behind it, ARM "/" reading ;
    reading  = "whole" | "passages" | "none" | "split" ;
    check    = the name of a check: all that stands before the next ">", or a check's whole name where that has one ;

Blanks may stand between any two of these. A word is read by where it stands: an arm may be called `vote`.

What the grammar leaves open, and is refused all the same:

- a stage that is not the last and has no gate (nothing could follow it); a gate that could never stop the plan;
- several answers of which nothing says what becomes of them; one answer that is to agree with itself;
- `agree` or `most` after what takes an answer in any case;
- more than twelve arms asked, counting a pick as what it asks for;
- a planner among its own workers; bids of the same arm twice; a bid or a knockout of one answer;
- `split` beside other answers, or where an arm merges, leads or judges; more than one arm that merges its pieces.

The gate of a last stage that is a check is dropped: an answer that ends a plan is put to every check anyway.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from scrimp.profiles.rungs import READINGS, SPLIT, bare_of, reading_of
from scrimp.profiles.schema import did_you_mean
from scrimp.routing.text.compare import QUORUMS

from .picks import pick_of
from .plan import ALL, Plan, Stage
from .pointing import PlanError
from .whole import MOST_ASKED, Read, check_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .plan import How

__all__ = ["gates_at", "gates_in", "is_plan", "names_in", "read_plan"]

_WORD: Final = re.compile(r"[^\s>?+*=@]+")
_BLANKS: Final = re.compile(r"\s*")
_COUNT: Final = re.compile(r"[0-9]{1,3}")
_PICK: Final = re.compile(r"@[^\s>?+*=@]*")
_GATE_END: Final = re.compile(r"=?>")
_KINDS: Final = ("vote", "best", "bid", "knockout", "leads")
_GATE_STOPS: Final = re.compile(r"\s*(?:>|$)")
_CHECKS: Final = "checks"
_A_MEMBER: Final = "an arm, or a pick such as @3"
_READ: Final = (*READINGS, SPLIT)
_GATES: Final = re.compile(r"\?[^>]*")
_SPELLED: Final = re.compile(rf">|\s[+?*]\s|\*[0-9]|(?:^|\s)@|\s(?:{'|'.join(_KINDS)})(?:\s|$)")
"""What no name of a model has in it, and every plan of several calls."""


def is_plan(text: str) -> bool:
    """Tell whether a text is meant as a plan of several calls, and not as a name.

    Examples
    --------
    >>> is_plan("small ? tests > large"), is_plan("@3 vote"), is_plan("openai/gpt-5-mini")
    (True, True, False)
    """
    return _SPELLED.search(text) is not None


def gates_in(text: str) -> tuple[str, ...]:
    """Return the checks that a plan names, as it is spelled: nothing else says what they are.

    Examples
    --------
    >>> gates_in("small ? has:42 > small + medium ? agree > medium ? json > large")
    ('has:42', 'json')
    """
    return tuple(dict.fromkeys(gate for gate, _ in gates_at(text)))


def gates_at(text: str) -> list[tuple[str, int]]:
    """Return the checks that a plan names, each with where in the text it stands, from 0."""
    found: list[tuple[str, int]] = []
    at = text.find("?")
    while at >= 0:
        stop = _GATE_END.search(text, at)
        end = len(text) if stop is None else stop.start()
        gate = text[at + 1 : end].strip()
        if gate and gate not in (*QUORUMS, _CHECKS):
            found.append((gate, text.index(gate, at + 1)))
        at = text.find("?", end)
    return found


def names_in(text: str) -> set[str]:
    """Return the words of a plan, as it is spelled, that may be names of arms, with their readings.

    Examples
    --------
    >>> sorted(names_in("small/passages ? has:a/none > @2/whole => large"))
    ['2/whole', 'large', 'small/passages']
    """
    return {*_WORD.findall(_GATES.sub(" ", text))}


@dataclass(frozen=True, slots=True)
class _Token:
    """A piece of the text: an operator is its own kind, the others are word, pick and end."""

    kind: str
    text: str
    at: int


def read_plan(
    text: str,
    arms: Sequence[str],
    gates: Sequence[str] | None,
    *,
    repair: bool = False,
    where: str = "--plan",
    plans: Sequence[str] = (),
) -> Plan:
    """Read a plan that somebody spelled; picks stay in it as they are, until it is known for which prompt.

    Parameters
    ----------
    arms
        The names of the arms that there are.
    gates
        The names of the checks that there are; None takes any name for a check.
    where
        What the plan is called in an error.
    plans
        The names of plans that there are: none of them can be part of a plan, which is said.

    Raises
    ------
    PlanError
        If it is not a plan, names an arm or check that is not there, or has a stage that could never stop it.

    Examples
    --------
    >>> str(read_plan("small ? checks > large", ["small", "large"], ["tests"]))
    'small ? checks > large'
    >>> str(read_plan("a*3 ? most>@2 ? most>b => c", ["a", "b", "c"], []))
    'a*3 ? most > @2 ? most > b => c'
    >>> read_plan("a + b ? agree > c ? most > d", ["a", "b", "c", "d"], []).kind
    'agree'
    """
    return _Reader(text, arms, gates, where, plans).plan(repair=repair)


class _Reader:
    """Reads one text from left to right; what comes next is always known from where it stands."""

    def __init__(
        self, text: str, arms: Sequence[str], gates: Sequence[str] | None, where: str, plans: Sequence[str]
    ) -> None:
        self.text = text
        self.arms = arms
        self.gates = gates
        self.where = where
        self.plans = plans
        self.pos = 0

    # -- pieces -----------------------------------------------------------------------------------------------------

    def _peek(self) -> _Token:
        """Return the next piece without taking it."""
        found = _BLANKS.match(self.text, self.pos)
        at = self.pos if found is None else found.end()
        if at >= len(self.text):
            return _Token("end", "", len(self.text.rstrip()))
        if self.text.startswith("=>", at):
            return _Token("=>", "=>", at)
        if self.text[at] in ">?+*=":
            return _Token(self.text[at], self.text[at], at)
        pick = _PICK.match(self.text, at)
        if pick is not None:
            return _Token("pick", pick[0], at)
        word = _WORD.match(self.text, at)
        assert word is not None  # noqa: S101 - whatever is none of the above is part of a word
        return _Token("word", word[0], at)

    def _take(self) -> _Token:
        token = self._peek()
        self.pos = token.at + len(token.text)
        return token

    def _wrong(self, at: int, length: int, reason: str, expected: str, hint: str | None = None) -> NoReturn:
        raise PlanError(self.text, at, length, reason, expected, where=self.where, hint=hint)

    def _unexpected(self, token: _Token, expected: str) -> NoReturn:
        reason = "the plan ends here" if token.kind == "end" else f"{token.text[:40]!r} does not belong here"
        self._wrong(token.at, len(token.text), reason, expected)

    # -- the grammar ------------------------------------------------------------------------------------------------

    def plan(self, *, repair: bool) -> Plan:
        read = [self._stage()]
        while (token := self._peek()).kind == ">":
            self._take()
            read.append(self._stage())
        if token.kind == "=>" and read[-1].stage.gate is not None:
            self._wrong(token.at, 2, "`=>` merges what its own stage asked", "it before `?`, or `>`")
        if token.kind != "end":
            after = "`>` and another stage, or the end"
            if read[-1].stage.gate is None:
                after = "`+`, `=>`, vote, best, bid, knockout, `?`, `>`, or the end"
            near = difflib.get_close_matches(token.text, _KINDS, n=1)
            self._unexpected(token, f"{after} (did you mean {near[0]!r}?)" if near else after)
        check_whole(self.text, read, self._wrong)
        last = read[-1].stage
        stages = [each.stage for each in read[:-1]]
        return Plan((*stages, Stage(last.arms, last.quorum, last.how, last.by)), repair)

    def _stage(self) -> Read:
        at = self._peek().at
        members, n = self._group()
        how_at = self.pos
        how, by = self._how(members)
        if how == "lead":
            how_at, (members, n) = at, self._group()
            self._check_workers(by[0], members, at)
        end, gate, gate_at = self.pos, None, self._peek().at
        if self._peek().kind == "?":
            self._take()
            gate = self._gate()
        if any(reading_of(member) == SPLIT for member in members):
            how = self._split(members, how, by, at, end)
        if how in ("bid", "knockout") and n < 2:
            self._wrong(at, end - at, f"`{how}` is among several answers, and this is one", "two arms or more")
        if how == "bid" and len(set(members)) < len(members):
            self._wrong(at, end - at, "the same arm bids twice", "each arm once")
        return Read(Stage(tuple(members), gate, how, by), at, end, how_at, gate_at, n)

    def _split(self, members: list[str], how: How, by: tuple[str, ...], at: int, end: int) -> How:
        """Refuse what cannot be done with answers of pieces."""
        if len(members) > 1 or how not in ("one", "merge") or len(by) > 1:
            expected = "one arm, and perhaps `=>` and one that merges what it says of the pieces"
            self._wrong(at, end - at, "a text that is split is read by one arm", expected)
        return "split"

    def _group(self) -> tuple[list[str], int]:
        """Read what is asked; return the arms and picks, and how many answers that comes to."""
        members, n = self._member()
        while self._peek().kind == "+":
            self._take()
            more, n_more = self._member()
            members, n = members + more, n + n_more
        return members, n

    def _member(self) -> tuple[list[str], int]:
        token = self._take()
        if token.kind == "pick":
            pick = pick_of(token.text)
            if pick is None or not 1 <= pick.n <= MOST_ASKED:
                expected = (
                    f"`@` and a number from 1 to {MOST_ASKED}, as in @3 or @cheap3; a reading after it, as in @3/whole"
                )
                self._wrong(token.at, len(token.text), f"{token.text[:40]!r} picks no arms", expected)
            if self._peek().kind == "*":
                star = self._peek()
                self._wrong(star.at, 1, "a pick is not asked again and again", "`+`, or more arms, as in @4")
            if pick.reading == SPLIT and pick.n > 1:
                self._wrong(token.at, len(token.text), "one arm reads all pieces", f"@{'cheap' * pick.cheapest}1/split")
            return [str(pick)], pick.n
        if token.kind != "word":
            self._unexpected(token, _A_MEMBER)
        self._known(token)
        if self._peek().kind != "*":
            return [token.text], 1
        self._take()
        count = self._take()
        if (
            count.kind != "word"
            or not re.fullmatch(r"[0-9]{1,3}", count.text)
            or not 1 <= int(count.text) <= MOST_ASKED
        ):
            expected = f"a number of samples from 1 to {MOST_ASKED}, as in {token.text}*3"
            self._unexpected(count, expected)
        return [token.text] * int(count.text), int(count.text)

    def _known(self, token: _Token) -> None:
        if token.text in self.arms:
            return
        reading, bare = reading_of(token.text), bare_of(token.text)
        if bare in self.arms and "/" in token.text:
            if reading in _READ:
                return
            at, length = token.at + len(bare) + 1, max(1, len(reading or ""))
            reason = f"no reading {(reading or '')[:80]!r}{did_you_mean(reading or '', _READ)}"
            self._wrong(at, length, reason, f"one of {', '.join(_READ)}")
        if token.text in self.plans:
            expected = "an arm: a plan is made of arms, and never of itself or another plan"
            self._wrong(token.at, len(token.text), f"{token.text} is a plan", expected)
        arms = f"The arms are: {', '.join(self.arms)}."
        near = did_you_mean(token.text, self.arms)
        self._wrong(token.at, len(token.text), f"no arm {token.text[:80]!r} here{near}", _A_MEMBER, arms)

    def _arm(self, what: str) -> str:
        """Read the name of one arm, which does what is said."""
        token = self._take()
        if token.kind == "pick":
            self._wrong(token.at, len(token.text), "a pick stands for arms that are asked", f"the arm {what}, by name")
        if token.kind != "word":
            self._unexpected(token, f"the arm {what}")
        self._known(token)
        if reading_of(token.text) == SPLIT:
            self._wrong(token.at, len(token.text), "a text is split by who answers", f"the arm {what}, without /split")
        return token.text

    def _how(self, members: list[str]) -> tuple[How, tuple[str, ...]]:
        """Read what becomes of the answers, and who merges, leads or judges."""
        token = self._peek()
        if token.kind == "=>":
            by = []
            while self._peek().kind == "=>":
                self._take()
                by.append(self._arm("that merges"))
            return "merge", tuple(by)
        if token.kind != "word" or token.text not in _KINDS:
            return "one", ()
        self._take()
        if token.text == "leads":
            if len(members) > 1 or pick_of(members[0]) is not None:
                self._wrong(token.at, 5, "one arm leads, and by name", "one arm before `leads`")
            return "lead", (members[0],)
        if token.text == "knockout":
            return "knockout", (self._arm("that drops the worst answer"),)
        if token.text == "best":
            if self.gates is not None and not self.gates:
                hint = "Give one with --check."
                self._wrong(token.at, 4, "`best` has nothing to tell by", "a check or judge beside the plan", hint)
            return "best", ()
        return ("vote" if token.text == "vote" else "bid"), ()

    def _check_workers(self, planner: str, workers: list[str], at: int) -> None:
        if planner in workers:
            length = self.pos - at
            self._wrong(at, length, f"{planner} leads, and would ask itself", "workers that do not plan")
        if len(set(workers)) < len(workers):
            self._wrong(at, self.pos - at, "a planner asks whom it likes as often as it likes", "each worker once")

    def _gate(self) -> str:
        """Read what stops a stage."""
        found = _BLANKS.match(self.text, self.pos)
        at = self.pos if found is None else found.end()
        stop = _GATE_END.search(self.text, at)
        end = len(self.text) if stop is None else stop.start()
        word = self.text[at:end].strip()
        whole = max((gate for gate in self.gates or () if self._stands(gate, at)), key=len, default="")
        if word not in (*QUORUMS, _CHECKS) and whole:
            word = whole
        self.pos = at + len(word)
        known = (*QUORUMS, _CHECKS, *(self.gates or ()))
        choices = f"one of {', '.join(known)}"
        if not word:
            length = 0 if at >= len(self.text) else 1
            self._wrong(min(at, len(self.text.rstrip())), length, "nothing is named to stop at", choices)
        if self.gates is None:
            return ALL if word == _CHECKS else word
        if word == _CHECKS and not self.gates:
            hint = "Give one with --check."
            self._wrong(
                at, len(word), "there are no checks to stop at", "agree, most, or a check beside the plan", hint
            )
        if word not in known:
            reason = f"no check {word[:80]!r} to stop at{did_you_mean(word, known)}"
            self._wrong(at, len(word), reason, choices)
        return ALL if word == _CHECKS else word

    def _stands(self, gate: str, at: int) -> bool:
        """Tell whether a check's whole name stands at a place: after it comes `>`, or nothing."""
        return self.text.startswith(gate, at) and _GATE_STOPS.match(self.text, at + len(gate)) is not None
