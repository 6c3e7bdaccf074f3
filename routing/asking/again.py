"""Ask a prompt of the log again: the prompt from its row, the next better arm, and a weak label of the first answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.rungs import bare_of, reading_of
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.deciding.options import runs_here
from scrimp.routing.deciding.policy import Barrier
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.requests import conversation_to
from scrimp.routing.ledger.store import instant
from scrimp.routing.prompts.chat_log import Lost, format_of, rebuilt
from scrimp.routing.prompts.prompt import Prompt, Turn, prompt_of_chat

from .call_options import of_log
from .kept_files import with_files
from .memory import Recalled
from .request import Ask

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from scrimp.profiles.schema import Profile
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.chat_log import After

    from .call_options import CallOptions

__all__ = [
    "REDO_REWARD",
    "REDO_WEIGHT",
    "kept_here",
    "label_redone",
    "next_better",
    "prompt_of",
    "redo_request",
    "whole_prompt",
]

REDO_REWARD: Final = 0.25
REDO_WEIGHT: Final = 0.5
"""Asking again is a weak sign that the first answer was not good: a low reward, of half weight."""


def prompt_of(row: Mapping[str, Any], *, needs: Collection[str] = ()) -> Prompt:
    """Return a logged request's prompt, which is no program's conversation; its text was kept, without attachments.

    Its files are put back by `kept_files.with_files`.

    Parameters
    ----------
    row
        With prompt, system, messages and schema, as the log holds them.
    needs
        Tags that an arm must have.
    """
    return Prompt(
        row["prompt"],
        row["system"],
        tuple(Turn(asked, answered) for asked, answered in json.loads(row["messages"] or "[]")),
        schema=None if row["schema"] is None else json.loads(row["schema"]),
        needs=frozenset(needs),
        brief=bool(json.loads(row.get("decision") or "{}").get("brief")),
    )


def kept_here(row: Mapping[str, Any]) -> str | None:
    """Return why a logged prompt is not to be sent off this machine, by the decision made then; None when it may be."""
    for each in json.loads(row["decision"] or "{}").get("arms", ()):
        barrier = Barrier.read(each.get("barrier"))
        if barrier is Barrier.NOT_HERE:
            return "was to stay on this machine"
        if barrier is None and not each["feasible"] and not each["by_cap"]:
            return "its trace, of an older version, does not say whether it may leave this machine"
    return None


def next_better(row: Mapping[str, Any], profile: Profile) -> str:
    """Return the arm of the next higher predicted quality than the one that answered; here, if the prompt was to stay.

    Of a prompt with files that is an arm at a reading: the same arm may read more. What did not fit an arm's window
    does not fit it now.

    Raises
    ------
    UsageError
        If the profile has none, by the decision made then.
    """
    here_only = kept_here(row) is not None
    own = bare_of(row["arm"] or "")
    names = {arm.name for arm in profile.arms if not here_only or arm.name == own or runs_here(arm)}

    def of_pool(option: Option) -> bool:
        """Tell whether an arm was of the pool, and like one that may be asked."""
        same = [arm for arm in profile.arms if arm.model == option.model and (not here_only or runs_here(arm))]
        return profile.pool is not None and bool(option.near and same)

    options = []
    if row["decision"] is not None:
        weighed = Decision.from_dict(json.loads(row["decision"])).choice.weighed
        options = [each.option for each in weighed if bare_of(each.option.arm) in names or of_pool(each.option)]
        options = [each for each in options if each.barrier is not Barrier.WINDOW or each.arm == row["arm"]]
    first = next((option for option in options if option.arm == row["arm"]), None)
    better = [option for option in options if first is not None and option.quality > first.quality]
    if not better:
        raise UsageError(
            f"profile {profile.name} has no arm predicted to be better than {row['arm']}"
            + (" on this machine, where the prompt was to stay" if here_only else ""),
            hint=_others(row["arm"], profile),
        )
    return min(better, key=lambda option: option.quality).arm


def _others(answered: str | None, profile: Profile) -> str:
    """Return the line that names what else could be asked."""
    others = sorted(arm.name for arm in profile.arms if arm.name != bare_of(answered or ""))
    if others:
        return f"Name one: -m {' | '.join(others)}."
    return "Name a model: -m gpt-5-mini, or any other with a known price."


def redo_request(
    row: Mapping[str, Any],
    profile: Profile,
    *,
    ledger: Ledger | None = None,
    arm: str | None = None,
    max_cost_nano: int | None = None,
    options: CallOptions | None = None,
) -> Ask:
    """Return the request that asks a logged prompt again.

    Parameters
    ----------
    ledger
        For what a program's conversation goes on from.
    arm
        The arm to ask; unless given, the one of next higher predicted quality than the one that answered.
    max_cost_nano
        The most it may cost, nano-USD.
    options
        Options of the call, before those that it was asked with.

    Raises
    ------
    UsageError
        If the prompt was not kept whole, or there is no other arm to ask.
    """
    if row["prompt"] is None:
        raise UsageError(f"the text of {row['id']} was not kept, so it cannot be asked again")
    if row["attachments"] is not None:
        raise UsageError(
            f"{row['id']} had attachments, which the log does not keep", hint="Ask it again with `scrimp ask -a`."
        )
    other = arm or next_better(row, profile)
    by = row["arm"] or ""
    if bare_of(other) == bare_of(by) and reading_of(other) in (None, reading_of(by)):
        more = f", or another reading of the files (-m {bare_of(by)}/whole)" if reading_of(by) == "passages" else ""
        raise UsageError(f"{by} has answered this already", hint=f"Name another arm with -m{more}.")
    prompt, after = whole_prompt(ledger, row)
    before = of_log(json.loads(row["decision"] or "{}"))
    params, output_limit = options or before
    return Ask(
        prompt=prompt,
        wishes=Wishes(arm=other, max_cost_nano=max_cost_nano),
        command="redo",
        conversation_id=row["conversation_id"],
        redo_of=row["id"],
        keep=profile.log.keep,
        params={**before.params, **params},
        output_limit=output_limit or before.output_limit,
        response_format=prompt.own_format,
        after=after,
        recalled=Recalled.of(json.loads(row["memory"])) if row.get("memory") else None,
        # Where no readings are on record there was nothing to choose, and there is nothing now.
        read_tokens=sum(each.n_tokens for each in prompt.sources),
    )


def whole_prompt(ledger: Ledger | None, row: Mapping[str, Any]) -> tuple[Prompt, After | None]:
    """Return a logged request's prompt with its files, a program's conversation put together again, and where that was.

    Raises
    ------
    UsageError
        If text or files of the conversation were not kept, or a file that went with it is not to be had any more.
    """
    if ledger is None or not isinstance(json.loads(row["messages"] or "[]"), dict):
        return with_files(ledger, row, prompt_of(row)), None
    try:
        chat, after = rebuilt(conversation_to(ledger, row))
    except Lost as why:
        raise UsageError(f"{row['id']} cannot be asked again: {why}") from None
    schema = None if row["schema"] is None else json.loads(row["schema"])
    own = format_of(row)
    needs = ("json",) if own is not None and own.get("type") != "text" else ()
    return prompt_of_chat(chat, schema=schema, own_format=own, needs=needs), after


def label_redone(ledger: Ledger, row: Mapping[str, Any], other: str, profile: Profile, *, now: float) -> None:
    """Give an answer a weak bad mark because its prompt was asked again, of `other`; a failed request has none.

    Where the profile wants no such marks (`log.signals`), it gets none.
    """
    if row["status"] == "ok" and profile.log.signals != "off":
        add_label(
            ledger, request_id=row["id"], arm=row["arm"], reward=REDO_REWARD, source="redo", weight=REDO_WEIGHT,
            at=instant(now), note=f"asked again of {other}",
        )  # fmt: skip
