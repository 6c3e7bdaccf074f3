"""What `guard.private` finds and what it takes for private that is not: canaries, ordinary documents, time.

    python bench/guard_private.py [--data DIR]

Canaries are made up (`tests/canaries.py`): eight kinds in many spellings, hidden in prose, JSON, addresses and code.
They go through the command line to a server on this machine that keeps what it got; the ledger and every file of the
home are searched for them afterwards. With DIR, words of its `lara/docs` that are replaced are counted as false, though
some are not: a filing has its company's phone number.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from canaries import NAMES, TEXTS, canaries, hidden, in_home, leaked, sent, spelled
from server import Server

from scrimp.routing.text.private import Redactor, find_private
from scrimp.routing.text.private_names import NameList

SEEDS = 20
PROFILE = """name = "bench"
[caps]
per_day_usd = 50.0
[guard]
private = "redact"
names = {names}
[[arms]]
name = "small"
model = "openai/echo"
api_base = "{url}"
tier = "small"
context_window = 100000
price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4 }}
"""


def recall() -> tuple[int, int, Counter[str]]:
    """Return how many canaries of `SEEDS` times 200 are found whole, of how many, and what was missed by kind."""
    names, missed, n = NameList.of(NAMES), Counter[str](), 0
    for seed in range(SEEDS):
        rng = random.Random(seed)
        for canary in canaries(200, seed):
            text, redactor = hidden(canary, rng), Redactor(names=names)
            clean = redactor.redact(text)
            n += 1
            missed[canary.kind] += clean == text or any(form in clean for form in spelled(canary.value))
    return n - missed.total(), n, +missed


def through() -> tuple[int, int, bool]:
    """Return how many of 200 canaries are in requests, in what was written down, and whether the answer was whole."""
    import json

    text = "\n".join(TEXTS)
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        home, out = Path(folder) / "home", io.StringIO()
        profile = Path(folder) / "bench.toml"
        profile.write_text(PROFILE.format(names=json.dumps(list(NAMES), ensure_ascii=False), url=server.base_url))
        os.environ["SCRIMP_HOME"] = str(home)
        from scrimp.cli import session
        from scrimp.cli.app import run

        session.keys.cache_clear()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            run(["ask", "-p", str(profile), "-q", "--json", text])
        session.close()
        answer = json.loads(out.getvalue())["answer"]
        return len(leaked(sent(server))), len(leaked(in_home(home))), answer == text


def false(folder: Path) -> tuple[int, int, Counter[str], float]:
    """Return words replaced, words, hits by kind, and milliseconds for 500 kB, over a folder of documents."""
    n_words = n_replaced = n_chars = 0
    kinds, seconds = Counter[str](), 0.0
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", "replace")
        began = time.process_time()
        hits = find_private(text)
        seconds += time.process_time() - began
        n_words += len(text.split())
        n_chars += len(text)
        n_replaced += sum(len(text[hit.start : hit.end].split()) for hit in hits)
        kinds.update(hit.name for hit in hits)
    return n_replaced, n_words, kinds, 1e3 * seconds * 500_000 / max(1, n_chars)


def rows(data: Path | None) -> list[tuple[str, str, str]]:
    """Return (measured, target, got)."""
    n_found, n, missed = recall()
    n_sent, n_kept, whole = through()
    found = [
        ("canaries of 8 kinds, 200 through `ask`: in requests, in what is kept, restored", "0, 0, exactly",
         f"{n_sent}, {n_kept}, {'exactly' if whole else 'not'}"),
        (f"canaries found, {SEEDS} draws", "all", f"{n_found} of {n}{f', missed {dict(missed)}' if missed else ''}"),
    ]  # fmt: skip
    places = [("own documentation", Path(__file__).parents[1] / "docs")]
    if data is not None and (data / "lara" / "docs").is_dir():
        places.append(("LaRA's documents", data / "lara" / "docs"))
    for name, folder in places:
        replaced, words, kinds, ms = false(folder)
        got = f"{100 * replaced / words:.3f}% of {words:,} words {dict(kinds)}; {ms:.0f} ms for 500 kB"
        found.append((f"false redactions, {name}", "<= 1% of words", got))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    for row in rows(parser.parse_args().data):
        print("  |  ".join(row))
