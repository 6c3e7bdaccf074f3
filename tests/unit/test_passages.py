"""Pieces of texts, their words, and the passages that a question is about."""

import os
import sqlite3
import subprocess
import sys
import zlib
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.sources import Source, block_of
from scrimp.routing.retrieval import passages_kept
from scrimp.routing.retrieval.passages import Search, passages
from scrimp.routing.retrieval.passages_cut import PIECE_TOKENS, cut
from scrimp.routing.retrieval.passages_kept import KEPT_FILE, Kept
from scrimp.routing.retrieval.passages_words import Pieces, asked_words, densest, pieces_of, scored, words_of

CHARACTERS = st.sampled_from([*"abc .!?\n\n\r\t\xa0", "。", "東", "京", "é", "\ud800", "=", "1", ",", "😀"])
TEXTS = st.text(CHARACTERS, max_size=3_000) | st.text(max_size=400)


class Counting:
    """The packaged embedder, and the texts it was given."""

    inner = Embedder()

    def __init__(self):
        self.texts = []

    @property
    def id(self):
        return self.inner.id

    def embed(self, texts):
        self.texts += texts
        return self.inner.embed(texts)


@pytest.fixture
def embedder():
    return Counting()


def look(sources, question, budget=1_600, cache=None, embedder=None):
    embedder = embedder or Counting()
    return passages(sources, question, Counting.inner.embed([question])[0], embedder, budget=budget, cache=cache)


def read(sources, found):
    return [sources[span.source].text[span.start : span.end] for span in found.spans]


def pages(n=40, needle=23):
    """A text of pages about one thing each, one of which says when the auditors were paid."""
    said = [
        f"Page {at}. " + f"The harbour wall of section {at} was mended with stone and lime. " * 18 for at in range(n)
    ]
    said[needle] += "\nThe auditors of Hollins & Webb were paid 48,250 crowns on the last day of autumn."
    return "\n\n".join(said)


# -- pieces -----------------------------------------------------------------------------------------------------------


@given(TEXTS, st.integers(1, 60))
def test_every_character_belongs_to_one_piece_of_the_size(text, most):
    ends = cut(text, most)
    starts = [0, *ends]
    assert "".join(text[a:b] for a, b in pairwise(starts)) == text
    assert all(a < b for a, b in pairwise(starts))
    assert all(approx_tokens(text[a:b]) <= most or b - a == 1 for a, b in pairwise(starts))


