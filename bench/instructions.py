"""Print which of IFEval's instructions the `instructions` check recognises, and how often it fires where none is given.

    python bench/instructions.py IFEVAL.jsonl.gz [--plain OUTCOMES.jsonl.gz ...] [--show KIND]

IFEval (Zhou et al., arXiv:2311.07911) states ids and arguments beside each prompt. An instruction counts as recognised
only where a check of its kind was made with the same arguments: the number of words, the keyword, the phrase. --plain
names outcome files (prompts that state no form, such as MMLU's): the share in which something is recognised is false
firing, but for those that really state one. The prompts are for measuring, and are not shipped.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrimp.routing.checks.form import CountCheck, FormCheck, LanguageCheck, WordingCheck
from scrimp.routing.checks.instructions import instructions_in
from scrimp.routing.checks.layout import (
    OneOfCheck,
    OpeningCheck,
    PostscriptCheck,
    QuotedCheck,
    RepeatCheck,
    SectionsCheck,
    TimesCheck,
    TwoCheck,
)
from scrimp.routing.checks.text import JsonCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrimp.routing.checks.base import Check

Arguments = dict[str, Any]


def _within(check: Any, relation: str, n: int) -> bool:
    """Return whether a range has this end: IFEval states one end of it."""
    least, most = check.least, check.most
    return bool(least == n) if relation == "at least" else bool(most == n - 1)


def _counts(what: tuple[str, ...], n: str, *, exact: bool = True) -> Callable[[Check, Arguments], bool]:
    def fits(check: Check, said: Arguments) -> bool:
        if not isinstance(check, CountCheck) or check.what not in what:
            return False
        if "relation" in said:
            return _within(check, said["relation"], said[n])
        return check.least == said[n] and (not exact or check.most in (said[n], None))

    return fits


def _times(word: str, relation: str, n: str) -> Callable[[Check, Arguments], bool]:
    def fits(check: Check, said: Arguments) -> bool:
        if not isinstance(check, TimesCheck) or check.text.casefold() != str(said[word]).casefold():
            symbols = {"#": "hashtags", "!": "exclamation marks"}
            wanted = symbols.get(said[word])
            return isinstance(check, CountCheck) and check.what == wanted and _within(check, said[relation], said[n])
        return _within(check, said[relation], said[n]) or (
            said[relation] == "at least" and said[n] == 1 and check.least > 0
        )

    return fits


def _capitals(check: Check, said: Arguments) -> bool:
    if not isinstance(check, CountCheck) or check.what != "words in capitals":
        return False
    vague = said["capital_relation"] == "at least" and said["capital_frequency"] == 1 and check.most is not None
    return vague or _within(check, said["capital_relation"], said["capital_frequency"])


def _form(form: str) -> Callable[[Check, Arguments], bool]:
    return lambda check, _said: isinstance(check, FormCheck) and check.form == form


FITS: dict[str, Callable[[Check, Arguments], bool]] = {
    "punctuation:no_comma": _form("no-commas"),
    "length_constraints:number_words": _counts(("words",), "num_words"),
    "length_constraints:number_sentences": _counts(("sentences",), "num_sentences"),
    "length_constraints:number_paragraphs": _counts(("parts",), "num_paragraphs"),
    "length_constraints:nth_paragraph_first_word": lambda check, said: (
        isinstance(check, OpeningCheck)
        and check.word.casefold() == said["first_word"].casefold()
        and check.nth in (said["nth_paragraph"], said["nth_paragraph"] - said["num_paragraphs"] - 1)
    ),
    "keywords:frequency": _times("keyword", "relation", "frequency"),
    "keywords:letter_frequency": _times("letter", "let_relation", "let_frequency"),
    "detectable_format:number_highlighted_sections": _counts(("highlighted sections",), "num_highlights", exact=False),
    "detectable_format:number_bullet_lists": _counts(("bullets", "marked bullets"), "num_bullets"),
    "detectable_content:number_placeholders": _counts(("placeholders",), "num_placeholders"),
    "detectable_content:postscript": lambda check, said: (
        isinstance(check, PostscriptCheck) and check.mark.rstrip(".") == said["postscript_marker"].rstrip(".")
    ),
    "detectable_format:title": _form("title"),
    "detectable_format:json_format": lambda check, _said: isinstance(check, JsonCheck),
    "detectable_format:constrained_response": lambda check, _said: (
        isinstance(check, OneOfCheck) and len(check.options) == 3
    ),
    "detectable_format:multiple_sections": lambda check, said: (
        isinstance(check, SectionsCheck)
        and (check.mark.casefold(), check.least) == (said["section_spliter"].casefold(), said["num_sections"])
    ),
    "combination:two_responses": lambda check, _said: isinstance(check, TwoCheck),
    "combination:repeat_prompt": lambda check, said: (
        isinstance(check, RepeatCheck) and not check.test(said["prompt_to_repeat"] + "\nAnd so on.").failed
    ),
    "startend:quotation": lambda check, _said: isinstance(check, QuotedCheck),
    "startend:end_checker": lambda check, said: (
        isinstance(check, WordingCheck) and check.how == "ends" and not check.test(said["end_phrase"]).failed
    ),
    "change_case:english_lowercase": _form("lower"),
    "change_case:english_capital": _form("upper"),
    "change_case:capital_word_frequency": _capitals,
    "language:response_language": lambda check, said: (
        isinstance(check, LanguageCheck) and check.language == said["language"]
    ),
}


def recognised(id_: str, said: Arguments, checks: Sequence[Check]) -> bool:
    """Return whether one of the checks is this instruction, arguments and all."""
    if id_ in ("keywords:existence", "keywords:forbidden_words"):
        words = said["keywords" if id_ == "keywords:existence" else "forbidden_words"]
        having = {c.text.casefold() for c in checks if isinstance(c, WordingCheck) and c.how == "has"}
        having |= {c.text.casefold() for c in checks if isinstance(c, TimesCheck) and c.least > 0}
        lacking = {c.text.casefold() for c in checks if isinstance(c, TimesCheck) and c.most == 0}
        return {w.casefold() for w in words} <= (having if id_ == "keywords:existence" else lacking)
    return any(FITS[id_](check, said) for check in checks)


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def main() -> None:
    """Print coverage, and false firing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ifeval", type=Path)
    parser.add_argument("--plain", type=Path, nargs="*", default=[])
    parser.add_argument(
        "--show", help="print what was overlooked of this kind (or `all`), and what was made up (`extra`)"
    )
    parser.add_argument("-n", type=int, default=2000, help="plain prompts of each file, at random")
    args = parser.parse_args()
    rows = _rows(args.ifeval)
    of_kind, found_kind, n_any, n_all, took = Counter[str](), Counter[str](), 0, 0, 0.0
    for row in rows:
        began = time.perf_counter()
        checks = instructions_in(row["prompt"])
        took += time.perf_counter() - began
        ids, said = row["instruction_id_list"], row["kwargs"]
        hits = [recognised(id_, kwargs, checks) for id_, kwargs in zip(ids, said, strict=True)]
        n_any, n_all = n_any + any(hits), n_all + all(hits)
        for id_, kwargs, hit in zip(ids, said, hits, strict=True):
            of_kind[id_] += 1
            found_kind[id_] += hit
            if not hit and args.show in ("all", id_):
                print(f"overlooked {id_} {kwargs}: {' '.join(row['prompt'].split())}\n    {[c.name for c in checks]}")
        if args.show == "extra":
            known = [c for c in checks if not any(
                recognised_by(c, id_, kwargs) for id_, kwargs in zip(ids, said, strict=True))]  # fmt: skip
            if known:
                print(f"extra {known}: {' '.join(row['prompt'].split())}\n")
    print(
        f"{len(rows)} prompts: any {n_any / len(rows):.1%}, all {n_all / len(rows):.1%}, {took / len(rows) * 1e3:.1f} ms each"
    )
    for id_, n in of_kind.most_common():
        print(f"{id_:48} {found_kind[id_]:4} of {n:4}  {found_kind[id_] / n:.0%}")
    rng = random.Random(0)
    for path in args.plain:
        plain = _rows(path)
        drawn = rng.sample(plain, min(args.n, len(plain)))
        fired = [(row["prompt"], checks) for row in drawn if (checks := instructions_in(row["prompt"]))]
        print(f"{path.name}: something is recognised in {len(fired)} of {len(drawn)} ({len(fired) / len(drawn):.2%})")
        if args.show == "plain":
            for prompt, checks in fired[:50]:
                print(f"  {[c.name for c in checks]}: {' '.join(prompt.split())[-700:]}\n", file=sys.stdout)


def recognised_by(check: Check, id_: str, said: Arguments) -> bool:
    """Return whether this check is that instruction, or one of its words."""
    if id_ == "keywords:existence":
        words = [w.casefold() for w in said["keywords"]]
        return isinstance(check, WordingCheck | TimesCheck) and check.text.casefold() in words
    if id_ == "keywords:forbidden_words":
        words = [w.casefold() for w in said["forbidden_words"]]
        return isinstance(check, TimesCheck) and check.most == 0 and check.text.casefold() in words
    return FITS[id_](check, said)


if __name__ == "__main__":
    main()
