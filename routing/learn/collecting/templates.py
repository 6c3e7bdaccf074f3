"""Templates: what the best-rated answers of each kind of prompt have in common, written down by an arm as hints."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scrimp.profiles.errors import BudgetRefusedError, ConfigError, ScrimpError, UsageError
from scrimp.profiles.files import store_own
from scrimp.profiles.paths import make_private_dir
from scrimp.routing.asking.again import kept_here
from scrimp.routing.asking.hint_files import named, read_hints, written
from scrimp.routing.asking.hinting import START
from scrimp.routing.asking.refusal import keyless_arms
from scrimp.routing.asking.request import Ask
from scrimp.routing.deciding import against_caps
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.deciding.options import runs_here
from scrimp.routing.learn.data.labelled import SOURCES
from scrimp.routing.learn.maths.kmeans import clusters_of
from scrimp.routing.ledger.hints import rated
from scrimp.routing.ledger.store import instant, new_id
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.text.in_words import counted

from .distilling import read_reply, verbatim, what_is_asked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scrimp.routing.asking.hint_files import Hint, Shelf
    from scrimp.routing.asking.request import Answer
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.ledger.store import Ledger

__all__ = [
    "GOOD",
    "LEAST",
    "Kind",
    "Made",
    "Rated",
    "Templates",
    "best_rated",
    "kinds_of",
    "make_templates",
    "read_reply",
]

GOOD: Final = 0.75
"""The reward from which on an answer is worth learning from."""

LEAST: Final = 4
"""Fewer answers are no kind: what they have in common may be chance."""

_LAST: Final = 5_000  # labels that are looked at, the latest

_SIZES: Final = ((6, 1_500), (4, 800), (3, 300))
"""Answers that are quoted, and bytes of each prompt and each answer: fewer and shorter where a window is small."""

_LIMIT: Final = 900
"""The most output tokens of an arm that does not reason: eight steps and an example are shorter."""

_HOPELESS: Final = 3
"""So many kinds without a file, the first ones, end it."""


@dataclass(frozen=True, slots=True)
class Rated:
    """An answer that was rated well.

    Attributes
    ----------
    embedding
        `(dim,) float32`, unit length.
    reward
        In [GOOD, 1].
    """

    id: str
    prompt: str
    answer: str
    reward: float
    embedding: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Kind:
    """Answers to prompts of one kind, those to be quoted first.

    Attributes
    ----------
    middle
        `(dim,) float32`, unit length.
    near
        The hint that is nearest to it, where it is near enough to be this kind's; None where none is.
    """

    answers: tuple[Rated, ...]
    middle: NDArray[np.float32]
    near: Hint | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What came of one kind.

    Attributes
    ----------
    n
        Answers of that kind.
    arm
        Who was, or would be, asked; None where nobody can take it.
    bound_nano
        What that could cost at most, nano-USD.
    charged_nano
        What it did cost.
    path
        The file; None where none was made.
    note
        What is to be said of it, or None.
    """

    n: int
    arm: str | None
    bound_nano: int | None
    charged_nano: int = 0
    about: str | None = None
    path: Path | None = None
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "n": self.n, "arm": self.arm, "bound_usd": None if self.bound_nano is None else self.bound_nano / 1e9,
            "charged_usd": self.charged_nano / 1e9, "about": self.about,
            "path": None if self.path is None else str(self.path), "note": self.note,
        }  # fmt: skip


@dataclass(slots=True)
class Templates:
    """What a run made.

    Attributes
    ----------
    n_rated
        Answers that were rated well and whose text is kept.
    stopped
        Why it ended early; None where it did not.
    """

    n_rated: int
    kinds: list[Made] = field(default_factory=list)
    stopped: str | None = None

    @property
    def charged_nano(self) -> int:
        """What all calls cost together, nano-USD."""
        return sum(made.charged_nano for made in self.kinds)

    def to_dict(self) -> dict[str, Any]:
        """Return what `learn templates --json` prints."""
        return {
            "schema_version": 1, "n_rated": self.n_rated, "kinds": [made.to_dict() for made in self.kinds],
            "charged_usd": self.charged_nano / 1e9, "stopped": self.stopped,
        }  # fmt: skip


