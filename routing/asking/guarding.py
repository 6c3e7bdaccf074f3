"""The guards of a profile at work on a request: in this order it is redacted, embedded, looked at, and decided."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import GuardRefusedError, ScrimpError, UsageError
from scrimp.routing.deciding.outlook import held_back, risk_of, way_out
from scrimp.routing.guard.verdict import Guarded, Name, Outcome, Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.schema import Profile
    from scrimp.routing.calls.call import Delta
    from scrimp.routing.checks.base import Check
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.guard.private import Vault
    from scrimp.routing.guard.sentry import Sentry
    from scrimp.routing.guard.verdict import Finding
    from scrimp.routing.prompts.context import Context
    from scrimp.routing.prompts.prompt import Prompt

    from .request import Ask, Checked, Way

__all__ = [
    "check_shielded",
    "guarded",
    "heard_private",
    "holds_private",
    "partly_restored",
    "refused_by_guard",
    "restored",
    "risk_met",
    "risk_noted",
    "risked",
    "sent_elsewhere",
    "shielded",
    "still_shielded",
    "vault_of",
    "warnings",
    "way_shielded",
]


def shielded(ask: Ask, profile: Profile) -> Ask:
    """Return a request with what is private in it looked for, before anything else reads it (`guard.private`).

    What is replaced gets its number in a fixed order, so that the same request has the same placeholders again: the
    system prompt, the conversation, files and question, then what the arms are told, which goes out with it.

    Nothing is raised: what is refused has a finding that says so (`Wishes.guarded`), and no arm takes it then.
    """
    mode = profile.guard.private
    if mode == "off" or any(each.guard is Name.PRIVATE for each in ask.wishes.guarded.findings):
        return ask
    from scrimp.routing.guard.private import Vault, finding

    vault = Vault.of(profile.guard)

    def note(text: str) -> str:
        vault.redactor.avoid(text)
        return text

    told = [text for arm in profile.arms for text in (arm.system, arm.prompt) if text is not None]
    _changed(ask, note)
    for text in told:
        note(text)
    made = _changed(ask, vault.redacted)
    found = finding(mode, vault, n_unseen=_unseen(ask.prompt))
    guarded = replace(ask.wishes.guarded.also(found), here=ask.wishes.guarded.here or _stays(found, mode))
    ask = replace(ask, wishes=replace(ask.wishes, guarded=guarded))
    if found.outcome is Outcome.REFUSED:  # nobody is asked; what is written down on the way there holds placeholders
        return replace(made, wishes=ask.wishes)
    if mode != "redact":
        return ask
    for text in told:
        vault.redacted(text)
    prompt = made.prompt if ask.prompt.hint is None else replace(made.prompt, hint=vault.redacted(ask.prompt.hint))
    return replace(made, prompt=prompt, wishes=ask.wishes, vault=vault)


def _stays(found: Finding, mode: str) -> bool:
    return mode == "local" and bool(found.detail["counts"])


def _unseen(prompt: Prompt) -> int:
    """Return how many images and files go with a prompt whose bytes say nothing here."""
    return len(prompt.attachments) + (0 if prompt.chat is None else prompt.chat.media.total())


def _changed(ask: Ask, change: Callable[[str], str]) -> Ask:
    """Return a request with every text in it changed that its user gave, in a fixed order."""
    from scrimp.routing.guard.private import prompt_changed
    from scrimp.routing.text.private import in_every_text

    past = ask.past
    if past is not None:
        turns = tuple(replace(turn, prompt=change(turn.prompt), answer=change(turn.answer)) for turn in past.turns)
        past = replace(past, turns=turns, system=None if past.system is None else change(past.system))
    form = ask.response_format
    return replace(
        ask,
        prompt=prompt_changed(replace(ask.prompt, hint=None), change),
        past=past,
        params=in_every_text(dict(ask.params), change) if ask.params else ask.params,
        response_format=None if form is None else in_every_text(dict(form), change, names_too=True),
    )


def holds_private(value: Any, profile: Profile) -> bool:
    """Tell whether plain data holds what the profile has replaced (`guard.private = "redact"`)."""
    if profile.guard.private != "redact":
        return False
    from scrimp.routing.guard.private import Vault
    from scrimp.routing.text.private import in_every_text

    vault = Vault.of(profile.guard)
    in_every_text(value, vault.redacted, names_too=True)
    return bool(vault.values)


def still_shielded(ask: Ask) -> Ask:
    """Return a request with placeholders in what was put to it since: a summary that the log had, a hint."""
    if ask.vault is None:
        return ask
    prompt = ask.vault.prompt(ask.prompt)
    return ask if prompt is ask.prompt else replace(ask, prompt=prompt)


def check_shielded(check: Check, vault: Vault) -> Check:
    """Return a check that looks for placeholders where it was told to look for what is private.

    That holds of a schema and of wordings; a pattern, a command and a file of tests are as they were given.
    """
    from scrimp.routing.checks.form import WordingCheck
    from scrimp.routing.checks.text import SchemaCheck
    from scrimp.routing.text.private import in_every_text

    if isinstance(check, SchemaCheck):
        schema = in_every_text(dict(check.schema), vault.redacted, names_too=True)
        return check if schema == check.schema else replace(check, schema=schema, name=vault.redacted(check.name))
    if isinstance(check, WordingCheck):
        return replace(check, text=vault.redacted(check.text), name=vault.redacted(check.name))
    return check


def way_shielded(way: Way, ask: Ask) -> Way:
    """Return a way whose checks look for placeholders (`check_shielded`), before a plan is made that names them.

    Raises
    ------
    UsageError
        If a plan is spelled with something private in it: it is logged as it is, and read again.
    """
    vault = ask.vault
    if vault is None:
        return way
    if way.plan is not None and vault.redacted(way.plan) != way.plan:
        raise UsageError(
            "there is something private in --plan, and plans are logged", hint="Give its checks with --check."
        )
    return replace(way, checks=tuple(check_shielded(each, vault) for each in way.checks))


def vault_of(ask: Ask, profile: Profile) -> Vault | None:
    """Return what a call of a request is kept private with; None where nothing is.

    A request that was made inside, and never had a user (an audit, a probe), has one of its own for each call.
    """
    if ask.vault is not None or profile.guard.private != "redact":
        return ask.vault
    from scrimp.routing.guard.private import Vault

    return Vault.of(profile.guard)


def guarded(ask: Ask, context: Context | None, sentry: Sentry) -> Ask:
    """Return a request with what the guards say of it (`Wishes.guarded`); what they refuse no arm takes."""
    seen = Seen(ask.prompt, context, ask.command, ask.tag, ask.wishes.arm)
    found = ask.wishes.guarded.then(sentry.look(seen))
    return ask if found == ask.wishes.guarded else replace(ask, wishes=replace(ask.wishes, guarded=found))


def risked(
    ask: Ask,
    decision: Decision,
    profile: Profile,
    again: Callable[[Wishes], Decision],
    *,
    holds: bool = True,
    confirm: Callable[[str], bool] | None = None,
) -> Decision:
    """Return a decision with how likely it is to be answered right, and what the profile does about it (`guard.risky`).

    Nothing is raised: one that is refused has a finding that says so, and no arm.

    Parameters
    ----------
    again
        Decides once more, under other wishes: where the profile sends what is risky to an arm of its own.
    holds
        Whether what is refused is held back; else that is only noted, as where nothing is sent anyway.
    confirm
        Asks the user whether to send it all the same, where the profile asks; None where there is nobody to be asked.
    """
    found = risk_of(decision, profile.guard)
    if found is None:
        return decision
    if (wishes := sent_elsewhere(ask.wishes, found, profile)) is not None:
        return risk_noted(again(wishes), found)
    return risk_met(ask, decision, found, profile, confirm=confirm, holds=holds)


def sent_elsewhere(wishes: Wishes, found: Finding, profile: Profile) -> Wishes | None:
    """Return the wishes by which the arm that takes what is risky gets it; None where it stays as it was decided."""
    if found.outcome is not Outcome.CHANGED:
        return None
    sends = Guarded(sends=profile.guard.risky.removeprefix("arm:"))
    return replace(wishes, guarded=wishes.guarded.then(sends))


def risk_noted(decision: Decision, found: Finding) -> Decision:
    """Return a decision with what was found of its risk in its trace."""
    return replace(decision, guards=(*decision.guards, found))


def risk_met(
    ask: Ask,
    decision: Decision,
    found: Finding,
    profile: Profile,
    *,
    holds: bool = True,
    confirm: Callable[[str], bool] | None = None,
) -> Decision:
    """Return a decision that stays with its arm with what was found of its risk, or held back: as `risked`."""
    if found.outcome is not Outcome.REFUSED:
        return risk_noted(decision, found)
    asks = found.detail["risky"] == "ask"
    if asks and (ask.confirmed or (confirm is not None and confirm(f"{_upper(found.why)}. Send it anyway?"))):
        return risk_noted(decision, _allowed(found, confirmed=True))
    if ask.rephrasing is not None and not (asks and confirm is not None):
        # In other words it may be likelier to be answered right: these are bought first.
        return risk_noted(decision, _allowed(found, phrased_first=True))
    found = replace(found, detail={**found.detail, "way_out": way_out(decision, profile.guard)})
    return risk_noted(held_back(decision, "held back by guard.risky") if holds else decision, found)


def _allowed(found: Finding, **why: bool) -> Finding:
    return replace(found, outcome=Outcome.WARNED, detail={**found.detail, **why})


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def refused_by_guard(decision: Decision) -> GuardRefusedError | None:
    """Return the error of the guard that refuses a prompt; None where none does.

    That no arm can take it for what it is (`Name.FEASIBLE`) is no guard's refusal: `refusal.why_none` says why.
    """
    refused = (each for each in decision.guards if each.outcome is Outcome.REFUSED)
    found = next((each for each in refused if each.guard is not Name.FEASIBLE), None)
    if found is None:
        return None
    why, hint = f"not sent: {found.why}", None
    if found.guard is Name.RISK:
        hint = f"What may help: {found.detail['way_out']}."
        hint += " --yes (of `ask` and `redo`) sends it anyway." if found.detail["risky"] == "ask" else ""
    error = GuardRefusedError(why, hint=hint)
    error.decision = decision
    return error


def warnings(found: Guarded) -> list[str]:
    """Return what the user is told before anything is sent; that a rule holds is as the user wrote it, and is not."""
    told = [each for each in found.findings if each.outcome in (Outcome.WARNED, Outcome.CHANGED)]
    return [
        f"{each.guard}: {each.why}" for each in told if each.guard is not Name.RULES or each.outcome is Outcome.WARNED
    ]


# -- on the way out -------------------------------------------------------------------------------------------------


def restored(checked: Checked, ask: Ask) -> Checked:
    """Return an answer with the values that placeholders stand for.

    In JSON (an answer by a schema, what a tool is called with) they are spelled as JSON spells them.
    """
    vault = ask.vault
    if vault is None:
        return checked
    answer, json = checked.answer, _is_json(ask)
    unknown = vault.unknown(answer.said)
    notes = answer.notes
    if unknown:
        these = f"{', '.join(unknown[:3])}{' ...' if len(unknown) > 3 else ''}"
        notes = (*notes, f"{these} stay placeholders: they stood in what was asked, and their values are not kept")
    calls = tuple(replace(call, arguments=vault.restored(call.arguments, in_json=True)) for call in answer.tool_calls)
    text = vault.restored(answer.text, in_json=json)
    steps = tuple(
        replace(step, text=None if step.text is None else vault.restored(step.text, in_json=json))
        for step in checked.steps
    )
    verdicts = tuple(replace(each, evidence=vault.restored(each.evidence)) for each in checked.verdicts)
    answer = replace(answer, text=text, tool_calls=calls, notes=notes)
    return replace(checked, answer=answer, steps=steps, verdicts=verdicts)


def partly_restored(error: BaseException, ask: Ask) -> None:
    """Put the values into what had come of an answer when it broke off."""
    if ask.vault is not None and isinstance(error, ScrimpError) and error.partial:
        error.partial = ask.vault.restored(error.partial, in_json=_is_json(ask))


def _is_json(ask: Ask) -> bool:
    return any(form is not None for form in (ask.prompt.schema, ask.prompt.own_format, ask.response_format))


class HeardPrivate:
    """Takes an answer's pieces and passes them on with values, across the borders of pieces too.

    Parameters
    ----------
    on_delta
        Takes the pieces, and whose they are.
    """

    def __init__(self, ask: Ask, vault: Vault, on_delta: Callable[[Delta, str], object]) -> None:
        from scrimp.routing.guard.private import Returning

        self._on_delta = on_delta
        self._text = Returning(vault, in_json=_is_json(ask))
        self._calls = defaultdict[int, Returning](lambda: Returning(vault, in_json=True))
        self._arm = ""

    def __call__(self, delta: Delta, arm: str) -> None:
        """Take a piece."""
        from scrimp.routing.calls.call import TextDelta

        self._arm = arm
        if isinstance(delta, TextDelta):
            if text := self._text.feed(delta.text):
                self._on_delta(TextDelta(text), arm)
            return
        if text := self._text.flush():
            self._on_delta(TextDelta(text), arm)
        self._on_delta(replace(delta, arguments=self._calls[delta.index].feed(delta.arguments)), arm)

    def end(self) -> None:
        """Pass on what was held back."""
        from scrimp.routing.calls.call import TextDelta, ToolDelta

        if text := self._text.flush():
            self._on_delta(TextDelta(text), self._arm)
        for index, call in self._calls.items():
            if text := call.flush():
                self._on_delta(ToolDelta(index, arguments=text), self._arm)


def heard_private(ask: Ask, on_delta: Callable[[Delta, str], object] | None) -> HeardPrivate | None:
    """Return what takes an answer's pieces in the place of `on_delta`; None where nothing is to be put back."""
    return None if ask.vault is None or on_delta is None else HeardPrivate(ask, ask.vault, on_delta)
