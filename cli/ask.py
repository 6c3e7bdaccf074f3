"""`scrimp ask`: one prompt, one answer."""

from __future__ import annotations

from typing import Annotated

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.rungs import READ_TOKENS

from .complete import complete_checks, complete_templates
from .options import (
    ArmOption,
    AttachmentOption,
    BriefOption,
    CascadeOption,
    CidOption,
    ExtractOption,
    FastOption,
    FileOption,
    HintOption,
    JsonOption,
    LocalOnly,
    MaxCost,
    MaxSeconds,
    MaxTokens,
    Memory,
    MemoryOption,
    MinQuality,
    Needs,
    Offline,
    OptionOption,
    PlanOption,
    PreferOption,
    PrivateOption,
    ProfileOption,
    Reading,
    ReadOption,
    ReadTokens,
    RepairOption,
    SchemaMultiOption,
    SchemaOption,
    SeedOption,
    TagOption,
    Temperature,
    TemplateOption,
    UseHintOption,
    WtpOption,
    typed,
)
from .parser import new_app

__all__ = ["app", "ask"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp ask "What is the capital of France?"
  git diff | scrimp ask "Write a commit message for this"
  cat big.log | scrimp ask "Which service failed first?"   docs/files.md
  scrimp ask -f 10k.txt "Net loss in Q1?"    the passages that matter, where they do
  scrimp ask -f minutes/ --read whole "What was decided?"
  scrimp ask -c "And in Danish?"             go on with the last conversation
  scrimp ask --cid move "Which van did we book?"    go on with one by its name, or begin it
  scrimp ask --schema 'name, people int' "Largest city in Kenya" | jq .name
  scrimp ask -m gpt-5-mini -o temperature 0 "..."    any model with a price (docs/asking.md)
  scrimp ask --save sum "Sum it up: {{input}}"; scrimp ask -t sum < notes.txt
  scrimp ask --extract "A regular expression for dates" > dates.txt
  scrimp ask --dry-run -x "Prove that 2 is prime"   decide and explain; send nothing
  scrimp ask --cascade --check 'cmd:python {code.py}' "Print the first 10 primes in Python"
"""


@app.command(epilog=EPILOG)
def ask(
    prompt: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROMPT", help="The prompt. `-` in it: read standard input, whosever it is."),
    ] = None,
    system: Annotated[str | None, typer.Option("-s", "--system", metavar="TEXT", help="System prompt.")] = None,
    file: FileOption = None,
    read: ReadOption = Reading.AUTO,
    read_tokens: ReadTokens = READ_TOKENS,
    attachment: AttachmentOption = None,
    arm: ArmOption = None,
    profile: ProfileOption = None,
    follow: Annotated[bool, typer.Option("-c", "--continue", help="Go on with the last conversation.")] = False,
    cid: CidOption = None,
    memory: MemoryOption = None,
    template: TemplateOption = None,
    variable: Annotated[
        list[str] | None, typer.Option("-v", "--var", metavar="NAME=VALUE", help="A variable of the template. Repeats.")
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(
            "--save",
            metavar="NAME",
            help="Keep prompt and flags as a template (docs/asking.md); ask nothing.",
            autocompletion=complete_templates,
        ),
    ] = None,
    option: OptionOption = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    schema: SchemaOption = None,
    schema_multi: SchemaMultiOption = None,
    check: Annotated[
        list[str] | None,
        typer.Option(
            "--check",
            metavar="NAME|KIND:ARG",
            help="What the answer must pass (else exit 7): a check of the profile, or re:, cmd:, json, has:, words:, "
            "tests:, judge: ... (docs/checks.md). Repeats.",
            autocompletion=complete_checks,
        ),
    ] = None,
    cascade: CascadeOption = False,
    plan: PlanOption = None,
    repair: RepairOption = False,
    hint: HintOption = False,
    use_hint: UseHintOption = None,
    max_cost: MaxCost = None,
    max_seconds: MaxSeconds = None,
    fast: FastOption = False,
    brief: BriefOption = False,
    private: PrivateOption = None,
    rephrase: Annotated[
        int | None,
        typer.Option(
            "--rephrase",
            metavar="N",
            min=2,
            max=9,
            help="Have the cheapest arm phrase it N ways; the one most likely to be answered right is asked.",
        ),
    ] = None,
    wtp: WtpOption = None,
    prefer: PreferOption = None,
    min_quality: MinQuality = None,
    local_only: LocalOnly = False,
    need: Needs = None,
    explain: Annotated[bool, typer.Option("-x", "--explain", help="Show on stderr how the arm was chosen.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide only; send nothing.")] = False,
    extract: ExtractOption = False,
    cache: Annotated[
        str | None,
        typer.Option("--cache", metavar="AGE", help="Take the very same question's answer up to this old (12h, 7d)."),
    ] = None,
    json: JsonOption = False,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Print the answer when it is complete.")] = False,
    no_log: Annotated[
        bool, typer.Option("--no-log", help="Keep no text or features of this request, only its money.")
    ] = False,
    offline: Offline = False,
    tag: TagOption = None,
    cap_override: Annotated[
        str | None,
        typer.Option(
            "--cap-override", metavar="USD", help="Pay up to this for this one call whatever the caps say; needs --yes."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Confirm --cap-override, and what guard.risky would ask about.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Nothing on stderr but errors and warnings.")] = False,
    seed: SeedOption = None,
) -> int:
    """Answer a prompt with the cheapest arm that will do the job.

    The answer goes to stdout, everything else to stderr. Of files (-f) and of text that is piped in, what the question
    needs is sent before it (docs/files.md); without a question they are the prompt.
    """
    from .asking import AskFlags, run_ask

    if memory is not None and not (cid or follow):
        raise UsageError("--memory is of a conversation: go on with one by -c or --cid")
    flags = AskFlags(
        words=tuple(prompt or ()),
        system=system,
        files=tuple(file or ()),
        attachments=tuple(attachment or ()),
        arm=arm,
        profile=profile,
        follow=cid or follow,
        memory=memory or Memory.AUTO,
        template=template,
        variables=tuple(variable or ()),
        options=typed(option, temperature, max_tokens),
        schema=schema,
        schema_multi=schema_multi,
        checks=tuple(check or ()),
        cascade=cascade,
        plan=plan,
        repair=repair,
        hint=hint,
        use_hint=use_hint,
        max_cost=max_cost,
        max_seconds=max_seconds,
        fast=fast,
        brief=brief,
        private=None if private is None else private.value,
        rephrase=rephrase,
        wtp=wtp,
        prefer=prefer,
        min_quality=min_quality,
        on_this_machine=local_only or offline,
        needs=tuple(need or ()),
        dry_run=dry_run,
        no_log=no_log,
        tag=tag,
        cap_override=cap_override,
        confirmed=yes,
        seed=seed,
        quiet=quiet,
        read=read.value,
        read_tokens=read_tokens,
        extract=extract,
        cache=cache,
    )
    if save is not None:
        from .templates import save_flags

        return save_flags(save, flags, alone={"--explain": explain, "--json": json, "--no-stream": no_stream})
    return run_ask(flags, explain=explain, as_json=json, stream=not no_stream)
