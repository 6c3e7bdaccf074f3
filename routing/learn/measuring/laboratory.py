"""Routers measured on files of outcomes, as `eval` asks for it, and routers learnt from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scrimp.profiles.errors import UsageError
from scrimp.routing.deciding.decide import Decider
from scrimp.routing.learn.data.judged import read_judged
from scrimp.routing.learn.data.outcomes import read_outcomes
from scrimp.routing.learn.fitting.train import train
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.vector_cache import VectorCache
from scrimp.routing.router.ability_files import load_table
from scrimp.routing.router.folder import write_router
from scrimp.routing.router.in_force import SHIPPED, load_router
from scrimp.routing.router.learned import LearnedRouter

from .evaluate import BASELINES, evaluate
from .evaluate_cascade import evaluate_cascade
from .everyday import evaluate_judged
from .results import mean_report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scrimp.profiles.paths import Paths
    from scrimp.profiles.schema import Profile
    from scrimp.routing.learn.data.outcomes import Outcomes
    from scrimp.routing.prices.table import PriceTable

    from .evaluate_cascade import CascadeReport
    from .everyday import JudgedReport
    from .results import EvalReport

__all__ = ["Laboratory"]


@dataclass(frozen=True, slots=True)
class Laboratory:
    """Works on files of outcomes, remembering the embeddings of prompts.

    Attributes
    ----------
    on_embedded
        Told how many new prompts are embedded, and of how many.
    """

    paths: Paths
    on_embedded: Callable[[int, int], None]

    def evaluate(
        self,
        files: Sequence[Path],
        routers: Sequence[str] | None,
        *,
        fit: int | Outcomes | None,
        strong: str | None,
        weak: str | None,
        seeds: range,
    ) -> EvalReport:
        """Measure routers beside single models and baselines; means over the seeds, where there are several.

        Parameters
        ----------
        routers
            Versions and baselines by name; None measures the shipped one beside every baseline.
        fit
            How many random rows to learn on, or the outcomes to learn on.

        Raises
        ------
        UsageError
            If a router has no weights to measure.
        """
        embedder = Embedder(cache_dir=self.paths.cache)
        asked = [name for name in dict.fromkeys(routers or [SHIPPED]) if name not in (*BASELINES, "random")]
        versions = {name: self._version(name, embedder.id) for name in asked or [SHIPPED]}
        (first, base), *rest = versions.items()
        rows, embed = read_outcomes(files), self._cache(embedder).embed
        embed(rows.prompts)  # all at once, before they are split
        reports = [
            evaluate(rows, base, embed, name=first, others=dict(rest), fit=fit, strong=strong, weak=weak, seed=seed)
            for seed in seeds
        ]
        return reports[0] if len(reports) == 1 else mean_report(reports)

    def evaluate_judged(
        self, files: Sequence[Path], profile: Profile, router: str | None, prices: PriceTable, *, seed: int
    ) -> JudgedReport:
        """Measure what a profile's router predicts and decides on judged prompts; None: the router in force.

        Raises
        ------
        DataError
            If a file is not one of judged prompts, or there are too few.
        """
        embedder = Embedder(profile.embedding.model, cache_dir=self.paths.cache)
        version = load_router(router, self.paths.routers, embedder_id=embedder.id)
        rows = read_judged(files)
        decider = Decider(profile, prices, version, self._cache(embedder), load_table(self.paths.abilities))
        return evaluate_judged(rows, decider, seed=seed)

    def _version(self, name: str, embedder_id: str) -> LearnedRouter:
        router = load_router(name, self.paths.routers, embedder_id=embedder_id)
        if not isinstance(router, LearnedRouter):
            raise UsageError(f"the router {name} has no weights to measure", hint=router.note)
        return router

    def _cache(self, embedder: Embedder) -> VectorCache:
        return VectorCache(embedder, self.paths.vectors, self.on_embedded)

    def evaluate_cascade(self, files: Sequence[Path], *, fit: int | Outcomes | None, seed: int) -> CascadeReport:
        """Measure plans of several models beside one-arm routing, single models and random mixes."""
        embed = self._cache(Embedder(cache_dir=self.paths.cache)).embed
        return evaluate_cascade(read_outcomes(files), embed, fit=fit, seed=seed)

    def train(self, files: Sequence[Path], out: Path, *, seed: int) -> LearnedRouter:
        """Learn a router from outcomes, and write it to a new folder.

        Raises
        ------
        UsageError
            If the folder is there already, and not empty.
        """
        if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
            raise UsageError(f"{out} is there already and not empty", hint="name a new folder with -o")
        embedder = Embedder(cache_dir=self.paths.cache)
        about = {"date": datetime.now(tz=UTC).date().isoformat(), "data": [{"name": path.name} for path in files]}
        embed = self._cache(embedder).embed
        router = train(read_outcomes(files), embed, embedder.id, version=out.resolve().name, seed=seed, about=about)
        write_router(router, out)
        return router
