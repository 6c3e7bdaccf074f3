"""The context of a prompt: what the router sees of it, an embedding and a few cheap surface features."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "FEATURE_NAMES",
    "FEATURE_SET",
    "SCANNED_CHARS",
    "Context",
    "TextEmbedder",
    "approx_tokens",
    "contexts",
    "stack",
    "surface_features",
    "surface_matrix",
]

SCANNED_CHARS = 16_000
"""At most this many characters of a prompt are looked at (head and tail halves); lengths are of the whole."""

FEATURE_SET = "surface-1"
"""Names the definitions below; a router learnt on other definitions is refused by this name."""

FEATURE_NAMES: tuple[str, ...] = (
    "log_chars",  # ln(1 + characters)
    "log_words",  # ln(1 + words)
    "mean_word",  # mean characters in a word
    "log_lines",  # ln(1 + lines)
    "log_numbers",  # ln(1 + numbers)
    "digit_share",  # digits / characters
    "maths_share",  # operators and relations / characters
    "latex_rate",  # ln(1 + LaTeX commands and dollar signs)
    "code_rate",  # ln(1 + marks of program text)
    "question_marks",  # ln(1 + question marks)
    "n_options",  # lettered options at line starts, at most 12
    "log_stem",  # ln(1 + characters before the first option)
    "log_option",  # ln(1 + mean characters of an option), 0 without options
    "numeric_options",  # share of options that hold a digit
    "upper_share",  # capitals / letters
    "non_ascii_share",  # characters beyond ASCII / characters
    "other_script_share",  # letters beyond Latin / letters
    "punctuation_share",  # other punctuation / characters
    "variety",  # distinct words / words of the first 200
    "negation",  # 1 where the question turns on "not", "except", "false", "incorrect"
    "wh_form",  # 1 where it asks who, when, where, which or what
    "how_many",  # 1 where it asks for a quantity
    "reasoning_form",  # 1 where it says prove, show that, derive, explain, why
)

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_OPTION = re.compile(r"^[ \t]*\(?([A-L])[.):][ \t]+(.*)$", re.MULTILINE)
_LATEX = re.compile(r"\\[A-Za-z]+|\$")
_CODE = re.compile(
    r"```|^[ \t]*(?:def|class|import|from|return|for|while|if|elif|else|print|assert|func|fn|let|var|const)\b"
    r"|[{};][ \t]*$|\w\(\w*\)|==|!=|->|=>|#include|SELECT\s",
    re.MULTILINE,
)
_NEGATION = re.compile(r"\b(?:not|except|false|incorrect|never|cannot)\b", re.IGNORECASE)
_WH = re.compile(r"\b(?:who|whom|when|where|which|what)\b", re.IGNORECASE)
_HOW_MANY = re.compile(r"\b(?:how (?:many|much|long|far|old|often)|calculate|compute|determine|find)\b", re.IGNORECASE)
_REASONING = re.compile(r"\b(?:prove|show that|derive|explain|why|deduce|step by step)\b", re.IGNORECASE)
_MATHS = frozenset("=+-*/^<>%∑∫√≤≥≠≈∞×÷±∈⊂∪∩→")
_PUNCTUATION = frozenset(".,;:!?'\"()[]{}…—–")


class TextEmbedder(Protocol):
    """What the router needs of an embedder; `scrimp.routing.embedding.Embedder` is one."""

    @property
    def id(self) -> str:
        """Name model, weights and truncation: vectors of different ids are not comparable."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return `(n_texts, dim) float32`, rows of unit length."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of one prompt before any model has seen it.

    Attributes
    ----------
    embedding
        `(dim,) float32`, unit length.
    surface
        `(n_features,) float64`, in the order of `FEATURE_NAMES`.
    n_chars, n_bytes
        Length of the whole prompt, in characters and in UTF-8 bytes.
    input_tokens
        Tokens of the prompt, as counted by the caller's counter, or estimated.
    """

    embedding: NDArray[np.float32]
    surface: NDArray[np.float64]
    n_chars: int
    n_bytes: int
    input_tokens: int


def _scanned(text: str) -> str:
    """Return the part of a text that is looked at: all of it, or its head and tail."""
    if len(text) <= SCANNED_CHARS:
        return text
    half = SCANNED_CHARS // 2
    return text[:half] + "\n" + text[-half:]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _option_features(text: str, scale: float) -> Iterator[float]:
    options = list(_OPTION.finditer(text))[:12]
    if len(options) < 2:
        yield from (0.0, math.log1p(len(text) * scale), 0.0, 0.0)
        return
    bodies = [match.group(2) for match in options]
    yield float(len(options))
    yield math.log1p(options[0].start())
    yield math.log1p(sum(map(len, bodies)) / len(bodies))
    yield _share(sum(any(c.isdigit() for c in body) for body in bodies), len(bodies))


def _features(text: str) -> Iterator[float]:
    """Yield the features in the order of `FEATURE_NAMES`."""
    part = _scanned(text)
    n = len(part)
    scale = len(text) / n if n else 1.0  # counts of a scanned part stand for the whole
    words = _WORD.findall(part)
    letters = sum(map(str.isalpha, part))
    yield math.log1p(len(text))
    yield math.log1p(len(words) * scale)
    yield min(_share(sum(map(len, words)), len(words)), 40.0)
    yield math.log1p((part.count("\n") + 1) * scale)
    yield math.log1p(len(_NUMBER.findall(part)) * scale)
    yield _share(sum(map(str.isdigit, part)), n)
    yield _share(sum(c in _MATHS for c in part), n)
    yield math.log1p(len(_LATEX.findall(part)) * scale)
    yield math.log1p(len(_CODE.findall(part)) * scale)
    yield math.log1p(part.count("?") * scale)
    yield from _option_features(part, scale)
    yield _share(sum(map(str.isupper, part)), letters)
    non_ascii = 0 if part.isascii() else sum(c > "\x7f" for c in part)
    yield _share(non_ascii, n)
    yield _share(sum(c > "\u024f" and c.isalpha() for c in part) if non_ascii else 0, letters)
    yield _share(sum(c in _PUNCTUATION for c in part), n)
    first = [word.lower() for word in words[:200]]
    yield _share(len(set(first)), len(first))
    yield float(_NEGATION.search(part) is not None)
    yield float(_WH.search(part) is not None)
    yield float(_HOW_MANY.search(part) is not None)
    yield float(_REASONING.search(part) is not None)


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


def approx_tokens(text: str) -> int:
    """Estimate a prompt's tokens from its length: four ASCII characters a token, one token for any other character.

    Examples
    --------
    >>> approx_tokens("twelve chars"), approx_tokens("日本語"), approx_tokens("")
    (3, 3, 0)
    """
    if text.isascii():
        return -(-len(text) // 4)
    n_ascii = len(text.encode("ascii", "ignore"))
    return -(-n_ascii // 4) + len(text) - n_ascii


def contexts(
    texts: Sequence[str],
    embedder: TextEmbedder,
    *,
    count_tokens: Callable[[str], int] = approx_tokens,
) -> list[Context]:
    """Return the context of each prompt, embedding them in one go.

    Parameters
    ----------
    texts
        The prompts.
    embedder
        Turns texts into unit vectors.
    count_tokens
        Tokens of one text; an estimate from its length unless given.
    """
    if not texts:
        return []
    embeddings = embedder.embed(texts)
    return [
        Context(
            embedding=embedding,
            surface=surface_features(text),
            n_chars=len(text),
            n_bytes=len(text.encode("utf-8", "surrogatepass")),
            input_tokens=count_tokens(text),
        )
        for text, embedding in zip(texts, embeddings, strict=True)
    ]


def stack(items: Sequence[Context]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return `(n, dim) float32` embeddings and `(n, n_features) float64` surface features of one or more contexts."""
    import numpy as np

    return np.stack([item.embedding for item in items]), np.stack([item.surface for item in items])
