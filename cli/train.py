"""`scrimp train`: from outcome files to a router version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.paths import paths

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
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder of the new version.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws folds and landmarks.")] = 0,
    json: JsonOption = False,
) -> int:
    """Learn a router from outcomes: heads, calibration, output lengths, and what is usual for a prompt."""
    from datetime import UTC, datetime

    one_thread()
    from scrimp.routing.learn.data.outcomes import read_outcomes
    from scrimp.routing.learn.fitting.train import train as learn
    from scrimp.routing.prompts.embedding import Embedder
    from scrimp.routing.prompts.vector_cache import VectorCache
    from scrimp.routing.router.folder import write_router

    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise UsageError(f"{out} is there already and not empty", hint="name a new folder with -o")
    embedder = Embedder(cache_dir=paths().cache)
    about = {"date": datetime.now(tz=UTC).date().isoformat(), "data": [{"name": path.name} for path in outcomes]}
    embed = VectorCache(embedder, paths().vectors, on_embedded).embed
    router = learn(read_outcomes(outcomes), embed, embedder.id, version=out.resolve().name, seed=seed, about=about)
    write_router(router, out)
    rows = router.card["held_out_rows"]
    text = (
        f"{out}: learnt from {router.card['n_outcomes']:,} outcomes of {len(router.models)} models on "
        f"{router.card['n_prompts']:,} prompts. On rows held out: calibration error {rows['ece']:.3f}, "
        f"Brier score {rows['brier']:.3f}."
    )
    data = {"schema_version": 1, "folder": str(out), "version": router.version, **router.card}
    return emit(Result(data=data, blocks=(text,)), as_json=json)
