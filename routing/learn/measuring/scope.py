"""How well a guard of scope tells what is asked here from all else, on prompts that were held apart."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.schema import did_you_mean
from scrimp.routing.guard.examples import read_examples
from scrimp.routing.guard.scope import scope_of
from scrimp.routing.guard.telling import telling
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.vector_cache import VectorCache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scrimp.profiles.paths import Paths
    from scrimp.profiles.schema import Profile
    from scrimp.routing.guard.examples import Examples
    from scrimp.routing.guard.nearest import Nearest
    from scrimp.routing.prompts.context import TextEmbedder

__all__ = ["ScopeReport", "judge_scope", "measure_scope"]

_TIMED: Final = 1_000
"""Prompts that are timed, each by itself; the middle of so many does not move."""


@dataclass(frozen=True, slots=True)
class ScopeReport:
    """What a guard of scope makes of prompts that were held apart.

    Attributes
    ----------
    confusion
        Prompts by (what they are about, what they are taken for); None is out of scope.
    ms_p50
        Median milliseconds that the guard takes for a prompt, once that is embedded.
    threshold
        In logits: the score from which on a prompt is taken to be in scope.
    n_examples
        What the guard has to go by.
    notes
        What may have gone wrong with the files.
    """

    confusion: Mapping[tuple[str | None, str | None], int]
    ms_p50: float
    threshold: float
    n_examples: int
    notes: tuple[str, ...] = ()

    @property
    def n_in(self) -> int:
        """How many prompts are in scope."""
        return sum(n for (domain, _), n in self.confusion.items() if domain is not None)

    @property
    def n_out(self) -> int:
        """How many are out of scope."""
        return sum(n for (domain, _), n in self.confusion.items() if domain is None)

    @property
    def accepted(self) -> float | None:
        """The share of the prompts in scope that are taken to be, whatever the domain; None where there are none."""
        return _share(self.confusion, self.n_in, lambda domain, taken: domain is not None and taken is not None)

    @property
    def in_scope_accuracy(self) -> float | None:
        """The share of the prompts in scope that are taken to be, and for the right domain; None: there are none."""
        return _share(self.confusion, self.n_in, lambda domain, taken: domain is not None and taken == domain)

    @property
    def out_of_scope_accuracy(self) -> float | None:
        """The share of the prompts out of scope that are taken to be; None where there are none."""
        return _share(self.confusion, self.n_out, lambda domain, taken: domain is None and taken is None)

    @property
    def harmonic_mean(self) -> float | None:
        """Of both accuracies; None where one of them is not known."""
        within, without = self.in_scope_accuracy, self.out_of_scope_accuracy
        if within is None or without is None:
            return None
        return 0.0 if within + without == 0.0 else 2.0 * within * without / (within + without)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        rows = sorted(self.confusion.items(), key=lambda row: tuple((each is None, each or "") for each in row[0]))
        return {
            "schema_version": 1,
            "in_scope_accuracy": self.in_scope_accuracy,
            "out_of_scope_accuracy": self.out_of_scope_accuracy,
            "harmonic_mean": self.harmonic_mean,
            "accepted": self.accepted,
            "ms_p50": self.ms_p50,
            "n_in": self.n_in,
            "n_out": self.n_out,
            "n_examples": self.n_examples,
            "threshold": self.threshold,
            "confusion": [{"domain": domain, "taken_for": taken, "n": n} for (domain, taken), n in rows],
            "notes": list(self.notes),
        }


def measure_scope(
    held: Path,
    examples: Path | None,
    profile: Profile,
    paths: Paths,
    on_embedded: Callable[[int, int], None] = lambda _done, _total: None,
) -> ScopeReport:
    """Measure a guard of scope on a file of prompts: rows {"prompt", "domain"}, the domain null where out of scope.

    Parameters
    ----------
    examples
        The file of examples; None takes that of the profile's own guard.

    Raises
    ------
    UsageError
        If there are no examples to go by.
    DataError
        If one of the files is malformed.
    """
    stated = profile.guard.scope
    if examples is None and stated is None:
        raise UsageError(
            f"profile {profile.name} has no [guard.scope] to test",
            hint="Name a file of examples: scrimp guard test HELD.jsonl --examples SCOPE.jsonl",
        )
    path = examples if examples is not None or stated is None else Path(stated.examples)
    assert path is not None  # noqa: S101 - one of the two is there
    rows = read_examples(held)
    embedder = Embedder(profile.embedding.model, cache_dir=paths.cache)
    embedder.load()
    with telling(on_embedded):
        nearest = scope_of(path, embedder, paths.cache)
    return judge_scope(
        nearest, rows, VectorCache(embedder, paths.vectors, on_embedded), notes=_notes(rows, read_examples(path))
    )


def judge_scope(nearest: Nearest, rows: Examples, embedder: TextEmbedder, *, notes: Sequence[str] = ()) -> ScopeReport:
    """Return what a guard that is fitted makes of prompts; each is embedded once."""
    vectors = embedder.embed(rows.prompts)
    found = nearest.of(vectors)
    taken = [
        nearest.names[domain] if score >= nearest.threshold else None
        for domain, score in zip(found.domain.tolist(), found.score.tolist(), strict=True)
    ]
    took = []
    for vector in vectors[:_TIMED]:
        start = time.perf_counter()
        nearest.one(vector)
        took.append(time.perf_counter() - start)
    return ScopeReport(
        Counter(zip(rows.domains, taken, strict=True)),
        1000.0 * statistics.median(took),
        nearest.threshold,
        len(nearest.rows),
        tuple(notes),
    )


def _notes(rows: Examples, examples: Examples) -> list[str]:
    known = {domain for domain in examples.domains if domain is not None}
    unknown = sorted({domain for domain in rows.domains if domain is not None} - known)
    found = [
        f"no example has the domain {domain!r}{did_you_mean(domain, known)}: none of its rows can be right"
        for domain in unknown
    ]
    if twice := len(set(rows.once().prompts) & set(examples.once().prompts)):
        found.append(f"{twice:,} of these prompts are among the examples: what is measured on them is too good")
    return found


def _share(
    confusion: Mapping[tuple[str | None, str | None], int], n: int, counts: Callable[[str | None, str | None], bool]
) -> float | None:
    return None if n == 0 else sum(each for pair, each in confusion.items() if counts(*pair)) / n
