"""Surface features of a prompt: a dozen numbers that cost microseconds."""

from __future__ import annotations

import math
import re
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from .words import word_level

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FEATURE_NAMES", "FEATURE_SET", "LENGTHS", "SCANNED_CHARS", "surface_features", "surface_matrix"]


SCANNED_CHARS = 16_000
"""At most this many characters of a prompt are looked at (head and tail halves); lengths are of the whole."""

FEATURE_SET = "surface-2"
"""Names the definitions below; a router learnt on other definitions is refused by this name."""

FEATURE_NAMES: tuple[str, ...] = (
    "log_chars",  # ln(1 + characters)
    "log_stem",  # ln(1 + words before the first lettered option)
    "log_distinct",  # ln(1 + distinct words there)
    "log_commas",  # ln(1 + commas there)
    "words_per_sentence",  # ln(1 + words / sentences) there
    "log_sentences",  # ln(1 + sentences) there
    "conditions",  # ln(1 + words of condition and order: if, suppose, after, ...) there
    "steps",  # ln(1 + words of quantity and relation: each, twice, per, remaining, ...) there
    "log_long_words",  # ln(1 + words of eight characters or more) there
    "log_numbers",  # ln(1 + distinct numbers) there
    "mean_word",  # mean characters in a word, at most 40
    "log_lines",  # ln(1 + lines)
    "digit_share",  # digits / characters
    "maths_share",  # operators and relations / characters
    "latex_rate",  # ln(1 + LaTeX commands and dollar signs)
    "code_rate",  # ln(1 + marks of program text)
    "question_marks",  # ln(1 + question marks)
    "n_options",  # lettered options at line starts, at most 12
    "log_option",  # ln(1 + mean characters of an option), 0 without options
    "numeric_options",  # share of options that hold a digit
    "upper_share",  # capitals / letters
    "non_ascii_share",  # characters beyond ASCII / characters
    "other_script_share",  # letters beyond Latin / letters
    "punctuation_share",  # other punctuation / characters
    "function_words",  # share of English function words
    "negation",  # 1 where the question turns on "not", "except", "false", "incorrect"
    "wh_form",  # 1 where it asks who, when, where, which or what
    "how_many",  # 1 where it asks for a quantity
    "reasoning_form",  # 1 where it says prove, show that, derive, explain, why
    "word_level",  # what its words add to its level of difficulty (`words`)
)


