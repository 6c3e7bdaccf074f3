"""What a planner's reply says: a question to an arm, or the answer. Weak models spell it in many ways."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .quoting import without_thoughts

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Asks", "Says", "read_lead"]

_OPENS: Final = re.compile(r"<\s*(ask|answer)\b([^<>]{0,300})>", re.IGNORECASE)
_ANSWERS: Final = re.compile(r"<\s*(/?)\s*answer\b[^<>]{0,300}>", re.IGNORECASE)
_MARKS: Final = re.compile(r"<\s*(/?)\s*(?:ask|answer)\b[^<>]{0,300}>", re.IGNORECASE)
_QUOTES: Final = "\"'\u201c\u201d\u2018\u2019"
_NAME: Final = re.compile(rf"\b(?:arm|to|name|model)\s*=\s*[{_QUOTES}]?\s*([^\s{_QUOTES}=/>]+)", re.IGNORECASE)
_BARE: Final = re.compile(rf"[\s:={_QUOTES}]*([^\s{_QUOTES}=/>]+)")
_FENCE: Final = re.compile(r"```[\w-]*\n(.*?)\n?```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Asks:
    """A question for an arm.

    Attributes
    ----------
    arm
        The arm; None where there is none of the name.
    question
        What it is to be asked; empty where nothing is.
    named
        The name as it was given.
    """

    arm: str | None
    question: str
    named: str = ""

    def problem(self, workers: Sequence[str]) -> str:
        """Return what a planner is told of a question that cannot be put."""
        if self.arm is not None:
            return f"Your last reply asked {self.arm} nothing: put the question between the marks."
        named = f"{self.named[:40]!r}" if self.named else "nobody"
        return f"Your last reply asked {named}. Those who can be asked are: {', '.join(workers)}."


@dataclass(frozen=True, slots=True)
class Says:
    """The answer."""

    text: str


def read_lead(reply: str, workers: Sequence[str], *, last: bool = False) -> Asks | Says | None:
    """Return what a planner's reply says; None where nothing is in it.

    The first mark counts, and what follows a question is left: it was written before the reply to it was known. A
    reply without marks is the answer.

    Parameters
    ----------
    workers
        The arms that can be asked.
    last
        Whether it had to answer: then a question is no answer.

    Examples
    --------
    >>> read_lead('<ask arm="small">6 x 7?</ask>', ["small"])
    Asks(arm='small', question='6 x 7?', named='small')
    >>> [read_lead(said, ["small"]) for said in ("I know: <answer>42</answer>", "42", "<think>hm")]
    [Says(text='42'), Says(text='42'), None]
    """
    text = without_thoughts(reply.replace("\0", ""))
    opens = _OPENS.search(text)
    if opens is None and "&lt;" in text:
        opens = _OPENS.search(html.unescape(text))
        text = text if opens is None else html.unescape(text)
    if opens is None:
        asks = _in_json(text, workers)
        if asks is not None:
            return None if last else asks
        text = _ANSWERS.sub("", text).strip()
        return Says(text) if text else None
    inside = text[opens.end() :]
    if opens[1].lower() == "ask":
        if last:
            then = _OPENS.search(inside)
            return None if then is None or then[1].lower() == "ask" else read_lead(inside[then.start() :], workers)
        name = _NAME.search(opens[2]) or _BARE.match(opens[2])
        named = "" if name is None else name[1]
        return Asks(_known(named, workers), _first(inside), named)
    answer = inside[: _end(inside)].strip()
    return Says(answer) if _MARKS.sub("", answer).strip() else None


def _end(inside: str) -> int:
    """Return where an answer ends: at the mark that closes it, those inside it aside; else at the last that closes."""
    depth, end = 1, len(inside)
    for mark in _ANSWERS.finditer(inside):
        depth += -1 if mark[1] else 1
        end = mark.start() if mark[1] else end
        if depth == 0:
            break
    return end


def _first(inside: str) -> str:
    """Return the text up to the mark that ends it; marks that open something before it are left out."""
    begin = 0
    for mark in _MARKS.finditer(inside):
        text = inside[begin : mark.start()].strip()
        if text or mark[1]:
            return text
        begin = mark.end()
    return inside[begin:].strip()


def _known(named: str, workers: Sequence[str]) -> str | None:
    if named in workers:
        return named
    like = [arm for arm in workers if arm.casefold() == named.casefold()]
    return like[0] if len(like) == 1 else None


def _in_json(text: str, workers: Sequence[str]) -> Asks | None:
    """Return a question spelled as JSON: `{"ask": {"arm": ..., "question": ...}}`, or without the outer part."""
    found = _FENCE.fullmatch(text)
    text = text if found is None else found[1].strip()
    if len(text) > 50_000 or not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    inner = data.get("ask", data) if isinstance(data, dict) else None
    if not isinstance(inner, dict) or not {"arm", "question"} <= inner.keys():
        return None
    named, question = str(inner["arm"]), inner["question"]
    return Asks(_known(named, workers), question.strip() if isinstance(question, str) else "", named)
