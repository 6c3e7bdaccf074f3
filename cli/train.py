"""`scrimp train`: from outcome files to a router version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted

from .options import JsonOption
from .parser import new_app
from .progress import on_embedded, one_thread
from .result import Result, emit

__all__ = ["app"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp train mine.jsonl more.jsonl.gz -o routers/mine
  scrimp eval held-out.jsonl --router mine
"""


@app.command(epilog=EPILOG)
def train(
    outcomes: Annotated[list[Path], typer.Argument(metavar="OUTCOMES...", help="Outcome files (JSON Lines, .gz too).")],
    out: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder of the new version.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws folds and landmarks.")] = 0,
    json: JsonOption = False,
) -> int:
    """Learn a router from outcomes: heads, calibration, output lengths, and what is usual for a prompt."""
    one_thread()
    from scrimp.routing.learn.measuring.laboratory import Laboratory

    router = Laboratory(paths(), on_embedded).train(outcomes, out, seed=seed)
    rows = router.card["held_out_rows"]
    held_out = (
        "No model has outcomes of three sources or more: none has a head of its own, all share one view."
        if rows["ece"] is None
        else f"On rows held out: calibration error {rows['ece']:.3f}, Brier score {rows['brier']:.3f}."
    )
    text = (
        f"{out}: learnt from {counted(router.card['n_outcomes'], 'outcome')} of "
        f"{counted(len(router.models), 'model')} on "
        f"{counted(router.card['n_prompts'], 'prompt')}, and from {router.card['n_judged']:,} judged ones. {held_out}"
    )
    data = {"schema_version": 1, "folder": str(out), "version": router.version, **router.card}
    return emit(Result(data=data, blocks=(text,)), as_json=json)
