"""The best answers of the log as chat rows, to train a model on, or as pairs of a better and a worse one."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.errors import UsageError
from scrimp.profiles.keys import known_secrets
from scrimp.routing.asking.again import whole_prompt
from scrimp.routing.ledger.exporting import answers_by_prompt, export_salt, n_to_export
from scrimp.routing.ledger.labels import TRUTH
from scrimp.routing.ledger.store import instant
from scrimp.routing.text.private import Redactor, in_every_text
from scrimp.routing.text.sanitize import scrub

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scrimp.routing.ledger.store import Ledger

__all__ = ["By", "Export", "Exported"]

By = Literal["label", "judge", "both"]

_LEAST_GOOD: Final = 0.5
"""An answer below this reward is not one to learn from, were it the best of its prompt."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One answer that may be exported.

    Attributes
    ----------
    reward
        In [0, 1], by which it is ranked: the label, the judge's score, or the mean of both.
    label, judge
        What it is made of; None where there is none.
    """

    id: str
    arm: str
    model: str | None
    answer: str
    reward: float
    label: float | None
    judge: float | None

    def metadata(self, salted: str) -> dict[str, Any]:
        """Return what is said of it beside its text."""
        said = {"id": salted, "arm": self.arm, "model": self.model, "reward": self.reward}
        return {**said, "label": self.label, "judge": self.judge}


@dataclass(slots=True)
class Export:
    """An export under way: iterate `rows`; the counts stand at its end.

    Attributes
    ----------
    top
        So many answers of a prompt at most, the best first; of pairs, so many.
    by
        What says how good an answer is: labels (a truth before a check), a judge's score, or both, of which each
        answer then needs both.
    preferences
        Pairs of a better and a worse answer in place of single ones.
    scrubbing
        Put placeholders in place of what is private (`text.private`). Keys of arms go from every export.
    profile, tag, since
        Only requests of these; `since` is POSIX time. None: all.
    n_rows, n_prompts
        Written, and prompts that they are of.
    left_out
        Prompts and answers that were not: reason and count.
    redacted
        What was replaced: kind and count.
    """

    ledger: Ledger
    top: int = 3
    by: By = "label"
    preferences: bool = False
    scrubbing: bool = False
    profile: str | None = None
    tag: str | None = None
    since: float | None = None
    n_rows: int = 0
    n_prompts: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)

    @property
    def n_there(self) -> tuple[int, int]:
        """How many of the requests have their text, and how many have it not any more."""
        return n_to_export(self.ledger, **self._which)

    @property
    def _which(self) -> dict[str, Any]:
        since = None if self.since is None else instant(self.since)
        return {"profile": self.profile, "tag": self.tag, "since": since}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield chat rows: `{"messages": [...], "metadata": {...}}`, with `tools` where there were some.

        Of pairs: `{"prompt": [...], "chosen": [...], "rejected": [...], "metadata": {...}}`.
        """
        salt = export_salt(self.ledger)
        for group in answers_by_prompt(self.ledger, **self._which):
            found = [answer for row in group for answer in self._answers(row)]
            if not found:
                self.left_out["no answer to it has been rated"] += 1
                continue
            ranked: list[Exported] = []
            for answer in sorted(found, key=lambda each: -each.reward):
                if all(answer.answer != other.answer for other in ranked):
                    ranked.append(answer)
            made = list(self._pairs(ranked) if self.preferences else self._singles(ranked))
            if not made:
                few = "it has no two answers of which one is better" if self.preferences else "no answer to it is good"
                self.left_out[few] += 1
                continue
            asked = self._asked(group[0])
            if asked is None:
                continue
            prompt_id = _salted(salt, group[0]["id"])
            self.n_prompts += 1
            for answers in made:
                self.n_rows += 1
                yield self._row(asked, answers, prompt_id, salt)

    def _answers(self, row: Mapping[str, Any]) -> Iterator[Exported]:
        """Yield the answers of a request that can be ranked: the one given, and those of its plan that were not."""
        taken = next((step for step in row["steps"] if step["taken"]), None)
        yield from self._answer(row, row["arm"], row["answer"], taken)
        for step in row["steps"]:
            if not step["taken"] and step["kind"] in ("ask", "sample") and step["answer"]:
                yield from self._answer(row, step["arm"], step["answer"], step)

    def _answer(
        self, row: Mapping[str, Any], arm: str, answer: str, step: Mapping[str, Any] | None
    ) -> Iterator[Exported]:
        given = step is None or step["taken"]
        # A label is about the answer that was given, where an arm gave several.
        labels = [each for each in row["labels"] if each["arm"] == arm] if given or arm != row["arm"] else []
        judges = [each["note"] or "" for each in row["labels"] if each["check_kind"] == "judge"]
        label, judge = _label(labels), _judged(step, judges)
        if judge is None:
            judge = next((each["reward"] for each in reversed(labels) if each["check_kind"] == "judge"), None)
        known = {"label": label, "judge": judge}
        reward = (
            known[self.by] if self.by != "both" else None if label is None or judge is None else (label + judge) / 2
        )
        if reward is not None:
            yield Exported(row["id"], arm, row["models"].get(arm), answer, reward, label, judge)

    def _singles(self, ranked: list[Exported]) -> Iterator[tuple[Exported, ...]]:
        for answer in ranked[: self.top]:
            if answer.reward >= _LEAST_GOOD:
                yield (answer,)

    def _pairs(self, ranked: list[Exported]) -> Iterator[tuple[Exported, ...]]:
        best = ranked[0]
        for worse in [each for each in reversed(ranked) if each.reward < best.reward][: self.top]:
            yield (best, worse)

    def _asked(self, row: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[Any]] | None:
        """Return what was sent, and the tools offered; None where it was not kept whole."""
        if row["attachments"] is not None:
            self.left_out["it had attachments, which the log does not keep"] += 1
            return None
        if row["sources"] is not None:
            self.left_out["it was asked of files, whose texts are not exported"] += 1
            return None
        try:
            prompt, _ = whole_prompt(self.ledger, row)
        except UsageError:
            self.left_out["its conversation was not kept whole"] += 1
            return None
        return prompt.messages(), [] if prompt.chat is None else list(prompt.chat.tools)

    def _row(
        self, asked: tuple[list[dict[str, Any]], list[Any]], answers: tuple[Exported, ...], prompt_id: str, salt: str
    ) -> dict[str, Any]:
        messages, tools = asked
        said = [_spoken(answer.answer, tools) for answer in answers]
        about = [answer.metadata(_salted(salt, f"{answer.id}\0{answer.arm}\0{answer.answer}")) for answer in answers]
        row: dict[str, Any]
        if len(answers) == 1:
            row = {"messages": [*messages, said[0]]}
            metadata: dict[str, Any] = {**about[0], "prompt_id": prompt_id}
        else:
            row = {"prompt": messages, "chosen": [said[0]], "rejected": [said[1]]}
            metadata = {"prompt_id": prompt_id, "chosen": about[0], "rejected": about[1]}
        if tools:
            row["tools"] = tools
        secrets = known_secrets()
        if self.scrubbing:
            redactor = Redactor(secrets)
            row = in_every_text(row, redactor.redact)
            self.redacted.update(redactor.found)
        elif secrets:
            row = in_every_text(row, partial(scrub, secrets=secrets))
        return {**row, "metadata": metadata}


