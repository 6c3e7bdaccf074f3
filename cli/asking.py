"""From the flags of `ask` (or the log's row for `redo`) to a request, its answer, and what is said about both."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import GuardRefusedError, ScrimpError, UsageError
from scrimp.profiles.money import format_usd
from scrimp.profiles.rungs import READ_TOKENS

from . import session
from .answers import Printer, extracted_from, kept_where, printable, summary_of
from .cached import cache_age_s
from .conversations import memory_line
from .explain import decision_blocks, decision_line, hint_line, split_line, steps_table
from .given import attached, gather
from .readings import reading_blocks
from .result import Note, Result, as_line, confirm, deliver, emit, emit_stderr, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrimp.profiles.load import Loaded
    from scrimp.profiles.templates import Template
    from scrimp.routing.asking.request import Ask, Checked, Way
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.ledger.conversations import Conversation
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.prompt import Prompt

    from .given import Given

__all__ = [
    "AskFlags",
    "answer_request",
    "load_for",
    "prompt_of",
    "request_of",
    "run_ask",
    "way_of",
]


@dataclass(frozen=True, slots=True)
class AskFlags:
    """The flags of `ask`, as given."""

    words: tuple[str, ...] = ()
    system: str | None = None
    files: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    arm: str | None = None
    profile: str | None = None
    follow: bool | str | Conversation = False
    memory: str = "auto"
    template: str | None = None
    variables: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    schema: str | None = None
    schema_multi: str | None = None
    checks: tuple[str, ...] = ()
    cascade: bool = False
    plan: str | None = None
    repair: bool = False
    hint: bool = False
    use_hint: str | None = None
    max_cost: str | None = None
    max_seconds: float | None = None
    fast: bool = False
    brief: bool = False
    private: str | None = None
    rephrase: int | None = None
    wtp: float | None = None
    prefer: str | None = None
    min_quality: float | None = None
    on_this_machine: bool = False
    needs: tuple[str, ...] = ()
    dry_run: bool = False
    no_log: bool = False
    tag: str | None = None
    cap_override: str | None = None
    confirmed: bool = False
    seed: int | None = None
    quiet: bool = False
    read: str = "auto"
    read_tokens: int = READ_TOKENS
    extract: bool = False
    cache: str | None = None


def run_ask(flags: AskFlags, *, explain: bool, as_json: bool, stream: bool) -> int:
    """Ask, and print what came of it."""
    from scrimp.routing.asking.kept_files import reads_again

    template = None
    if flags.template is not None:
        from .templates import laid_under, read_named

        template = read_named(flags.template)
        flags = laid_under(flags, template)
    given = gather(
        flags.words,
        flags.files,
        quiet=flags.quiet,
        here_only=flags.on_this_machine,
        piped="-" not in flags.attachments,
    )
    prompt = prompt_of(flags, template, given)
    loaded, flags = load_for(flags)
    ledger = session.ledger()
    request = request_of(flags, loaded, ledger, prompt)
    if (again := reads_again(prompt, request.prompt)) is not None and not flags.quiet:
        say(again)
    return answer_request(
        loaded,
        ledger,
        request,
        way=way_of(flags, loaded, prompt),
        hint=flags.hint or flags.use_hint is not None,
        use_hint=flags.use_hint,
        explain=explain,
        as_json=as_json,
        stream=stream,
        extract=flags.extract,
        max_age_s=cache_age_s(flags.cache, request.keep),
        dry_run=flags.dry_run,
        quiet=flags.quiet,
        seed=flags.seed,
    )


def load_for(flags: AskFlags) -> tuple[Loaded, AskFlags]:
    """Return the profile that flags name, and the flags with the arm and the plan that they stand for.

    Raises
    ------
    ScrimpError
        If there is no such profile or arm, or caps are to be passed without `--yes`.
    """
    from scrimp.routing.asking.ways import split_plan

    loaded = session.load(
        flags.profile,
        prefer=flags.prefer,
        wtp=flags.wtp,
        min_quality=flags.min_quality,
        private=flags.private,
        max_seconds=flags.max_seconds,
        quiet=flags.quiet,
    )
    override = session.parse_usd(flags.cap_override, "--cap-override")
    if override is not None and not flags.confirmed:
        raise UsageError(
            f"--cap-override {format_usd(override)} spends past every cap for this one call",
            hint="Add --yes if that is what you want; it is logged as such.",
        )
    loaded, arm = session.with_model(loaded, flags.arm)
    if (plan := split_plan(flags.read, arm=arm, plan=flags.plan, cascade=flags.cascade)) is not None:
        return loaded, replace(flags, read="auto", arm=None, plan=plan)
    return loaded, replace(flags, arm=arm)


def request_of(flags: AskFlags, loaded: Loaded, ledger: Ledger, prompt: Prompt) -> Ask:
    """Return the request of a prompt under flags (`load_for`)."""
    from scrimp.routing.asking.call_options import read_options
    from scrimp.routing.asking.compose import make_request

    options = read_options(flags.options)
    return make_request(
        loaded.profile,
        ledger,
        prompt,
        arm=flags.arm,
        max_cost_nano=session.parse_usd(flags.max_cost, "--max-cost"),
        on_this_machine=flags.on_this_machine,
        follow=flags.follow,
        memory=flags.memory,
        begins=not flags.dry_run,
        no_log=flags.no_log,
        fast=flags.fast,
        tag=flags.tag,
        cap_override_nano=session.parse_usd(flags.cap_override, "--cap-override"),
        confirmed=flags.confirmed,
        rephrase=flags.rephrase,
        reading=flags.read,
        read_tokens=flags.read_tokens,
        params=options.params,
        output_limit=options.output_limit,
    )


def way_of(flags: AskFlags, loaded: Loaded, prompt: Prompt) -> Way:
    """Return the checks and the plan that flags ask for."""
    from scrimp.routing.asking.ways import make_way

    return make_way(
        loaded.profile,
        schema=prompt.schema,
        checks=flags.checks,
        cascade=flags.cascade,
        plan=flags.plan,
        repair=flags.repair,
        arm=flags.arm,
    )


def answer_request(
    loaded: Loaded,
    ledger: Ledger,
    request: Ask,
    *,
    way: Way | None = None,
    hint: bool = False,
    use_hint: str | None = None,
    explain: bool = False,
    as_json: bool = False,
    stream: bool = False,
    extract: bool = False,
    dry_run: bool = False,
    quiet: bool = False,
    seed: int | None = None,
    max_age_s: float | None = None,
    space: Workspace | None = None,
    on_answer: Callable[[Checked], str | None] | None = None,
) -> int:
    """Decide, dispatch, check, print; return the exit code.

    Parameters
    ----------
    stream
        Show the answer on a terminal as it comes, where nothing may take its place.
    extract
        Print its first fenced block alone, or all of it where there is none.
    max_age_s
        How old an answer of the cache may be, seconds; None neither looks there nor keeps it.
    space
        What it is asked with, where that is open already.
    on_answer
        Takes the answer; what it returns stands at the end of the line of cost and choice.
    """
    from scrimp.routing.asking.failure import failure
    from scrimp.routing.asking.refusal import missed_quality
    from scrimp.routing.asking.ways import make_way

    try:
        space = space or session.workspace(loaded, ledger, seed=seed, calls=not dry_run)
        if sys.stdin.isatty():
            # What is only tried is not asked about: it goes on, as it might.
            space.confirm = (lambda _question: True) if dry_run else confirm
        space.look_after()
        if not dry_run:
            session.tell_at_end(ledger, loaded.profile, on_this_machine=request.wishes.on_this_machine)
        way = make_way(loaded.profile, schema=request.prompt.schema, arm=request.wishes.arm) if way is None else way
        request, context = space.prepare(request, way)
        request = request.with_hint(session.hinter(space, use_hint) if hint else None, context.embedding)
        decision, plan = space.choose(request, context, way)
    except KeyboardInterrupt as stop:
        stop.add_note("interrupted before anything was sent: nothing is charged")
        raise
    except GuardRefusedError as refused:
        if refused.decision is not None and explain:
            emit_stderr(decision_blocks(refused.decision, explain=True))
        if refused.decision is not None and dry_run:
            shown = Result(data=refused.decision.to_dict(), blocks=(Note(decision_line(refused.decision)),))
            emit(shown, as_json=as_json)
        raise
    if (missed := missed_quality(decision)) is not None:
        say(missed)
    if explain:
        remembered = () if request.recalled is None else (Note(memory_line(request.recalled.to_dict())),)
        rests_on = (Note(f"{name} is {why}") for name, why in space.decider.reasons().items())
        about_hint = () if request.hint is None else (Note(hint_line(request.hint.columns())),)
        about_files = tuple(reading_blocks(request.prompt, decision.arm))
        emit_stderr((*decision_blocks(decision, explain=True), *rests_on, *about_files, *remembered, *about_hint))
    if dry_run:
        split = () if (line := split_line(decision)) is None else (Note(line),)
        return emit(Result(data=decision.to_dict(), blocks=(Note(decision_line(decision)), *split)), as_json=as_json)
    otherwise = kept_where(request, decision.id)
    streams = stream and sys.stdout.isatty() and not (as_json or extract) and plan.single and not way.may_take_another
    printer = Printer(otherwise) if streams else None
    said = space.say
    if printer is not None:
        space.say = printer.below(said)
    try:
        on_text = printer.show if printer else None
        if max_age_s is None:
            checked = space.run(request, decision, context, plan, way, on_text=on_text)
        else:
            from .cached import run_cached

            checked = run_cached(space, request, decision, context, plan, way, max_age_s=max_age_s, on_text=on_text)
    except ScrimpError as error:
        if error.partial and printer is None and not as_json:  # as a terminal has shown it already
            deliver(printable(error.partial), otherwise=otherwise)
        raise
    finally:
        space.say = said
        if printer:
            printer.end()
    answer = checked.answer
    also = None if on_answer is None else on_answer(checked)
    told = way.records_steps(decision) or request.summing is not None or decision.rephrase is not None
    printed = extracted_from(answer.text) if extract else answer.text
    if as_json:
        data = (checked if told else answer).to_dict() | ({"extracted": printed} if extract else {})
        code = deliver(as_line(data), otherwise=otherwise, as_json=True)
    elif printer is None:
        code = deliver(printable(printed), otherwise=otherwise)
    else:
        code = printer.code
    for note in answer.notes:
        if answer.n_attempts or not quiet:  # one of the cache says no more than where it is from
            say(note)
    for verdict in checked.verdicts:
        if verdict.outcome == "abstain":
            say(f"check {verdict.check} cannot tell: {verdict.evidence}")
    if printer is not None and explain and extracted_from(answer.text) != answer.text:
        say("--extract prints only the code of an answer; -x explains the choice")
    if explain and told:
        emit_stderr((steps_table([step.to_dict() for step in checked.steps]),))
    if not quiet:
        emit_stderr((Note(summary_of(answer, checked, request, also)),))
    if request.command == "ask" and sys.stdin.isatty():  # in a script nobody asks again
        from scrimp.routing.asking.signals import label_asked_again

        label_asked_again(space.ledger, space.profile, answer.id, now=space.clock())
    session.look_back(space.ledger, space.profile, on_this_machine=request.wishes.on_this_machine)
    if (bad := failure(checked)) is not None:
        raise bad
    return int(code)


def prompt_of(flags: AskFlags, template: Template | None, what: Given) -> Prompt:
    """Put the prompt together from what was given, a template and flags."""
    from scrimp.routing.asking.compose import compose, in_template, question_of

    attachments = attached(flags.attachments, quiet=flags.quiet, here_only=flags.on_this_machine)
    typed, given, unasked = what
    system = flags.system
    if template is not None:
        name = str(flags.template)
        text, system, sources = in_template(template, name, typed, given, flags.variables, unasked=unasked)
        system = system if flags.system in (None, template.system) else flags.system
    elif flags.variables:
        raise UsageError("-v gives a variable of a template: name the template with -t")
    else:
        text, sources = question_of(typed, given)
    return compose(
        text,
        system=system,
        attachments=attachments,
        schema=flags.schema,
        schema_multi=flags.schema_multi,
        needs=flags.needs,
        sources=sources,
        brief=flags.brief,
    )
