"""Decisions for many rows: embedded together, predicted together, each explained like any other."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from scrimp.routing.asking.guarding import guarded, risked, shielded
from scrimp.routing.asking.request import Ask
from scrimp.routing.batch.files.rows import content_key, sealed
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.guard.sentry import Sentry
from scrimp.routing.ledger.store import new_id

from .lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.profiles.errors import ScrimpError
    from scrimp.routing.asking.hinting import Drawn, Hinter
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.batch.files.shelf import Shelf
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.prompts.context import Context
    from scrimp.routing.prompts.prompt import Prompt

    from .money import Money
    from .row_files import RowReader

__all__ = ["Chooser", "Decided", "NoEmbedder", "blind_decider"]

_WINDOW_BYTES: Final = 16 * 1024 * 1024
_CHUNK: Final = 64


@dataclass(frozen=True, slots=True)
class Decided:
    """A row's decision, and what it was made on.

    Attributes
    ----------
    context
        The prompt's features; None where nothing was embedded.
    row
        The row, with what the guards say of it.
    prompt, hint
        Its prompt with what each reading of its files sends, the hint in front where one was put there, and what
        the log keeps of that.
    """

    decision: Decision
    context: Context | None
    row: Row
    prompt: Prompt
    hint: Drawn | None = None


class NoEmbedder:
    """Stands in for the embedder where there is nothing to choose: vectors without a dimension."""

    id = ""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return `(n_texts, 0) float32`."""
        import numpy as np

        return np.zeros((len(texts), 0), dtype=np.float32)


def blind_decider(decider: Decider) -> Decider:
    """Return a decider that embeds nothing, for an arm asked for by name: lengths are estimated from the text alone."""
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.router.tier_prior import TierPrior

    return Decider(decider.profile, decider.table, TierPrior(), NoEmbedder()).with_experience_of(decider)