def _salted(salt: str, text: str) -> str:
    return hashlib.sha256(f"{salt}\0{text}".encode("utf-8", "replace")).hexdigest()[:24]


def _label(labels: list[Mapping[str, Any]]) -> float | None:
    """Return the newest label of a source that knows the truth, else the lowest that checks gave, else the newest."""
    told = [each for each in labels if each["check_kind"] != "judge"]
    for each in reversed(told):
        if each["source"] in TRUTH:
            return float(each["reward"])
    checked = [float(each["reward"]) for each in told if each["source"] == "check"]
    if checked:
        return min(checked)
    return float(told[-1]["reward"]) if told else None


def _judged(step: Mapping[str, Any] | None, judges: Sequence[str]) -> float | None:
    """Return the score that judges gave at a step, in [0, 1]: the mean of several.

    Parameters
    ----------
    judges
        What the labels by judges say, each with the name of its check; others say it themselves (`judge:ARM`).
    """
    if step is None:
        return None
    scores = [
        verdict["score"] if verdict.get("score") is not None else float(verdict["outcome"] == "pass")
        for verdict in json.loads(step["verdicts"] or "[]")
        if verdict["outcome"] != "abstain"
        and (verdict["check"].startswith("judge:") or any(verdict["check"] in said for said in judges))
    ]
    return sum(scores) / len(scores) if scores else None


def _spoken(answer: str, tools: list[Any]) -> dict[str, Any]:
    """Return an answer as a message of the assistant; the log keeps calls of tools, and nothing else, as JSON."""
    if tools and answer.startswith("[{"):
        try:
            calls = json.loads(answer)
        except ValueError:
            calls = []
        if calls and all(isinstance(call, dict) and isinstance(call.get("function"), dict) for call in calls):
            return {"role": "assistant", "content": None, "tool_calls": calls}
    return {"role": "assistant", "content": answer}
