"""`scrimp doctor`: what works here, and what to do about what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scrimp.profiles.errors import ExitCode
from scrimp.profiles.paths import paths

from . import session
from .options import JsonOption, ProfileOption
from .parser import new_app
from .result import Column, Result, Table, emit, say

__all__ = ["app", "doctor"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp doctor
  scrimp doctor --fetch BAAI/bge-small-en-v1.5    download another embedder (needs the network)
  scrimp doctor --full                            all of a ledger above 100 MB, which is else looked at in parts
  scrimp doctor --backup ledger.db                a consistent copy of the ledger, while it is in use
"""


@app.command(epilog=EPILOG)
def doctor(
    profile: ProfileOption = None,
    fetch: Annotated[
        str | None, typer.Option("--fetch", metavar="MODEL", help="Download an embedding model by fastembed's name.")
    ] = None,
    backup: Annotated[
        str | None, typer.Option("--backup", metavar="FILE", help="Copy the ledger to a new file.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Look at all of a large ledger, not at the next part of it.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Check everything that scrimp stands on, and say what to do about what does not work. Nothing is sent.

    Exit 1 when the profile in force cannot answer; 0 otherwise.
    """
    if fetch is not None:
        say(f"{fetch} is in {session.home().fetch_embedder(fetch)}")
        return 0
    from scrimp.routing.reports.health import Examination, back_up_ledger

    from .resident import health as resident_health

    if backup is not None:
        back_up_ledger(session.ledger_to_read(), Path(backup))
        say(f"copied the ledger to {backup}")
        return 0
    look = Examination(
        paths(),
        session.keys(),
        lambda: session.load(profile, quiet=True),
        session.price_table,
        session.ledger_to_read,
        whole=full,
    )
    findings = [*look.findings(), resident_health.look()]
    stopped = any(finding.stops for finding in findings)
    healthy = all(finding.state != "problem" for finding in findings)
    data = {
        "schema_version": 1,
        "ok": healthy,
        "can_answer": not stopped,
        "findings": [each.to_dict() for each in findings],
    }
    table = Table(
        (Column("what"), Column("state"), Column("detail"), Column("what to do", narrow="below")),
        [(each.what, each.state, each.detail, each.fix or "-") for each in findings],
    )
    return emit(
        Result(data=data, blocks=(table,), exit_code=ExitCode.UNEXPECTED if stopped else ExitCode.OK), as_json=json
    )
