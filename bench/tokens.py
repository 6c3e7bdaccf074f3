"""Try the bound on a text's tokens against every tokeniser that litellm brings along: python bench/tokens.py [--quick] [--part NAME].

Each of the tokenisers gets each text as it is and after each of the usual normalisations, as a provider's own may do first:
every code point of Unicode alone; those that a normalisation changes repeated, and in the middle of a word; every pair of the classes of characters that a
normalisation joins or parts (by category, combining class, decomposition and script); and every run of code points. A text
of more tokens than `text_bound` says is printed, and the exit code is 1. The whole takes about half an hour on one core;
`--quick` (the part that the test suite runs) takes code points that no normalisation changes by runs only.
"""

from __future__ import annotations

import argparse
import sys
import time
import unicodedata
from importlib.util import find_spec
from itertools import islice, product
from pathlib import Path

from scrimp.routing.prompts.tokens import text_bound

FORMS = ("NFC", "NFD", "NFKC", "NFKD")
RUN = 64
"""Code points in a run: few enough that one that is too long is not made up for by the others."""


def tokenisers():
    """Return every tokeniser that litellm brings along, by name: each takes texts and gives numbers of tokens."""
    import os

    folder = Path(find_spec("litellm").origin).parent / "litellm_core_utils" / "tokenizers"
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    import tiktoken
    import tokenizers

    def counts(encoding):
        return lambda texts: [len(tokens) for tokens in encoding.encode_ordinary_batch(texts, num_threads=1)]

    found = {name: counts(tiktoken.get_encoding(name)) for name in ("cl100k_base", "o200k_base", "p50k_base")}
    claude = tokenizers.Tokenizer.from_file(str(folder / "anthropic_tokenizer.json"))
    found["anthropic"] = lambda texts: [len(each.ids) for each in claude.encode_batch_fast(texts)]
    return found


def normalisers():
    """Return what a tokeniser may do to a text first, by name."""
    from tokenizers import normalizers as n

    own = {form: lambda text, form=form: unicodedata.normalize(form, text) for form in FORMS}
    cased = {"lower": str.lower, "casefold": str.casefold, "upper": str.upper}
    rust = {
        f"tokenizers {name}": each.normalize_str
        for name, each in {
            "NFC": n.NFC(), "NFD": n.NFD(), "NFKC": n.NFKC(), "NFKD": n.NFKD(), "Lowercase": n.Lowercase(), "Nmt": n.Nmt(),
            "NFKC + Lowercase": n.Sequence([n.NFKC(), n.Lowercase()]), "NFD + StripAccents": n.Sequence([n.NFD(), n.StripAccents()]),
        }.items()
    }  # fmt: skip
    folded = {
        "casefold + NFKC": lambda text: unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    }
    return {"none": str, **own, **cased, **folded, **rust}


def every_character():
    """Yield every code point but the surrogates, which no request can hold."""
    return (chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF)


def changes(character):
    """Tell whether a normalisation, or another case, makes something else of a character."""
    return any(unicodedata.normalize(form, character) != character for form in FORMS) or (
        character.lower() != character or character.upper() != character or character.casefold() != character
    )


def classes():
    """Return one or two characters of every class that a normalisation may treat in its own way."""
    found = {}
    for character in every_character():
        parts = unicodedata.decomposition(character)
        key = (
            unicodedata.category(character),
            unicodedata.combining(character),
            parts.partition(">")[0] if parts.startswith("<") else bool(parts),
            len(unicodedata.normalize("NFKD", character)),
            len(character.encode()),
        )
        found.setdefault(key, []).append(character)
    jamo = [chr(code) for code in (0x1100, 0x1112, 0x1161, 0x1175, 0x11A8, 0x11C2, 0xAC00, 0xAC01, 0xD7A3)]
    return sorted({each for kept in found.values() for each in (kept[0], kept[-1])} | set(jamo))


def too_long(texts):
    """Yield the texts that are more bytes or tokens than their bound: normalisation, tokeniser, text, count, bound."""
    encoders, forms = tokenisers(), normalisers()
    texts = iter(texts)
    while batch := list(islice(texts, 4096)):
        wanted = {}
        for text in batch:
            bound = text_bound(text)
            for form, normalise in forms.items():
                changed = normalise(text)
                if len(changed.encode()) > bound:
                    yield form, "bytes", text, len(changed.encode()), bound
                if bound < wanted.get(changed, (bound + 1,))[0]:
                    wanted[changed] = bound, form, text
        for name, count in encoders.items():
            for (bound, form, text), n in zip(wanted.values(), count(list(wanted)), strict=True):
                if n > bound:
                    yield form, name, text, n, bound


def cases(*, quick):
    """Yield what is tried: the name of a part, and its texts."""
    changed = [each for each in every_character() if changes(each)]
    yield "alone", iter(changed) if quick else every_character()
    if not quick:
        yield "repeated", (each * n for each in changed for n in (2, 3, 8))
        yield "in a word", (f"a{each}b" for each in changed)
    all_of_them = "".join(every_character())
    yield "runs", (all_of_them[at : at + RUN] for at in range(0, len(all_of_them), RUN))
    some = classes()
    yield "pairs", map("".join, product(some[:: 8 if quick else 1], repeat=2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", action="append", help="only this part; may be given more than once")
    options = parser.parse_args()
    failed = False
    for name, texts in cases(quick=options.quick):
        if options.part and name not in options.part:
            continue
        start, n, tried = time.perf_counter(), 0, list(texts)
        for form, tokeniser, text, tokens, bound in too_long(tried):
            failed, n = True, n + 1
            if n <= 20:
                print(f"{form}, {tokeniser}: {text[:8]!a}: {tokens} > {bound}")
        print(f"{name}: {len(tried):,} texts, {n} above their bound, {time.perf_counter() - start:.0f} s")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