LENGTHS: frozenset[str] = frozenset(
    {
        "log_chars", "log_stem", "log_distinct", "log_commas", "words_per_sentence", "log_sentences", "conditions",
        "steps", "log_long_words", "log_numbers", "log_lines", "latex_rate", "code_rate", "question_marks",
        "log_option",
    }
)  # fmt: skip
"""Features that grow with a prompt's length: a long one is not strange for it."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_OPTION = re.compile(r"^[ \t]*\(?([A-L])[.):][ \t]+(.*)$", re.MULTILINE)
_SENTENCE = re.compile(r"[.!?](?:\s|$)")
_LATEX = re.compile(r"\\[A-Za-z]+|\$")
_CODE = re.compile(
    r"```|^[ \t]*(?:def|class|import|from|return|for|while|if|elif|else|print|assert|func|fn|let|var|const)\b"
    r"|[{};][ \t]*$|\w\(\w*\)|==|!=|->|=>|#include|SELECT\s",
    re.MULTILINE,
)
_MATHS = frozenset("=+-*/^<>%∑∫√≤≥≠≈∞×÷±∈⊂∪∩→")
_PUNCTUATION = frozenset(".,;:!?'\"()[]{}…—–")
_CONDITIONS = frozenset(
    [
        "if",
        "suppose",
        "assume",
        "assuming",
        "given",
        "unless",
        "when",
        "while",
        "although",
        "however",
        "because",
        "therefore",
        "since",
        "after",
        "before",
        "then",
        "until",
        "whether",
    ]
)
_STEPS = frozenset(
    [
        "each",
        "every",
        "per",
        "twice",
        "half",
        "thrice",
        "double",
        "triple",
        "times",
        "percent",
        "third",
        "quarter",
        "ratio",
        "than",
        "rest",
        "remaining",
        "left",
        "total",
        "average",
        "consecutive",
        "respectively",
        "both",
    ]
)
_FUNCTION_WORDS = frozenset(
    [
        "the",
        "of",
        "and",
        "to",
        "a",
        "in",
        "is",
        "that",
        "for",
        "it",
        "as",
        "with",
        "on",
        "be",
        "by",
        "this",
        "are",
        "from",
        "at",
        "or",
        "an",
        "was",
        "what",
        "which",
        "how",
        "if",
        "not",
        "you",
        "i",
        "my",
        "me",
        "we",
        "he",
        "she",
        "they",
        "his",
        "her",
        "their",
        "have",
        "has",
        "had",
        "do",
        "does",
        "can",
        "will",
        "would",
        "should",
        "your",
        "please",
        "there",
    ]
)
_NEGATION = frozenset(["not", "except", "false", "incorrect", "never", "cannot"])
_WH = frozenset(["who", "whom", "when", "where", "which", "what"])
_QUANTITY = frozenset(["calculate", "compute", "determine", "find"])
_HOW = frozenset(["many", "much", "long", "far", "old", "often"])
_REASONING = frozenset(["prove", "derive", "explain", "why", "deduce", "justify"])


def _scanned(text: str) -> str:
    """Return the part of a text that is looked at: all of it, or its head and tail."""
    if len(text) <= SCANNED_CHARS:
        return text
    half = SCANNED_CHARS // 2
    return text[:half] + "\n" + text[-half:]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _features(text: str) -> Iterator[float]:
    """Yield the features in the order of `FEATURE_NAMES`."""
    part = _scanned(text)
    n = len(part)
    scale = len(text) / n if n else 1.0  # counts of a scanned part stand for the whole
    options = list(islice(_OPTION.finditer(part), 12))
    if len(options) < 2:
        options = []
    stem = part[: options[0].start()] if options else part
    words = [word.lower() for word in _WORD.findall(stem)]
    kinds = set(words)
    numbers = set(_NUMBER.findall(stem))
    n_sentences = len(_SENTENCE.findall(stem))
    yield math.log1p(len(text))
    yield math.log1p(len(words) * scale)
    yield math.log1p(len(kinds) * scale)
    yield math.log1p(stem.count(",") * scale)
    yield math.log1p(len(words) / max(1, n_sentences))
    yield math.log1p(n_sentences * scale)
    yield math.log1p(sum(word in _CONDITIONS for word in words) * scale)
    yield math.log1p((sum(word in _STEPS for word in words) + stem.count("%")) * scale)
    yield math.log1p(sum(len(word) >= 8 for word in words) * scale)
    yield math.log1p(len(numbers) * scale)
    yield min(_share(sum(map(len, words)), len(words)), 40.0)
    yield math.log1p((part.count("\n") + 1) * scale)
    yield _share(sum(map(str.isdigit, part)), n)
    yield _share(sum(c in _MATHS for c in part), n)
    yield math.log1p(len(_LATEX.findall(part)) * scale)
    yield math.log1p(len(_CODE.findall(part)) * scale)
    yield math.log1p(part.count("?") * scale)
    bodies = [match.group(2) for match in options]
    yield float(len(bodies))
    yield math.log1p(_share(sum(map(len, bodies)), len(bodies)))
    yield _share(sum(any(c.isdigit() for c in body) for body in bodies), len(bodies))
    letters = sum(map(str.isalpha, part))
    yield _share(sum(map(str.isupper, part)), letters)
    non_ascii = 0 if part.isascii() else sum(c > "\x7f" for c in part)
    yield _share(non_ascii, n)
    yield _share(sum(c > "\u024f" and c.isalpha() for c in part) if non_ascii else 0, letters)
    yield _share(sum(c in _PUNCTUATION for c in part), n)
    yield _share(sum(word in _FUNCTION_WORDS for word in words), len(words))
    yield float(not kinds.isdisjoint(_NEGATION))
    yield float(not kinds.isdisjoint(_WH))
    asks = any(a == "how" and b in _HOW for a, b in pairwise(words))
    yield float(asks or not kinds.isdisjoint(_QUANTITY))
    yield float(not kinds.isdisjoint(_REASONING))
    yield word_level(text)


def surface_features(text: str) -> NDArray[np.float64]:
    """Return the surface features of a prompt: `(n_features,) float64`, finite, as named in `FEATURE_NAMES`.

    The time is bounded: no more than `SCANNED_CHARS` characters are looked at.

    Examples
    --------
    >>> dict(zip(FEATURE_NAMES, surface_features("What is 2 + 2?"), strict=True))["question_marks"].round(3)
    np.float64(0.693)
    """
    import numpy as np

    return np.fromiter(_features(text), dtype=np.float64, count=len(FEATURE_NAMES))


def surface_matrix(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return the surface features of many prompts: `(n_texts, n_features) float64`."""
    import numpy as np

    if not texts:
        return np.zeros((0, len(FEATURE_NAMES)))
    return np.stack([surface_features(text) for text in texts])
