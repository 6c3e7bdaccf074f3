"""How a table stands on a terminal: what is short stays whole, text wraps, and the rest goes below."""

from hypothesis import given
from hypothesis import strategies as st

from scrimp.cli.layout import GAP, Column, lay_out

ID = "01m8hs8pqsss0zpbrkpdq7j98b"


def test_what_fits_stands_as_it_is():
    columns = (Column("id"), Column("why"), Column("more", narrow="leave out"))
    laid = lay_out(columns, [(ID, "one two", "x")], 80)
    assert laid.tables == [[(0, 26), (1, 7), (2, 4)]]
    assert laid.below == []


def test_text_gives_way_and_numbers_do_not():
    columns = (Column("id"), Column("cost", "right"), Column("why"))
    (table,) = lay_out(columns, [(ID, "$0.0012", "word " * 20)], 60).tables
    assert table == [(0, 26), (1, 7), (2, 60 - 26 - 7 - 2 * GAP)]


def test_the_last_details_are_left_out_until_the_rest_fits():
    columns = (
        Column("id"), Column("a", "right", narrow="leave out"), Column("text"), Column("b", "right", narrow="leave out"),
    )  # fmt: skip
    rows = [(ID, "1" * 10, "a few words", "2" * 10)]
    whole = 26 + 10 + 11 + 10 + 3 * GAP
    assert [j for j, _ in lay_out(columns, rows, whole).tables[0]] == [0, 1, 2, 3]
    assert lay_out(columns, rows, whole - 1).tables == [[(0, 26), (1, 10), (2, 11)]]
    assert lay_out(columns, rows, 26 + GAP + 11).tables == [[(0, 26), (2, 11)]]


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
NARROW = st.sampled_from(["wrap", "whole", "below", "apart", "leave out"])


@given(
    st.lists(st.tuples(st.sampled_from(["left", "right"]), NARROW), min_size=1, max_size=7).flatmap(
        lambda kinds: st.tuples(
            st.just([Column("title", align, narrow) for align, narrow in kinds]),
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
    assert all(columns[j].narrow == "leave out" for j in gone)
    assert all(columns[j].narrow == "below" for j in laid.below)
    for each in laid.tables:
        wide = sum(cells for _, cells in each) + GAP * (len(each) - 1)
        assert wide <= width or len(each) <= 2
        for j, cells in each:
            longest = max(len(line) for text in (columns[j].title, *(row[j] for row in rows)) for line in [text])
            assert cells <= longest
            if columns[j].align == "right" or columns[j].narrow == "whole":
                assert cells == longest
