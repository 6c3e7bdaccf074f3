"""How a table stands on a terminal: what is short stays whole, text wraps, and the rest goes below."""

from hypothesis import given
from hypothesis import strategies as st

from scrimp.cli.layout import GAP, Column, lay_out

ID = "01m8hs8pqsss0zpbrkpdq7j98b"


def test_what_fits_stands_as_it_is():
    columns = (Column("id"), Column("why"), Column("more", drop=1))
    laid = lay_out(columns, [(ID, "one two", "x")], 80)
    assert laid.tables == [[(0, 26), (1, 7), (2, 4)]]
    assert laid.below == []


def test_text_gives_way_and_numbers_do_not():
    columns = (Column("id"), Column("cost", "right"), Column("why"))
    (table,) = lay_out(columns, [(ID, "$0.0012", "word " * 20)], 60).tables
    assert table == [(0, 26), (1, 7), (2, 60 - 26 - 7 - 2 * GAP)]


def test_the_last_details_are_left_out_until_the_rest_fits():
    columns = (
        Column("id"), Column("a", "right", drop=1), Column("text"), Column("b", "right", drop=1),
    )  # fmt: skip
    rows = [(ID, "1" * 10, "a few words", "2" * 10)]
    whole = 26 + 10 + 11 + 10 + 3 * GAP
    assert [j for j, _ in lay_out(columns, rows, whole).tables[0]] == [0, 1, 2, 3]
    laid = lay_out(columns, rows, whole - 1)
    assert (laid.tables, laid.left_out) == ([[(0, 26), (1, 10), (2, 11)]], [3])
    laid = lay_out(columns, rows, 26 + GAP + 11)
    assert (laid.tables, laid.left_out) == ([[(0, 26), (2, 11)]], [1, 3])


def test_what_matters_least_goes_first():
    columns = (
        Column("id"), Column("a", "right", drop=3), Column("b", "right", drop=1), Column("c", "right"),
        Column("d", "right", drop=2), Column("e", "right", drop=2),
    )  # fmt: skip
    rows = [(ID, "1" * 8, "2" * 8, "3" * 8, "4" * 8, "5" * 8)]
    left = [lay_out(columns, rows, 26 + n * (8 + GAP)).left_out for n in range(6)]
    assert left == [[1, 2, 4, 5], [1, 2, 4, 5], [2, 4, 5], [2, 5], [2], []]
    assert lay_out(columns, rows, 40).tables == [[(0, 26), (3, 8)]], "c stays, whatever the width"


def test_what_all_rows_say_is_said_once_where_there_is_no_room():
    columns = (Column("arm"), Column("key", narrow="once"), Column("cost", "right"))
    rows = [("small", "not needed", "$0.0012"), ("large", "not needed", "$0.0012")]
    assert lay_out(columns, rows, 26).once == []
    laid = lay_out(columns, rows, 25)
    assert (laid.tables, laid.once) == ([[(0, 5), (2, 7)]], [1]), "a cost does not stand in for another"
    differ = [("small", "missing", "$0.0012"), ("large", "set", "$0.0012")]
    assert lay_out(columns, differ, 15).once == []
    assert lay_out(columns, rows[:1], 15).once == [], "one row is not all rows"


def test_a_sentence_is_not_wrapped_into_three_words_a_line():
    columns = (Column("id"), Column("why", narrow="below"))
    rows = [(ID, "under 1% better, not worth its extra cost")]
    laid = lay_out(columns, rows, 26 + GAP + 30)
    assert (laid.tables, laid.below) == ([[(0, 26), (1, 30)]], [])
    laid = lay_out(columns, rows, 26 + GAP + 29)
    assert (laid.tables, laid.below) == ([[(0, 26)]], [1])


def test_some_columns_are_for_a_pipe_alone():
    laid = lay_out((Column("id"), Column("basis", narrow="pipe")), [(ID, "prior")], 200)
    assert (laid.tables, laid.left_out) == ([[(0, 26)]], [])


def test_columns_set_apart_and_below():
    columns = (
        Column("id"),
        Column("n", "right", narrow="apart"),
        Column("cost", "right"),
        Column("why", narrow="below"),
    )
    rows = [(ID, "1" * 30, "$0.0012", "text " * 20)]
    laid = lay_out(columns, rows, 80)
    assert laid.tables == [[(0, 26), (2, 7), (3, 43)], [(0, 26), (1, 30)]]
    laid = lay_out(columns, rows, 48)
    assert laid.tables == [[(0, 26), (2, 7)], [(0, 26), (1, 30)]], "too long even alone: it is not broken"
    assert laid.below == [3]


def test_a_column_without_blanks_is_names_and_stays_whole():
    columns = (Column("arm"), Column("model"), Column("window", "right"))
    rows = [("small", "openrouter/somebody/" + "m" * 60, "1,000,000")]
    assert lay_out(columns, rows, 60).tables == [[(0, 5), (1, 80)], [(0, 5), (2, 9)]]


CELLS = st.text(alphabet="ab ", max_size=40)
NARROW = st.sampled_from(["wrap", "whole", "once", "below", "apart", "pipe"])


@given(
    st.lists(st.tuples(st.sampled_from(["left", "right"]), NARROW, st.integers(0, 3)), min_size=1, max_size=7).flatmap(
        lambda kinds: st.tuples(
            st.just([Column("title", align, narrow, drop) for align, narrow, drop in kinds]),
            st.lists(st.tuples(*[CELLS] * len(kinds)), max_size=4),
        )
    ),
    st.integers(1, 120),
)
def test_every_column_is_somewhere_and_no_table_is_wider_than_it_must_be(table, width):
    columns, rows = table
    laid = lay_out(columns, rows, width)
    places = [j for each in laid.tables for j, _ in each[1:]] + laid.below
    assert len(places) == len(set(places))
    assert all(each[0][0] == 0 for each in laid.tables)
    gone = set(range(1, len(columns))) - set(places)
    assert gone == {*laid.once, *laid.left_out} | {j for j in gone if columns[j].narrow == "pipe"}
    assert all(columns[j].drop for j in laid.left_out)
    assert all(columns[j].narrow == "once" and len({row[j] for row in rows}) == 1 for j in laid.once)
    assert all(columns[j].narrow == "below" for j in laid.below)
    for each in laid.tables:
        wide = sum(cells for _, cells in each) + GAP * (len(each) - 1)
        assert wide <= width or len(each) <= 2
        for j, cells in each:
            longest = max(len(line) for text in (columns[j].title, *(row[j] for row in rows)) for line in [text])
            assert cells <= longest
            if columns[j].align == "right" or columns[j].narrow == "whole":
                assert cells == longest
