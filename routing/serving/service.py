"""Answers what programs ask: from what they want to a checked answer, decided, paid and logged as any other."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import BudgetRefusedError
from scrimp.routing.asking import housekeeping
from scrimp.routing.asking.awaiting import AwaitingHands
from scrimp.routing.asking.memory import budget_of
from scrimp.routing.asking.outbox import keep_telling, send_out
from scrimp.routing.asking.plan_choice import arms_in
from scrimp.routing.asking.request import Ask, Way
from scrimp.routing.asking.totals import Totals
from scrimp.routing.ledger.scribe import Scribe, Work
from scrimp.routing.ledger.store import new_id
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.prompt import prompt_of_chat
from scrimp.routing.prompts.tokens import estimate_tokens
from scrimp.routing.retrieval.turns import turn_scores
from scrimp.routing.text.sanitize import sanitize

from .cutting import rounds_of
from .names import resolve
from .threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.routing.asking.memory import Recalled
    from scrimp.routing.asking.request import Answer, Checked
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.calls.call import Delta
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.prompts.chat import Chat
    from scrimp.routing.prompts.context import Context

    from .shapes.shape import Wanted
    from .threads import Thread

__all__ = ["Asking", "Service"]

_EMBEDDERS: Final = 2
"""How many prompts are embedded at once."""

_CONTEXTS: Final = 512
"""How many prompts' features are remembered: an agent's tools go round many times under one question."""

_TAG_CHARS: Final = 100
_LOOK_EVERY_S: Final = 2.0
_UPKEEP_EVERY_S: Final = 60.0


@dataclass(slots=True)
class Asking:
    """One request on its way: what is known of it so far.

    Attributes
    ----------
    decision
        How it was decided; None until it is.
    arm
        Which answers, once it does.
    cost
        What it has cost, in words, where it was interrupted.
    tag
        A word by which the log and spending find it; None leaves it to the service.
    """

    decision: Decision | None = None
    arm: str | None = None
    cost: str = "interrupted: nothing is charged for this prompt"
    tag: str | None = None


def message_of(answer: Answer) -> dict[str, Any]:
    """Return an answer as it would stand in the conversation, in OpenAI's form."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.tool_calls:
        message["tool_calls"] = [call.to_dict() for call in answer.tool_calls]
    return message