class Chooser:
    """Decides rows.

    Parameters
    ----------
    decider
        How to decide. With one arm to take (`wishes.arm`, or a profile of one) nothing is embedded.
    keyless
        Arms that cannot be called, and why.
    hinter
        Puts hints in front of prompts; None puts none.
    run_id
        The run's: a row's coin falls alike whenever it is flipped.
    shelf, reader
        Where the files of rows are read, and what says how much of them is sent; None: rows have none.
    sentry, tag
        The profile's guards, and the user's word for the run, which they know.
    lanes
        Which rows are asked at the price of Batch APIs; None: none is.

    Attributes
    ----------
    kept
        Contexts of rows that were embedded for the plan, by place; taken from here when their turn comes.
    """

    def __init__(
        self,
        decider: Decider,
        wishes: Wishes,
        *,
        keyless: Mapping[str, ScrimpError],
        hinter: Hinter | None = None,
        run_id: str = "",
        shelf: Shelf | None = None,
        reader: RowReader | None = None,
        sentry: Sentry | None = None,
        tag: str | None = None,
        lanes: Lanes | None = None,
    ) -> None:
        self.lanes = lanes or Lanes()
        self.sentry = sentry or Sentry()
        self.tag = tag
        seen = reader is not None or self.sentry.embeds
        self.blind = (wishes.arm is not None or len(decider.profile.arms) == 1) and not seen
        self.decider = blind_decider(decider) if self.blind else decider
        self.keyless = keyless
        self.hinter = hinter
        self.run_id = run_id
        self.shelf = shelf
        self.reader = reader
        self.kept: dict[int, Context] = {}

    def read(self, rows: Iterator[Row], n: int) -> list[Row]:
        """Return the next rows, with the texts of their files: up to `n`, or up to 16 MB of text."""
        window: list[Row] = []
        files: dict[str, int] = {}
        size = 0
        for bare in rows:
            row = self.shielded(bare)
            window.append(row)
            new = {source.sha256: len(source.text) for source in row.prompt.sources if source.sha256 not in files}
            files |= new
            size += len(row.prompt.text) + sum(new.values())
            if len(window) >= n or size >= _WINDOW_BYTES:
                break
        return window

    def shielded(self, bare: Row) -> Row:
        """Return a row with the texts of its files, and what is private in it replaced before anything else reads it.

        That goes for its id and its cells, too, which are written down until the output has them.
        """
        row = bare if self.shelf is None else self.shelf.fill(bare)
        if self.decider.profile.guard.private == "off":
            return row
        ask = shielded(self._ask(row, Wishes()), self.decider.profile)
        given, vault = content_key(row), ask.vault
        row = replace(
            row,
            prompt=ask.prompt,
            params=ask.params,
            response_format=ask.response_format,
            guarded=ask.wishes.guarded,
            vault=vault,
            given=given,
        )
        if vault is None:
            return row
        cells = None if row.cells is None else tuple(map(vault.redacted, row.cells))
        row = replace(row, cells=cells, id=vault.redacted(row.id) if isinstance(row.id, str) else row.id)
        return replace(row, sealed=sealed(row))

    @staticmethod
    def wishes_of(row: Row, wishes: Wishes) -> Wishes:
        """Return what is wanted of the arms for one row."""
        return replace(wishes, guarded=row.guarded, arm=row.arm or wishes.arm)

    def guarded(self, row: Row, context: Context | None, wishes: Wishes) -> Row:
        """Return a row with what the guards say of it."""
        if not self.sentry.watches:
            return row
        ask = guarded(self._ask(row, self.wishes_of(row, wishes)), context, self.sentry)
        return replace(row, guarded=ask.wishes.guarded)

    def again(self, row: Row, wishes: Wishes) -> Row:
        """Return a row that was decided before with what the guards say of it now."""
        return self.guarded(row, self._contexts([row])[0] if self.sentry.embeds else None, wishes)

    def _ask(self, row: Row, wishes: Wishes) -> Ask:
        return Ask(
            row.prompt, wishes, command="batch", tag=self.tag, params=row.params, response_format=row.response_format,
            vault=row.vault,
        )  # fmt: skip

    def decide(
        self, rows: Sequence[Row], wishes: Wishes, money: Money, *, rng: random.Random, now: float
    ) -> list[Decided]:
        """Decide rows, embedding them in chunks."""
        decided = []
        blocked = {**self.lanes.barred, **money.blocked}
        blocked |= {name: error.message for name, error in self.keyless.items()}
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            contexts = self._contexts(chunk)
            predictions = self.decider.predict(contexts)
            for i, (bare, context) in enumerate(zip(chunk, contexts, strict=True)):
                row = self.guarded(bare, None if self.blind else context, wishes)
                prompt, hint = self._hinted(row, context)
                if self.reader is not None:
                    prompt = self.reader.read(prompt, context, row.plan or row.arm)
                decider = self.decider if self.blind else self.decider.rated(row.prompt.text, context)
                decider = decider.at_prices(self.lanes.prices(row, now))
                decide = partial(
                    decider.decide,
                    prompt,
                    predictions,
                    decision_id=new_id(now),
                    rng=rng,
                    row=i,
                    output_limit=row.max_output_tokens,
                    left_nano=money.left_nano,
                    blocked=blocked,
                    pace=money.pace,
                )
                own = self.wishes_of(row, wishes)
                decision = risked(self._ask(row, own), decide(own), self.decider.profile, decide)
                decided.append(Decided(decision, None if self.blind else context, row, prompt, hint))
        return decided

    def as_read(self, row: Row, prompt: Prompt) -> Prompt:
        """Return the prompt of a row that was decided before with what each reading of its files sends."""
        if self.reader is None or not prompt.sources:
            return prompt
        return self.reader.read(prompt, self._contexts([row])[0], row.plan or row.arm)

    def _hinted(self, row: Row, context: Context) -> tuple[Prompt, Drawn | None]:
        if self.hinter is None:
            return row.prompt, None
        coin = random.Random(f"{self.run_id} {row.n}")  # noqa: S311 - a draw, not a secret
        return self.hinter.put(row.prompt, None if self.blind else context.embedding, rng=coin)

    def _contexts(self, rows: Sequence[Row]) -> list[Context]:
        if not self.blind and all(row.n in self.kept for row in rows):
            return [self.kept[row.n] for row in rows]
        return self.decider.contexts([row.prompt.text for row in rows])