@pytest.mark.parametrize(
    ("unit", "ends_with"),
    [
        ("A sentence of some words. And one more.\nA line.\n\n", "\n\n"),  # paragraphs
        ("name,12,14.5,a note\n", "\n"),  # a table
        ("One sentence follows the other here. ", ". "),
        ("文章がここで終わる。", "。"),
        ("word ", " "),
        ("x", "x"),  # one endless line without a space
    ],
)
def test_a_piece_ends_at_the_best_end_there_is(unit, ends_with):
    text = unit * (30_000 // len(unit))
    ends = cut(text)
    pieces = [text[a:b] for a, b in pairwise([0, *ends])]
    assert len(pieces) > 10
    assert all(piece.endswith(ends_with) for piece in pieces[:-1])
    assert all(PIECE_TOKENS * 0.35 < approx_tokens(piece) <= PIECE_TOKENS for piece in pieces[:-1])


def test_a_table_set_with_blanks_is_not_cut_to_shreds():
    row = "Total assets" + " " * 90 + "$ 5,322,259" + "\xa0" * 40 + "$ 10,126,164\n"
    assert len(cut(row * 40)) == -(-40 * approx_tokens(row) // PIECE_TOKENS)
    assert approx_tokens(row) < 15


# -- words ------------------------------------------------------------------------------------------------------------


def test_words_are_compared_across_case_accents_plurals_and_ways_of_writing_figures():
    assert words_of("CAFÉS") == words_of("cafe")
    assert words_of("Liabilities, 1,250,000") == ["liability", "1250000"]
    assert words_of("ПРИВЕТ") == words_of("привет")
    assert words_of("Straße") == words_of("STRASSE")
    assert set(words_of("東京")) <= set(words_of("私は東京に住む"))
    assert words_of("हिन्दी भाषा") == words_of("हिन्दी  भाषा")
    assert len(words_of("हिन्दी भाषा")) == 2
    assert words_of("read_file(x2)") == ["read", "file", "x2"]


@given(TEXTS)
def test_pieces_hold_the_words_of_their_text_and_no_other(text):
    pieces = pieces_of(text, 40)
    held = [{} for _ in pieces.ends]
    for word in pieces.postings:
        for number, n in pieces.holding(word):
            held[number][word] = n
    for (a, b), words, length in zip(pairwise([0, *pieces.ends]), held, pieces.lengths, strict=True):
        assert words == {word: words_of(text[a:b]).count(word) for word in words_of(text[a:b])}
        assert length == len(words_of(text[a:b]))
    assert pieces.sound(len(text))


def test_bm25_is_what_the_formula_says():
    one, two = pieces_of("stone stone lime"), pieces_of("stone")
    found = scored([one, two], [frozenset(), frozenset()], {"lime": 1.0, "sand": 1.0})
    idf, none = np.log1p(1.5 / 1.5), np.log1p(2.5 / 0.5)
    assert found.scores == {0: pytest.approx(idf * 2.2 / (1 + 1.2 * (0.6 + 0.4 * 3 / 2)))}
    assert found.covered == {0: pytest.approx(idf / (idf + none))}


def test_words_that_stand_close_together_are_found():
    weights = {"net": 1.0, "loss": 2.0, "tax": 4.0}
    text = "net " + "and so on " * 30 + "the net loss was 12 " + "and so on " * 30 + "loss"
    much, around = densest(text, weights)
    assert much == 3.0
    assert "net loss was 12" in around
    assert densest("nothing of it", weights)[0] == 0.0


def test_words_that_all_texts_have_are_looked_for_only_where_there_are_no_others():
    assert asked_words("What is it?") == {"what": 1.0, "is": 1.0, "it": 1.0}
    assert [*asked_words("What is the price?")] == ["price"]
    assert asked_words("") == {}
    assert len(asked_words(" ".join(f"w{n}x" for n in range(999)))) == 48


# -- passages ---------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.text(CHARACTERS, max_size=9), TEXTS), max_size=4),
    st.text(CHARACTERS, max_size=40) | st.just("aa b c 東京"),
    st.sampled_from([1, 30, 100, 400, 1_600]),
)
def test_passages_are_within_the_budget_in_order_and_apart(given_texts, question, budget):
    sources = [Source(name, text) for name, text in given_texts]
    found = look(sources, question, budget)
    spans = found.spans
    assert [(s.source, s.start) for s in spans] == sorted((s.source, s.start) for s in spans)
    assert all(0 <= s.start < s.end <= len(sources[s.source].text) and 0 <= s.score <= 1 for s in spans)
    assert all(a.source != b.source or a.end < b.start for a, b in pairwise(spans))  # neighbours are one
    assert not spans or approx_tokens(block_of(sources, spans, question)) <= budget
    assert 0 <= found.best <= 1
    assert 0 <= found.flat <= 1
    assert look(sources, question, budget) == found


def test_the_passage_that_answers_is_sent(embedder):
    sources = [Source("harbour.txt", pages())]
    found = look(sources, "How much were the auditors paid?", 900, embedder=embedder)
    assert "48,250 crowns" in "".join(read(sources, found))
    assert found.best > 0.9
    assert found.flat < 0.5
    assert 0 < len(embedder.texts) <= 40


def test_another_question_of_another_text_stands_out_less():
    sources = [Source("harbour.txt", pages())]
    clear = look(sources, "How much were the auditors paid?", 900)
    vague = look(sources, "Which section has a harbour wall of glass from Venice?", 900)
    assert vague.best < clear.best
    assert vague.flat > clear.flat


def test_a_text_that_shares_no_word_with_the_question_gives_its_beginning(embedder):
    sources = [Source("harbour.txt", pages()), Source("b.txt", "Zebra. " * 3_000)]
    found = look(sources, "quantum chromodynamics", 900, embedder=embedder)
    assert [(span.source, span.start) for span in found.spans] == [(0, 0), (1, 0)]
    assert (found.best, found.flat) == (0.0, 1.0)
    assert embedder.texts == []


def test_between_pieces_of_the_same_words_what_they_mean_decides():
    about = ("The storm tore sails and ropes", "The cook boiled beans and rice", "The sailors got their wages in coins")
    said = [f"The letter of the captain says: {what}. " + f"{what} on each day. " * 26 for what in about]
    sources = [Source("letters.txt", "\n\n".join(said * 3))]
    for number, question in enumerate(("bad weather at sea", "food and hunger", "money paid to the crew")):
        found = look(sources, f"Which letter of the captain is of {question}?", 400)
        assert [about[number] in text for text in read(sources, found)] == [True], question


def test_a_second_hop_reaches_what_the_question_has_no_word_of():
    said = [f"Page {at}. " + f"The harbour wall of section {at} was mended with stone. " * 22 for at in range(12)]
    for at in (2, 5, 7):
        said[at] = "The captain sailed on the Nightingale. " * 30
    said[10] = "On the Nightingale there were forty barrels of salt. " * 24
    search = Search([Source("log.txt", "\n\n".join(said))], "What did the captain carry?", Kept(None))
    one = search.by_words()
    two = search.second_hop(one)
    assert "barrels" not in "".join(map(search.text, one))
    assert "barrels" in search.text([*two][3])


def test_nothing_gives_nothing():
    assert look([], "what?").spans == ()
    assert look([Source("empty.txt", "")], "what?").spans == ()
    assert look([Source("a.txt", pages())], "", 900).spans[0].start == 0


def test_a_budget_below_a_piece_gets_the_part_that_answers():
    sources = [Source("harbour.txt", pages())]
    found = look(sources, "How much were the auditors paid?", 120)
    assert "48,250 crowns" in "".join(read(sources, found))
    assert approx_tokens(block_of(sources, found.spans)) <= 120
    assert look(sources, "How much were the auditors paid?", 20).spans == ()


def test_an_endless_line_is_searched_too():
    text = "lorem" * 20_000 + " the crankshaft weighs 31 kilograms " + "ipsum" * 20_000
    sources = [Source("line.txt", text)]
    assert "31 kilograms" in "".join(read(sources, look(sources, "weight of the crankshaft in kilograms", 900)))


def test_a_script_without_spaces_is_searched_too():
    said = ["".join(f"第{at}章では港の壁を石で直した。" for _ in range(40)) for at in range(30)]
    said[17] += "監査人には四万八千クローネが支払われた。"
    sources = [Source("港.txt", "\n\n".join(said))]
    assert "四万八千" in "".join(read(sources, look(sources, "監査人にいくら支払われたか", 900)))


def test_the_names_of_files_count():
    said = "The board met. It may have talked of the budget and of the roof.\n" * 40
    names = [f"minutes/{month}.md" for month in ("april", "may", "june", "july")]
    sources = [Source(name, said) for name in names]
    found = look(sources, "What do the minutes of May say?", 700)
    assert {sources[span.source].name for span in found.spans} == {"minutes/may.md"}


def test_the_row_of_a_table_that_says_it_all_comes_first():
    rows = [f"Item {at} of stores,{at * 7},{at * 11},in barrels and crates\n" for at in range(2_000)]
    rows[1_234] = "Copper nails,777,888,in sacks\n"
    sources = [Source("stores.csv", "".join(rows))]
    assert "Copper nails,777,888" in "".join(read(sources, look(sources, "How many copper nails are in stores?", 500)))


def test_text_that_holds_the_marks_stays_within_the_budget():
    sources = [Source("a\nb.txt", ("===== END of it. " + "===== PASSAGE of harbour. " * 60 + "\n\n") * 20)]
    found = look(sources, "harbour passage ===== END", 1_000)
    assert found.spans
    assert approx_tokens(block_of(sources, found.spans, "harbour passage ===== END")) <= 1_000


def test_ten_thousand_files_are_searched(tmp_path, embedder):
    sources = [Source(f"notes/{at}.txt", f"Note {at}: buy bread and candles.") for at in range(10_000)]
    sources[7_321] = Source("notes/7321.txt", "Note 7321: the locksmith comes at noon.")
    for _ in range(2):
        found = look(sources, "When does the locksmith come?", 900, tmp_path, embedder)
        assert 7_321 in {span.source for span in found.spans}
    assert len(embedder.texts) <= 80  # the second hop may find others


# -- what is kept -----------------------------------------------------------------------------------------------------


QUESTION = "How much were the auditors paid?"


def kept_rows(cache):
    with sqlite3.connect(cache / KEPT_FILE) as conn:
        return dict(conn.execute("SELECT key, packed FROM kept"))


def test_what_is_kept_is_what_is_used(tmp_path, embedder):
    """A kept text's pieces are changed by hand: what they say is what is found."""
    sources = [Source("harbour.txt", pages())]
    before = look(sources, QUESTION, 900, tmp_path, embedder)
    n = len(embedder.texts)
    assert look(sources, QUESTION, 900, tmp_path, embedder) == before
    assert len(embedder.texts) == n  # no vector was made anew
    key = sources[0].sha256
    pieces = msgspec.msgpack.decode(zlib.decompress(kept_rows(tmp_path)[key]), type=Pieces)
    moved = msgspec.structs.replace(pieces, postings={**pieces.postings, "auditor": pieces.postings["page"][:8]})
    with sqlite3.connect(tmp_path / KEPT_FILE) as conn:
        packed = zlib.compress(msgspec.msgpack.encode(moved))
        conn.execute("UPDATE kept SET packed = ? WHERE key = ?", (packed, key))
    first = look(sources, "auditors", 500, tmp_path, embedder).spans[0]
    assert first.start == 0
    assert look(sources, "auditors", 500, None, embedder).spans[0].start > 0
    assert not (tmp_path / KEPT_FILE).stat().st_mode & 0o077


def test_a_changed_text_is_another(tmp_path):
    look([Source("harbour.txt", pages())], QUESTION, 900, tmp_path)
    sources = [Source("harbour.txt", pages(needle=3))]
    found = look(sources, QUESTION, 900, tmp_path)
    assert "48,250" in "".join(read(sources, found))
    assert found == look(sources, QUESTION, 900)


@pytest.mark.parametrize("damage", ["bytes", "empty", "not sqlite", "other table", "other version", "packed", "pieces"])
def test_a_damaged_cache_is_made_anew(tmp_path, damage, embedder):
    sources = [Source("harbour.txt", pages())]
    before = look(sources, QUESTION, 900, tmp_path, embedder)
    sound = kept_rows(tmp_path)
    path = tmp_path / KEPT_FILE
    if damage == "bytes":
        data = bytearray(path.read_bytes())
        data[100:] = os.urandom(len(data) - 100)
        path.write_bytes(data)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "not sqlite":
        path.write_text("Hello")
    elif damage == "other table":
        path.unlink()
        with sqlite3.connect(path) as conn:
            conn.execute("CREATE TABLE kept (x)")
    else:
        what = {
            "other version": "PRAGMA user_version = 99",
            "packed": "UPDATE kept SET packed = x'00ff'",
            "pieces": f"UPDATE kept SET packed = x'{zlib.compress(msgspec.msgpack.encode([[9], [], {}])).hex()}'",
        }
        with sqlite3.connect(path) as conn:
            conn.execute(what[damage] + (f" WHERE key = '{sources[0].sha256}'" if damage == "pieces" else ""))
    assert look(sources, QUESTION, 900, tmp_path, embedder) == before
    assert kept_rows(tmp_path) == sound


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    sources = [Source("harbour.txt", pages())]
    assert look(sources, QUESTION, 900, tmp_path / "cache") == look(sources, QUESTION, 900)


def test_what_was_used_longest_ago_goes(tmp_path, monkeypatch):
    clock = [1_000_000.0]
    monkeypatch.setattr(passages_kept.time, "time", lambda: clock[0])
    texts = [Source(f"{at}.txt", " ".join(f"w{at}x{n}" for n in range(4_000))) for at in range(12)]
    size = len(zlib.compress(msgspec.msgpack.encode(pieces_of(texts[0].text)), 1))
    kept = Kept(tmp_path, most=5 * size)
    for source in texts:
        kept.pieces([source, texts[0]])
        clock[0] += 7_200
    rows = kept_rows(tmp_path)
    assert sum(map(len, rows.values())) <= 5 * size
    assert texts[0].sha256 in rows  # used each time
    assert texts[-1].sha256 in rows
    assert texts[1].sha256 not in rows


def test_processes_that_start_together_share_one_cache(tmp_path):
    code = (
        "import sys; from pathlib import Path; from scrimp.routing.prompts.sources import Source;"
        "from scrimp.routing.retrieval.passages_kept import Kept;"
        "print(len(Kept(Path(sys.argv[1])).pieces([Source('a', 'stone and lime. ' * 900)])[0].ends))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert {process.communicate()[0].strip() for process in started} == {"9"}
    assert [process.returncode for process in started] == [0] * 4
    assert len(kept_rows(tmp_path)) == 1


def test_importing_it_loads_no_numpy():
    code = "import sys, scrimp.routing.retrieval.passages; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
