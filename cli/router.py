"""`scrimp router`: versions of the router, what the gate said of each, and which one is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted
from scrimp.routing.text.moments import local_time, local_time_and_zone, with_zone

from . import session
from .complete import complete_versions
from .options import JsonOption, ProfileOption
from .parser import new_app
from .result import Column, Result, Table, emit

if TYPE_CHECKING:
    from .result import Block

__all__ = ["app"]

app = new_app(
    "Versions of the router, what the gate said of each, and which one is in force.",
    epilog="""\b
Examples:
  scrimp router list
  scrimp router show                  the one in force: card, verdict
  scrimp router diff shipped r0002    which past decisions differ
  scrimp router promote r0002
  scrimp router rollback              back to the one before
""",
    group=True,
)

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[VERSION]",
        help="A version's name; the one in force unless given.",
        autocompletion=complete_versions,
    ),
]


@app.command("list")
def list_(json: JsonOption = False) -> int:
    """List the versions, oldest first."""
    from scrimp.routing.reports.routers import router_versions

    rows = router_versions(paths().routers)
    listed = [{key: value for key, value in row.items() if key != "reasons"} for row in rows]
    table = Table(
        (
            Column("version"),
            Column(with_zone("made", (each["at"] for each in rows))),
            Column("profile"),
            Column("labels", "right"),
            Column("verdict"),
            Column(""),
        ),
        [
            (
                ("> " if each["current"] else "  ") + each["name"],
                local_time(each["at"]),
                str(each["profile"] or "-"),
                "-" if each["n_labels"] is None else f"{each['n_labels']:,}",
                _word(each),
                each["problem"] or (each["reasons"] or [""])[0],
            )
            for each in rows
        ],
    )
    return emit(Result(data={"schema_version": 1, "versions": listed}, blocks=(table,)), as_json=json)


def _word(verdict: Any) -> str:
    word = str(verdict.get("verdict") or "-")
    return "FORCED" if verdict.get("forced") else word


@app.command()
def show(version: Name = None, json: JsonOption = False) -> int:
    """Show a version's card and verdict."""
    from scrimp.routing.reports.routers import router_version

    data = router_version(paths().routers, version)
    card, verdict = data["card"], data["verdict"]
    blocks: list[Block] = [f"{data['name']}{', in force' if data['current'] else ''}"]
    if data["problem"]:
        blocks.append(f"it cannot be used: {data['problem']}")
    if card:
        blocks.append(
            f"weights: {counted(card.get('n_prompts', 0), 'prompt')}, {counted(card.get('n_outcomes', 0), 'outcome')}, "
            f"embedder {card.get('embedder_id')}"
        )
    layers = card.get("layers") or {}
    if layers:
        blocks.append(
            Table(
                (
                    Column("arm or model"),
                    Column("outcomes", "right"),
                    Column("quality is"),
                    Column("shift sd", "right"),
                ),
                [
                    (key, f"{layer['n_outcomes']:,}", "calibrated" if layer["calibrated"] else "prior",
                     f"{layer['shift_sd']:.2f}")
                    for key, layer in layers.items()
                ],
                title="learnt from your outcomes",
            )
        )  # fmt: skip
    if verdict:
        from .certificate import certificate_blocks
        from .refit import values_table

        blocks.append(f"verdict ({local_time_and_zone(verdict.get('at', '-'))}): {_word(verdict)}")
        blocks += [f"  {reason}" for reason in verdict.get("reasons", [])]
        if (verdict.get("judgement") or {}).get("values"):
            blocks.append(values_table(verdict["judgement"]))
        if verdict.get("certificate"):
            blocks += certificate_blocks(verdict["certificate"])
    for event in data["history"]:
        when = local_time_and_zone(event["at"])
        blocks.append(f"{when}: {event['action']} (before: {event['previous']})")
    return emit(Result(data=data, blocks=tuple(blocks)), as_json=json)


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="VERSION", autocompletion=complete_versions)],
    second: Annotated[
        str | None,
        typer.Argument(metavar="[VERSION]", help="The one in force unless given.", autocompletion=complete_versions),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Show how two versions would decide the prompts of the log."""
    from scrimp.routing.learn.measuring.replay import difference

    loaded = session.load(profile)
    data = difference(session.ledger_to_read(), session.make_decider(loaded.profile), paths().routers, first, second)
    other = data["second"]
    table = Table(
        (Column("arm"), Column(first, "right"), Column(other, "right")),
        [(name, f"{a:.1%}", f"{b:.1%}") for name, a, b in data["shares"]],
        title="share of the log's prompts",
    )
    blocks: tuple[str | Table, ...] = (
        f"{data['n_changed']:,} of {counted(data['n'], 'decision')} differ between {first} and {other}",
        *((table,) if data["n"] else ()),
        *(f"  {move['n']:,} from {move['from']} to {move['to']}" for move in data["moves"]),
    )
    return emit(Result(data=data, blocks=blocks), as_json=json)


@app.command()
def promote(
    version: Annotated[str, typer.Argument(metavar="VERSION", autocompletion=complete_versions)],
    json: JsonOption = False,
) -> int:
    """Put a version in force, whatever its verdict; `shipped` is one too."""
    from scrimp.routing.learn.judging.by_hand import promote as put

    before = put(paths().routers, version)
    data = {"schema_version": 1, "version": version, "previous": before}
    return emit(Result(data=data, messages=(f"router {version} is in force (before: {before})",)), as_json=json)


@app.command()
def rollback(json: JsonOption = False) -> int:
    """Go back to the version that was in force before this one."""
    from scrimp.routing.learn.judging.by_hand import rollback as back

    left, now = back(paths().routers)
    data = {"schema_version": 1, "version": now, "previous": left}
    return emit(Result(data=data, messages=(f"router {now} is in force again (was: {left})",)), as_json=json)
