"""`scrimp batch`: a file of prompts, one budget, nothing lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.system import needs_posix

from .batch_elsewhere import target_of
from .batch_flags import BatchFlags
from .batch_runs import cancel_run, list_runs, show_run
from .batch_waiting import show_waiting
from .batching import collect_runs, run_batch
from .complete import among, complete_checks, complete_runs
from .options import (
    ArmOption,
    BriefOption,
    CascadeOption,
    FileOption,
    HintOption,
    JsonOption,
    LocalOnly,
    MaxSpend,
    MaxTokens,
    Needs,
    Offline,
    PlanOption,
    PreferOption,
    PrivateOption,
    ProfileOption,
    Reading,
    RepairOption,
    SeedOption,
    TagOption,
    Temperature,
    UseHintOption,
    WtpOption,
)
from .parser import new_app

__all__ = ["app", "batch"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp batch prompts.jsonl -o answers.jsonl --dry-run        what it would cost; sends nothing
  scrimp batch prompts.jsonl -o answers.jsonl --max-cost 2     the most quality that $2 buys
  scrimp batch questions.txt -o - | jq -r .answer              answers as they come, in order
  scrimp batch mails.csv -o out.csv -t "Sort this mail: {{body}}" --check re:^(work|home)$
  scrimp batch questions.txt -f 10k.txt -o out.jsonl           every line is a question about one file
  scrimp batch prompts.jsonl -o answers.jsonl --deadline 24h   half price where a provider's Batch API may take its time
  scrimp batch s3://lake/rows.parquet -o s3://lake/out.parquet --on ray --workers 8
  scrimp batch collect                                         fetch what providers' batches have done
  scrimp batch --resume                                        go on after a crash or Ctrl-C
  scrimp batch --resume --retry-unknown --retry-errors
  scrimp batch list; scrimp batch show ID; scrimp batch status ID; scrimp batch cancel ID
\b
Write ./list for a file that is called list (likewise show, cancel, status and collect).
"""


