"""`scrimp guard`: how well the guards of a profile tell what they should."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted

from . import session
from .options import JsonOption, ProfileOption
from .parser import new_app
from .progress import on_embedded, one_thread
from .result import Column, Result, Table, emit

if TYPE_CHECKING:
    from scrimp.routing.learn.measuring.scope import ScopeReport

__all__ = ["app"]

_OUT: Final = "out of scope"
_MOST: Final = 6
"""With more domains than these a table of every pair says too much."""

app = new_app(
    "How well the guards of a profile tell what they should.",
    epilog="""\b
Examples:
  scrimp guard test held.jsonl                              the scope of the profile
  scrimp guard test held.jsonl --examples scope.jsonl --json
Rows of both files: {"prompt": "...", "domain": "billing"}, with null for a domain where out of scope.
""",
    group=True,
)


@app.callback()
def group() -> None:
    """How well the guards of a profile tell what they should."""


@app.command()
def test(
    held: Annotated[Path, typer.Argument(metavar="HELD", help="Prompts with their domains, held apart (JSON Lines).")],
    examples: Annotated[
        Path | None,
        typer.Option("--examples", metavar="FILE", help="Examples of the scope; the profile's own unless given."),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Measure the guard of scope on prompts that it has not seen. Sends nothing."""
    one_thread()
    from scrimp.routing.learn.measuring.scope import measure_scope

    loaded = session.load(profile, quiet=json)
    return emit(_result(measure_scope(held, examples, loaded.profile, paths(), on_embedded)), as_json=json)


def _result(report: ScopeReport) -> Result:
    within, without = _percent(report.in_scope_accuracy), _percent(report.out_of_scope_accuracy)
    mean = "-" if report.harmonic_mean is None else f"{report.harmonic_mean:.3f}"
    accepted, n_examples = _percent(report.accepted), f"{counted(report.n_examples, 'example')}"
    lines = (
        f"in scope: {within} of {report.n_in:,} accepted and for the right domain, {accepted} for any",
        f"out of scope: {without} of {report.n_out:,} told apart",
        f"harmonic mean {mean}; {report.ms_p50:.2f} ms a prompt beside its embedding, by {n_examples}",
    )
    return Result(data=report.to_json(), blocks=(_table(report), *lines), messages=report.notes)


def _table(report: ScopeReport) -> Table:
    """Return what prompts are taken for, by what they are about."""
    stated = sorted({domain for domain, _ in report.confusion if domain is not None})
    taken = sorted({domain for _, domain in report.confusion if domain is not None} | set(stated))
    rows = [*stated, *([None] if report.n_out else [])]
    if len(taken) <= _MOST:
        columns = [*taken, None]
        cells = [[_name(row), *(str(report.confusion.get((row, column), 0)) for column in columns)] for row in rows]
        titles = [Column("", narrow="whole"), *(Column(_name(column), "right") for column in columns)]
        return Table(tuple(titles), cells, title="what it is about, and what it is taken for")
    cells = []
    for row in rows:
        of = {column: n for (domain, column), n in report.confusion.items() if domain == row}
        others = {column: n for column, n in of.items() if column not in (row, None)}
        most = max(others, key=lambda column: others[column], default=None)
        right, refused = of.get(row, 0), 0 if row is None else of.get(None, 0)
        cells.append(
            [_name(row), str(sum(of.values())), str(right), str(sum(others.values())), str(refused), most or "-"]
        )
    titles = [
        Column("", narrow="whole"), Column("prompts", "right"), Column("right", "right"), Column("another", "right"),
        Column("refused", "right"), Column("most taken for", drop=1),
    ]  # fmt: skip
    return Table(tuple(titles), cells, title="what it is about, and what it is taken for")


def _name(domain: str | None) -> str:
    return _OUT if domain is None else domain


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
