"""What a prompt itself demands of its answer's form, as checks.

A kind of instruction is a row of `KINDS`: its name, and a reader that yields a check for each instruction of that kind
that a prompt states. The kinds are those of IFEval (Zhou et al., arXiv:2311.07911), as people word them. A reader looks
only at clauses that tell how to answer, and not at quotations, code, or what a question is about (`clauses`): an
instruction that is overlooked costs nothing, one that was never given would fail a right answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from scrimp.routing.text.in_words import counted

from . import stated_counts, stated_forms, stated_words
from .base import NOTHING, BaseCheck, Check, Given, Verdict, problem_of
from .clauses import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["KINDS", "InstructionsCheck", "Kind", "instructions_in"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of instruction, and how it is read."""

    name: str
    read: Callable[[Request], Iterator[Check]]


KINDS: Final = (
    Kind("length", stated_counts.lengths),
    Kind("parts", stated_counts.parts),
    Kind("marks", stated_counts.things),
    Kind("words in capitals", stated_counts.counted_words),
    Kind("marked sections", stated_counts.marked_sections),
    Kind("keywords", stated_words.keywords),
    Kind("frequency of words", stated_words.frequencies),
    Kind("frequency of letters", stated_words.letters),
    Kind("start and end", stated_words.starts_and_ends),
    Kind("first words of paragraphs", stated_words.first_words),
    Kind("postscript", stated_words.postscript),
    Kind("set phrases", stated_words.options),
    Kind("repeat the request", stated_words.repeats),
    Kind("case", stated_forms.case),
    Kind("commas", stated_forms.commas),
    Kind("JSON", stated_forms.json_only),
    Kind("quotation marks", stated_forms.quoted),
    Kind("title", stated_forms.title),
    Kind("two answers", stated_forms.two_answers),
    Kind("language", stated_forms.language),
)


def instructions_in(prompt: str) -> tuple[Check, ...]:
    """Return a check for each instruction of a prompt that can be verified without understanding it.

    Of a prompt the first 20,000 characters are read.

    Examples
    --------
    >>> [check.name for check in instructions_in("Answer in at most two sentences, in all lowercase letters.")]
    ['sentences:..2', 'lower']
    >>> instructions_in("Why did she write at least 300 words in all lowercase letters?")
    ()
    """
    request = Request(prompt)
    found: dict[tuple[str, str], Check] = {}
    for kind in KINDS:
        for check in kind.read(request):
            found.setdefault((kind.name, check.name), check)
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class InstructionsCheck(BaseCheck):
    """The answer keeps to what the prompt asks of its form, as far as that can be verified."""

    name: str = "instructions"
    kind: str = field(default="instructions", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        checks = instructions_in(given.prompt)
        if not checks:
            return self.abstained("the prompt has no instruction that can be verified")
        problems = [problem for check in checks if (problem := problem_of([check.test(answer)])) is not None]
        score = 1.0 - len(problems) / len(checks)
        if problems:
            return self.failed("; ".join(problems), score)
        return self.passed(f"{counted(len(checks), 'instruction')} kept", score)