@app.command(epilog=EPILOG)
def batch(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT | list | show [ID|last] | cancel ID|last | status [ID|last] | collect [ID|last]",
            help="JSON Lines (prompt, messages, or OpenAI's Batch shape), CSV, TSV, plain lines; also .gz; - is stdin.",
            autocompletion=complete_runs,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE|-",
            help="Where the answers go (.gz is compressed); - is standard output, as they come.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost and bring; send nothing.")] = False,
    profile: ProfileOption = None,
    arm: ArmOption = None,
    max_cost: MaxSpend = None,
    min_quality: Annotated[
        float | None,
        typer.Option(
            "--min-quality",
            metavar="0..1",
            min=0.0,
            max=1.0,
            help="Reach this predicted quality on average, at the least cost.",
        ),
    ] = None,
    wtp: WtpOption = None,
    prefer: PreferOption = None,
    system: Annotated[
        str | None, typer.Option("-s", "--system", metavar="TEXT", help="System prompt for rows that have none.")
    ] = None,
    format: Annotated[  # noqa: A002 - the flag's own word
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="jsonl, csv, tsv or lines; else told by name or content.",
            autocompletion=among("jsonl", "csv", "tsv", "lines"),
        ),
    ] = None,
    file: FileOption = None,
    file_column: Annotated[
        str | None,
        typer.Option(
            "--file-column", metavar="NAME", help="The column, or key, that names the files of a row (else `file`)."
        ),
    ] = None,
    read: Annotated[
        Reading | None, typer.Option("--read", help="How much of files is sent (auto: what is worth most).")
    ] = None,
    read_tokens: Annotated[
        int | None,
        typer.Option("--read-tokens", metavar="N", min=100, max=1_000_000, help="The most tokens of passages."),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", metavar="NAME", help="The column, or key, that holds the prompt.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "-t", "--template", metavar="TEXT|FILE", help="Make the prompt from columns: {{name}} stands for one."
        ),
    ] = None,
    var: Annotated[
        list[str] | None,
        typer.Option("-v", "--var", metavar="NAME=VALUE", help="What stands for {{NAME}} in prompts. Repeats."),
    ] = None,
    schema: Annotated[
        str | None, typer.Option("--schema", metavar="FILE|JSON", help="Every answer must satisfy this JSON Schema.")
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(
            "--check",
            metavar="NAME|KIND:ARG",
            help="Every answer must pass: a check's name, re:PATTERN, judge:ARM ... (docs/checks.md). Repeats.",
            autocompletion=complete_checks,
        ),
    ] = None,
    cascade: CascadeOption = False,
    plan: PlanOption = None,
    repair: RepairOption = False,
    hint: HintOption = False,
    use_hint: UseHintOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "-j",
            "--jobs",
            metavar="N",
            min=1,
            max=1024,
            help="Calls in flight on each arm (8; an arm may allow fewer).",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            max=256,
            help="Processes beside this one that decide rows and make their calls (none).",
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="ray",
            help="Workers on a Ray cluster; input and output may be Parquet, folders and URLs (docs/ray.md).",
            autocompletion=among("ray"),
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDRESS",
            help="The cluster's HOST:PORT, auto, or local (the one that is found; else one is started here).",
            autocompletion=among("auto", "local"),
        ),
    ] = None,
    lane: Annotated[
        str | None,
        typer.Option(
            "--lane",
            metavar="LANE",
            help="sync: at once; batch: through providers' Batch APIs, at half price; auto: that where the deadline "
            "allows (sync; with --deadline auto).",
            autocompletion=among("sync", "batch", "auto"),
        ),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(
            "--deadline", metavar="TIME", help="When all answers are wanted (90s, 24h): later, nothing is sent."
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave the run as soon as all is with providers; collect it later.")
    ] = False,
    max_errors: Annotated[
        int | None, typer.Option("--max-errors", metavar="N", min=1, help="Stop after this many failed rows.")
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option("--cache", metavar="AGE", help="Cache answers, and use those up to this old (12h, 7d)."),
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be read.")] = False,
    unordered: Annotated[bool, typer.Option("--unordered", help="Write answers in the order they came in.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output, and abandon its unfinished run.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the last run, or the one named (an ID, or by -o its output).")
    ] = False,
    retry_unknown: Annotated[
        bool,
        typer.Option("--retry-unknown", help="With --resume: ask again what may have been answered and paid for."),
    ] = False,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="With --resume: ask failed and skipped rows again.")
    ] = False,
    retry_cut: Annotated[
        bool,
        typer.Option(
            "--retry-cut", help="With --resume: ask rows again whose answer was cut; raise max_output_tokens first."
        ),
    ] = False,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    brief: BriefOption = False,
    private: PrivateOption = None,
    local_only: LocalOnly = False,
    offline: Offline = False,
    need: Needs = None,
    tag: TagOption = None,
    no_log: Annotated[bool, typer.Option("--no-log", help="Log the money only, no text.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask before an expensive run.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no summary.")] = False,
    json: JsonOption = False,
    seed: SeedOption = None,
) -> int:
    """Answer a file of prompts under one budget; kill it at any point, and --resume finishes it."""
    needs_posix("batch")
    words = words or []
    if words and words[0] in ("status", "collect"):
        return _about_waiting(words, profile=profile, quiet=quiet, as_json=json)
    if words and words[0] in ("list", "show", "cancel"):
        return _about_runs(words, as_json=json)
    if len(words) > 1:
        raise UsageError(f"one input at a time, not {len(words)}", hint="Put their rows in one file.")
    flags = BatchFlags(
        input=words[0] if words else None,
        output=None if output is None else Path(output),
        target=target_of(output),
        profile=profile,
        arm=arm,
        max_cost=max_cost,
        min_quality=min_quality,
        wtp=wtp,
        prefer=prefer,
        system=system,
        format=format,
        column=column,
        template=template,
        schema=schema,
        check=tuple(check or ()),
        cascade=cascade,
        plan=plan,
        repair=repair,
        hint=hint,
        use_hint=use_hint,
        jobs=jobs,
        workers=workers,
        on=on,
        address=address,
        lane=lane,
        deadline=deadline,
        detach=detach,
        max_errors=max_errors,
        cache=cache,
        skip_bad=skip_bad,
        unordered=unordered,
        brief=brief,
        temperature=temperature,
        max_tokens=max_tokens,
        on_this_machine=local_only or offline,
        need=tuple(need or ()),
        tag=tag,
        no_log=no_log,
        seed=seed,
        file=tuple(map(str, file or ())),
        file_column=file_column,
        read=None if read is None else read.value,
        read_tokens=read_tokens,
        private=None if private is None else private.value,
        var=tuple(var or ()),
    )
    return run_batch(
        flags,
        estimate_only=dry_run,
        overwrite=overwrite,
        resume=resume,
        retry_unknown=retry_unknown,
        retry_errors=retry_errors,
        retry_cut=retry_cut,
        confirmed=yes,
        quiet=quiet,
        as_json=json,
    )


def _about_runs(words: list[str], *, as_json: bool) -> int:
    if words[0] == "list":
        if len(words) > 1:
            raise UsageError("`scrimp batch list` takes no argument")
        return list_runs(as_json=as_json)
    if len(words) > 2 or words == ["cancel"]:
        raise UsageError(
            f"which run? `scrimp batch {words[0]} ID`, or `last`", hint="`scrimp batch list` shows the runs."
        )
    return (show_run if words[0] == "show" else cancel_run)(words[1] if len(words) == 2 else "last", as_json=as_json)


def _about_waiting(words: list[str], *, profile: str | None, quiet: bool, as_json: bool) -> int:
    if len(words) > 2:
        raise UsageError(f"`scrimp batch {words[0]}` takes one run, or none for all that wait")
    which = words[1] if len(words) == 2 else None
    if words[0] == "status":
        return show_waiting(which, profile=profile, as_json=as_json)
    return collect_runs(which, profile=profile, quiet=quiet, as_json=as_json)