def best_rated(ledger: Ledger | None, decider: Decider, *, here_only: bool) -> list[Rated]:
    """Return the answers of a profile that were rated well, one a prompt.

    An answer's reward is the mean of the newest label of each source, each by how much its source counts.

    Parameters
    ----------
    here_only
        Whether whoever reads them runs on this machine; else those are left out that were to stay here.
    """
    if ledger is None:
        return []
    labels: dict[str, dict[str, tuple[float, float]]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for row in rated(ledger, decider.profile.name, [*SOURCES], last=_LAST):
        labels.setdefault(row["id"], {})[row["source"]] = (row["reward"], SOURCES[row["source"]] * row["weight"])
        rows[row["id"]] = row
    best: dict[str, tuple[float, dict[str, Any]]] = {}
    for key, row in rows.items():
        total = sum(weight for _, weight in labels[key].values())
        reward = sum(value * weight for value, weight in labels[key].values()) / total if total > 0.0 else 0.0
        if reward < GOOD or (not here_only and kept_here(row) is not None):
            continue
        text = " ".join(row["prompt"].split())
        if text not in best or reward > best[text][0]:
            best[text] = (reward, row)
    mine = decider.embedder.id
    anew = [row["prompt"] for _, row in best.values() if row["embedding"] is None or row["embedder_id"] != mine]
    fresh = iter(decider.embedder.embed(anew) if anew else ())
    return [
        Rated(
            row["id"], row["prompt"], row["answer"], reward,
            next(fresh) if row["embedding"] is None or row["embedder_id"] != mine
            else np.frombuffer(row["embedding"], dtype="<f4").astype(np.float32),
        )
        for reward, row in best.values()
    ]  # fmt: skip


def kinds_of(answers: Sequence[Rated], *, most: int, shelf: Shelf, decider: Decider) -> list[Kind]:
    """Return the kinds of prompts among rated answers, the largest first; groups of fewer than `LEAST` are left out.

    Parameters
    ----------
    most
        Kinds at most.
    shelf
        The hints there are: each is the one of at most one kind, the nearest.
    """
    if len(answers) < LEAST:
        return []
    points = np.stack([each.embedding for each in answers])
    group, _ = clusters_of(points, max(1, min(most, len(answers) // LEAST)))
    found = []
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        if len(rows) < LEAST:
            continue
        middle = points[rows].mean(axis=0)
        middle /= max(float(np.linalg.norm(middle)), 1e-9)
        order = sorted(rows.tolist(), key=lambda row: (-answers[row].reward, -float(points[row] @ middle)))
        found.append(Kind(tuple(answers[row] for row in order), middle))
    found.sort(key=lambda kind: -len(kind.answers))
    if not shelf.hints or not found:
        return found
    cosine = np.stack([kind.middle for kind in found]) @ decider.embedder.embed([each.about for each in shelf.hints]).T
    near: dict[int, Hint] = {}
    for place in np.argsort(-cosine, axis=None):
        row, column = divmod(int(place), cosine.shape[1])
        if cosine[row, column] < START:
            break
        if row not in near and shelf.hints[column] not in near.values():
            near[row] = shelf.hints[column]
    return [Kind(kind.answers, kind.middle, near.get(row)) for row, kind in enumerate(found)]


def make_templates(
    space: Workspace,
    folder: Path,
    *,
    arm: str | None = None,
    most: int,
    max_nano: int | None,
    dry_run: bool,
    progress: Callable[[str], None],
) -> Templates:
    """Have an arm write down each kind's steps, one call a kind, until the money is used up; each file is kept at once.

    Every call is reserved, paid and logged like any other, under all caps; it is begun only if its bound fits. The log
    keeps no text of it: what it quotes is forgotten where it stands.

    Parameters
    ----------
    folder
        Of the user's hints.
    arm
        Who is asked; None asks the one of highest predicted quality that the money reaches.
    most
        Kinds at most.
    max_nano
        What it may cost together, nano-USD; None leaves that to the caps.
    dry_run
        Whether to ask nobody.

    Raises
    ------
    UsageError
        If the profile has no such arm.
    ConfigError
        If the folder cannot be made.
    """
    decider = space.decider
    rated_well = best_rated(space.ledger, decider, here_only=_stays_here(decider, arm))
    kinds = kinds_of(rated_well, most=most, shelf=read_hints(folder), decider=decider)
    done = Templates(len(rated_well))
    keyless = keyless_arms(space.profile, space.key, arm, on_this_machine=False)
    blocked = {name: error.message for name, error in keyless.items()}
    if kinds and not dry_run:
        _make(folder)
    for nth, kind in enumerate(kinds, 1):
        left = None if max_nano is None else max_nano - done.charged_nano
        prompt, option = _asked(space, kind, arm, left, blocked)
        made = Made(
            len(kind.answers), option.arm, option.bound_nano, about=None if kind.near is None else kind.near.about
        )
        if option.infeasible is not None:
            done.kinds.append(replace(made, note=option.infeasible))
            if option.by_cap and not dry_run:
                done.stopped = f"{option.arm}: {option.infeasible}"
                break
            continue
        if dry_run:
            done.kinds.append(made)
            continue
        ask = Ask(
            prompt, Wishes(arm=option.arm, max_cost_nano=left, waits=False), command="templates", tag="templates",
            keep="money" if space.profile.log.keep == "money" else "features",
            output_limit=_limit(decider, option.arm),
        )  # fmt: skip
        try:
            answer = space.answer(ask)
        except BudgetRefusedError as error:
            done.stopped = error.message
            break
        except ScrimpError as error:
            done.kinds.append(replace(made, note=error.message))
            progress(f"kind {nth} of {len(kinds)}: {error.message}")
            if len(done.kinds) >= _HOPELESS and all(each.path is None for each in done.kinds):
                done.stopped = "the first calls failed"
                break
            continue
        made = replace(made, charged_nano=answer.total_charged_nano)
        done.kinds.append(_kept(kind, made, answer, folder, at=instant(space.clock())))
        progress(f"kind {nth} of {len(kinds)}: {done.kinds[-1].path or done.kinds[-1].note}")
    return done


def _stays_here(decider: Decider, arm: str | None) -> bool:
    """Return whether whoever may be asked runs on this machine."""
    names = [each.name for each in decider.profile.arms]
    if arm is not None and arm not in names:
        raise UsageError(f"profile {decider.profile.name} has no arm {arm!r}", hint=f"It has: {', '.join(names)}.")
    return all(runs_here(each) for each in decider.profile.arms if arm in (None, each.name))


def _make(folder: Path) -> None:
    """Make the folder before anything is paid: what is written then has a place."""
    try:
        make_private_dir(folder)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}") from None


def _limit(decider: Decider, arm: str) -> int | None:
    return None if decider.info(arm).reasoning else _LIMIT


def _asked(
    space: Workspace, kind: Kind, arm: str | None, left: int | None, blocked: Mapping[str, str]
) -> tuple[Prompt, Option]:
    """Return what is asked of whom: as much as an arm can take, of the best that can; where none can, why not."""
    decider, now = space.decider, space.clock()

    def options(prompt: Prompt, limit: int | None) -> list[Option]:
        (context,) = decider.contexts([prompt.text])
        decision = against_caps.decide(
            decider, space.ledger, prompt, Wishes(arm=arm, max_cost_nano=left, waits=False), now=now, rng=space.rng,
            decision_id=new_id(now), context=context, blocked=blocked, output_limit=limit,
        )  # fmt: skip
        found = (weighed.option for weighed in decision.choice.weighed)
        return [each for each in found if arm in (None, each.arm) and _limit(decider, each.arm) == limit]

    tried: list[tuple[Prompt, Option]] = []
    for n, n_bytes in _SIZES:
        prompt = Prompt(what_is_asked([(each.prompt, each.answer) for each in kind.answers[:n]], n_bytes))
        both = [*options(prompt, _LIMIT), *options(prompt, None)]
        able = [option for option in both if option.infeasible is None]
        best = max(able or both, key=lambda option: option.quality)
        if able:
            return prompt, best
        tried.append((prompt, best))
    return tried[-1]


def _kept(kind: Kind, made: Made, answer: Answer, folder: Path, *, at: str) -> Made:
    """Put what an arm wrote into its file, beside one that a person has edited; say what it repeats word for word."""
    read = read_reply(answer.text)
    if read is None:
        return replace(made, note="its reply holds no steps: nothing was written")
    about, body = read
    notes = ["it was cut at the arm's output limit: look at its end"] if answer.finish_reason == "length" else []
    if kind.near is not None:
        path = folder / f"{kind.near.name}.md"
        if kind.near.edited:
            path = folder / f"{kind.near.name}.md.new"
            notes.append(
                f"{kind.near.name}.md is yours and stays as it is: what is new lies beside it, and is not used"
            )
    else:
        path = _unused(folder, named(about))
    said = verbatim(f"{about}\n{body}", [text for each in kind.answers for text in (each.prompt, each.answer)])
    if said is not None:
        notes.append(f'it repeats what was quoted, word for word: "{said}"; look it over')
    text = written(about, body, made_from=f"{counted(made.n, 'answer')}, {at[:10]}, by {made.arm}")
    store_own(path, text.encode("utf-8", "replace"))
    return replace(made, about=about, path=path, note="; ".join(notes) or None)


def _unused(folder: Path, name: str) -> Path:
    names = (folder / f"{name}.md" if n == 1 else folder / f"{name}-{n}.md" for n in count(1))
    return next(path for path in names if not path.exists())