class Service:
    """Answers requests, any number at once, in one event loop.

    Parameters
    ----------
    open_space
        Opens what requests are asked with; called again when what it was made from has changed.
    stamp
        Returns what tells whether that has changed.
    one_run
        Whether all requests belong to one run, so that one cap stands over them; else each is a run of its own.
    any_model
        Whether a request for a model that is not known is routed, and not refused.
    tag, tag_header
        A word by which the log and spending find them; a header that names another, request by request.
    memory
        How long chats are cut, one of `cutting.CUTS`; None sends all that a program sends.
    say
        Takes a line for whoever runs the server.
    """

    def __init__(
        self,
        open_space: Callable[[], Workspace],
        stamp: Callable[[], object],
        *,
        one_run: bool = False,
        any_model: bool = False,
        tag: str | None = None,
        tag_header: str | None = None,
        memory: str | None = None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._open_space = open_space
        self.space = self._open()
        self.run_id = new_id() if one_run else None
        self.any_model = any_model
        self.tag = tag
        self.tag_header = None if tag_header is None else tag_header.lower()
        self.memory = memory
        self.say = say
        self.totals = Totals()
        self.threads = Threads()
        self._stamp = stamp
        self._stamped = stamp()
        self._looked_at = self._upkept_at = time.monotonic()
        self._scribe: Scribe[Work] = Scribe(self.space.ledger)
        self._embedders = ThreadPoolExecutor(_EMBEDDERS, "scrimp-embed")
        self._contexts: OrderedDict[bytes, Context] = OrderedDict()
        self._running: set[asyncio.Task[Checked]] = set()
        self._telling: asyncio.Task[None] | None = None

    def _open(self) -> Workspace:
        """Open what requests are asked with, and load the embedder for many of them."""
        space = self._open_space()
        if isinstance(space.decider.embedder, Embedder):
            space.decider.embedder.load()
        return space

    @property
    def n_running(self) -> int:
        """How many requests are under way."""
        return len(self._running)

    def tag_of(self, headers: Mapping[str, str]) -> str | None:
        """Return the tag that a request's headers (by their names in lower case) give it; None where they give none."""
        if self.tag_header is None:
            return None
        return sanitize(headers.get(self.tag_header, "")).strip()[:_TAG_CHARS] or None

    def start(
        self, wanted: Wanted, asking: Asking, on_delta: Callable[[Delta, str], object] | None
    ) -> asyncio.Task[Checked]:
        """Begin to answer (`answer`), beside others."""
        work = asyncio.create_task(self.answer(wanted, asking, on_delta))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        return work

    def give_up(self) -> None:
        """Cancel what is under way: it is settled, and logged as interrupted."""
        for work in self._running:
            work.cancel()

    async def answer(self, wanted: Wanted, asking: Asking, on_delta: Callable[[Delta, str], object] | None) -> Checked:
        """Decide, ask, and return the answer.

        Parameters
        ----------
        asking
            Is filled as the request goes on.
        on_delta
            Takes the pieces as they come, where the plan lets them be shown.

        Raises
        ------
        ScrimpError
            If there is none.
        asyncio.CancelledError
            If the client went away: what that cost is settled and logged.
        """
        await self._look()
        space = self.space
        profile = space.profile
        if space.decider.pool is not None:  # an arm of the pool may be named, also in a plan
            names = (wanted.model, *arms_in(Way(plan=wanted.model)))
            profile = (await asyncio.to_thread(space.decider.with_arms, names)).profile
        wishes, way = resolve(wanted.model, profile, effort=wanted.effort, any_model=self.any_model)
        given = wanted.chat  # conversations are known by what their clients say
        wanted, shielded = await self._shielded(wanted, wishes)
        wishes = shielded.wishes
        thread = self.threads.find(given, wanted.session)
        chat, recalled = await self._cut(wanted.chat, wishes, thread)
        cut = chat is not wanted.chat
        prompt = shielded.prompt
        if cut:
            prompt = prompt_of_chat(chat, needs=wanted.needs, own_format=prompt.own_format)
        if thread is not None and wishes.arm is None:
            staying = thread.staying(given)
            if staying is not None and cut:  # what is sent is no longer what the provider has read
                staying = replace(staying, n_cached=0)
            wishes = replace(wishes, staying=staying)
        ask = Ask(
            prompt,
            wishes,
            command="serve",
            conversation_id=None if thread is None else thread.conversation_id,
            after=None if thread is None or cut else thread.after(given),
            recalled=recalled,
            keep=space.profile.log.keep,
            run_id=self.run_id,
            tag=asking.tag or self.tag,
            params=wanted.params,
            response_format=wanted.response_format,
            output_limit=wanted.limit,
            takes_back=False,
            vault=shielded.vault,
        )
        hands = AwaitingHands(space, ask, self._scribe, on_delta)
        try:
            context = await self._context(prompt.text)
            ask = space.guard(ask, context)
            decision, plan = await space.achoose(ask, context, way)
            asking.decision = decision
            checked = await space.arun(ask, decision, context, plan, way, hands=hands)
        except asyncio.CancelledError:
            self.totals.n_interrupted += 1
            if asking.decision is not None:
                asking.cost = hands.what_it_cost(asking.decision.id)
            raise
        except BudgetRefusedError:
            self.totals.n_refused += 1
            raise
        except Exception:
            self.totals.n_failed += 1
            raise
        finally:
            self.totals.charged_nano += hands.charged_nano
        answer = checked.answer
        self.totals.n_by_arm[answer.arm] += 1
        self.totals.saved_nano += answer.saved_nano or 0
        self.threads.note(
            given,
            wanted.session,
            answer.id,
            answer.arm,
            message_of(answer),
            answer.input_tokens,
            decision,
            kept=ask.keep == "all" and not cut,
        )
        return checked

    async def _shielded(self, wanted: Wanted, wishes: Wishes) -> tuple[Wanted, Ask]:
        """Return what is wanted with what is private replaced, and the request that holds what was."""
        prompt = prompt_of_chat(wanted.chat, needs=wanted.needs, own_format=wanted.response_format)
        ask = Ask(
            prompt, wishes, command="serve", tag=self.tag, params=wanted.params, response_format=wanted.response_format
        )
        shield = self.space.shield
        made = ask if self.space.profile.guard.private == "off" else await asyncio.to_thread(shield, ask)
        chat = made.prompt.chat or wanted.chat
        return replace(wanted, chat=chat, params=made.params, response_format=made.response_format), made

    async def _cut(self, chat: Chat, wishes: Wishes, thread: Thread | None) -> tuple[Chat, Recalled | None]:
        """Return a chat as it is sent, and what is logged of that; as it is where this endpoint cuts none."""
        rounds = None if self.memory is None else rounds_of(chat)
        if self.memory is None or rounds is None:
            return chat, None
        decider = self.space.decider
        arm = wishes.arm or (decider.profile.default_arm if thread is None else thread.arm)
        try:
            price, window = decider.price(arm), decider.window(arm)
        except KeyError:
            price = window = None
        wtp = decider.profile.policy.wtp if wishes.wtp_usd is None else wishes.wtp_usd
        embedded = [await self._context(text) for text in (*(asked for asked, _ in rounds.turns), chat.asked)]
        vectors = [context.embedding.astype("<f4").tobytes() for context in embedded[:-1]]

        def scores() -> NDArray[np.float64]:
            return turn_scores(rounds.turns, chat.asked, embedded[-1].embedding, vectors)

        return await asyncio.to_thread(
            rounds.cut,
            self.memory,
            budget_of(price, wtp, window),
            scores,
            n_cached=0 if thread is None else thread.n_cached,
            price=price,
        )

    def count_tokens(self, wanted: Wanted) -> int:
        """Return about how many input tokens a request is."""
        return estimate_tokens(prompt_of_chat(wanted.chat, needs=wanted.needs, own_format=wanted.response_format))

    async def close(self) -> None:
        """See requests under way to their end, write what is still to be written, and close connections."""
        from scrimp.routing.calls.dispatch import aclose

        await asyncio.gather(*self._running, return_exceptions=True)
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
            for line in await asyncio.to_thread(send_out, self.space.ledger, self.space.profile):
                self.say(line)
        with contextlib.suppress(Exception):
            await aclose()
        self._embedders.shutdown()
        await asyncio.to_thread(self._scribe.close)

    async def _context(self, text: str) -> Context:
        """Return the features of a prompt; those of the last ones are remembered."""
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = self._contexts.get(key)
        if known is not None:
            self._contexts.move_to_end(key)
            return known
        loop = asyncio.get_running_loop()
        (context,) = await loop.run_in_executor(self._embedders, self.space.decider.contexts, [text])
        self._contexts[key] = context
        if len(self._contexts) > _CONTEXTS:
            self._contexts.popitem(last=False)
        return context

    async def _look(self) -> None:
        """Every few seconds: take up what has changed on disk, and see to what other processes left."""
        if self._telling is None:
            self._telling = asyncio.create_task(keep_telling(self.space.ledger, lambda: self.space.profile, self.say))
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        stamp = self._stamp()
        if stamp != self._stamped:
            self._stamped = stamp
            self.space = await asyncio.to_thread(self._open)
            self._contexts.clear()
            self.say("the router, prices, abilities or keys have changed: they are read anew")
        if now - self._upkept_at > _UPKEEP_EVERY_S:
            self._upkept_at = now
            await self._scribe.put(Work.here(self.upkeep))

    def upkeep(self) -> None:
        """See to what earlier processes left, and say which caps are filling up."""
        space = self.space
        housekeeping.look_after(space.ledger, space.profile, now=space.clock())
        for line in housekeeping.look_back(space.ledger, space.profile, now=space.clock(), cache=space.cache):
            self.say(line)
