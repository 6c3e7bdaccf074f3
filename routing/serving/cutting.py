"""A program's long chat, cut to what its newest turn is about: the program goes on sending all of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.asking.memory import Recalled, chosen, gap, size_of, worth_of_all
from scrimp.routing.prompts.chat import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.prompts.chat import Chat

__all__ = ["CUTS", "Rounds", "rounds_of"]

CUTS: Final = ("auto", "last", "relevant")
"""The ways of memory that an endpoint has: to send all is to have none, and a summary is for `ask`."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """A chat of nothing but text, told apart by what the user said.

    Attributes
    ----------
    chat
        All of it.
    starts
        Where each round begins, the one that is being answered last.
    turns
        What was asked and answered in each that is over.
    """

    chat: Chat
    starts: tuple[int, ...]
    turns: tuple[tuple[str, str], ...]

    def cut(
        self,
        tier: str,
        budget: int,
        scores: Callable[[], NDArray[np.float64]],
        *,
        n_cached: int = 0,
        price: ArmPrice | None = None,
    ) -> tuple[Chat, Recalled]:
        """Return the chat as it is sent, and what is logged of that.

        Instructions ahead of it stay, and so does its first round, which often says what it is all about.

        Parameters
        ----------
        tier, budget
            One of `CUTS`, and the most tokens of earlier rounds.
        scores
            Returns how near each round is to the newest (`turn_scores`).
        n_cached, price
            Tokens that the provider has in its cache, and the arm's price, as in `worth_of_all`.
        """
        sizes = [size_of(*turn) for turn in self.turns]
        n_all = sum(sizes)
        if tier == "auto":
            tier = "all" if worth_of_all(n_all, n_cached, budget, price) else "relevant"
        if tier == "all" or n_all <= budget:
            kept = list(range(len(sizes)))
        else:
            kept = sorted({0, *chosen(tier, self.turns, sizes, max(0, budget - sizes[0]), scores)})
        whole = len(kept) == len(sizes)
        n_sent = sum(sizes[at] for at in kept)
        note = Recalled(
            "all" if whole else tier,
            tuple(str(at + 1) for at in kept),
            len(sizes),
            n_sent,
            n_all,
            None if whole else budget,
            tier,
        )
        return (self.chat if whole else self._sent(kept)), note

    def _sent(self, kept: Sequence[int]) -> Chat:
        messages = list(self.chat.messages[: self.chat.n_system])
        before = -1
        for at in (*kept, len(self.turns)):
            end = self.starts[at + 1] if at + 1 < len(self.starts) else len(self.chat.messages)
            own = list(self.chat.messages[self.starts[at] : end])
            if at - before > 1:
                own[0] = _noted(own[0], gap(at - before - 1))
            messages += own
            before = at
        return replace(self.chat, messages=tuple(messages))


def rounds_of(chat: Chat) -> Rounds | None:
    """Return a chat's rounds; None of one that is not cut: with tools, images or files, or nothing before its turn.

    A tool's result must stand behind the call that it answers, and what a tool gave may matter to all that follows.
    """
    said = chat.messages[chat.n_system :]
    if chat.with_tools or chat.media or any(message.get("role") not in ("user", "assistant") for message in said):
        return None
    if not said or said[-1].get("role") != "user":
        return None
    roles = [None, *(message.get("role") for message in said)]
    starts = [chat.n_system + at for at in range(len(said)) if roles[at + 1] == "user" and roles[at] != "user"]
    if len(starts) < 2 or starts[0] != chat.n_system:
        return None
    turns = []
    for at, start in enumerate(starts[:-1]):
        own = chat.messages[start : starts[at + 1]]
        turns.append((_texts(own, "user"), _texts(own, "assistant")))
    return Rounds(chat, tuple(starts), tuple(turns))


def _texts(messages: Sequence[Mapping[str, Any]], role: str) -> str:
    return "\n\n".join(text_of(message.get("content")) for message in messages if message.get("role") == role)


def _noted(message: Mapping[str, Any], note: str) -> dict[str, Any]:
    """Return a user's message with words ahead of it."""
    content = message.get("content")
    said: Any = (
        [{"type": "text", "text": note}, *content] if isinstance(content, list) else f"{note}\n\n{content or ''}"
    )
    return {**message, "content": said}
