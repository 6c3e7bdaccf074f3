"""Rows: every shape a file of prompts comes in, and every way it can be wrong."""

import gzip
import json

import pytest

from scrimp.profiles.errors import DataError, UsageError
from scrimp.routing.batch.files.rows import BadRow, Row, content_key
from scrimp.routing.batch.files.scan import good_rows, read_rows, scan
from scrimp.routing.batch.files.source import Source
from scrimp.routing.batch.files.table import header

PNG = "data:image/png;base64,iVBORw0KGgo="


def write(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def read(tmp_path, name, data, **how):
    return list(read_rows(Source.of(write(tmp_path, name, data), **how)))


def jsonl(*values):
    return "".join(json.dumps(value) + "\n" for value in values)


# ---- shapes


def test_prompts_with_and_without_ids(tmp_path):
    rows = read(
        tmp_path, "a.jsonl", jsonl({"id": "x", "prompt": "one"}, {"prompt": "two"}, {"id": 7, "prompt": "three"})
    )
    assert [(row.n, row.line, row.id, row.prompt.text) for row in rows] == [
        (0, 1, "x", "one"),
        (1, 2, "2", "two"),
        (2, 3, 7, "three"),
    ]


def test_messages_become_a_prompt_with_its_history(tmp_path):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": [{"type": "text", "text": "c"}, {"type": "image_url", "image_url": {"url": PNG}}]},
    ]
    (row,) = read(tmp_path, "a.jsonl", jsonl({"messages": messages}))
    assert row.prompt.system == "Be brief."
    assert [(turn.prompt, turn.answer) for turn in row.prompt.history] == [("a", "b")]
    assert row.prompt.text == "c"
    assert row.prompt.attachments[0].media_type == "image/png"
    assert row.prompt.required == {"vision"}


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "text",
        [{"role": "user"}],
        [{"role": "assistant", "content": "b"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": "tool", "content": "a"}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,%%"}}]}],
        ["a"],
    ],
)
def test_messages_that_cannot_be_priced_or_sent_are_refused(tmp_path, messages):
    (row,) = read(tmp_path, "a.jsonl", jsonl({"messages": messages}))
    assert isinstance(row, BadRow)
    assert "messages" in row.reason


def openai(**body):
    return {
        "custom_id": "c1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], **body},
    }


def test_the_openai_batch_shape(tmp_path):
    (row,) = read(
        tmp_path,
        "a.jsonl",
        jsonl(openai(max_tokens=50, max_completion_tokens=40, temperature=0, n=1, response_format={"type": "text"})),
    )
    assert (row.id, row.openai, row.max_output_tokens, row.params) == ("c1", True, 40, {"temperature": 0})
    assert row.response_format is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tools": []}, "body.tools"),
        ({"n": 3}, "body.n"),
        ({"stream": True}, "body.stream"),
        ({"max_tokens": 0}, "body.max_tokens"),
        ({"max_tokens": "9"}, "body.max_tokens"),
    ],
)
def test_what_would_change_the_price_of_an_openai_row_is_refused(tmp_path, change, named):
    (row,) = read(tmp_path, "a.jsonl", jsonl(openai(**change)))
    assert isinstance(row, BadRow)
    assert named in row.reason


def test_another_endpoint_is_refused(tmp_path):
    (row,) = read(tmp_path, "a.jsonl", jsonl(openai() | {"url": "/v1/embeddings"}))
    assert "url" in row.reason


def test_two_shapes_in_one_file(tmp_path):
    found = scan(Source.of(write(tmp_path, "a.jsonl", jsonl(openai(), {"prompt": "b"}))))
    assert (found.n_rows, found.n_bad, found.openai) == (2, 1, True)
    assert "shape" in found.bad[0].reason


def test_csv_by_column_and_by_template(tmp_path):
    text = 'id,body,kind\na,"one, two\nlines",x\n,three,y\n'
    rows = read(tmp_path, "a.csv", text, column="body")
    assert [(row.id, row.prompt.text, row.cells) for row in rows] == [
        ("a", "one, two\nlines", ("a", "one, two\nlines", "x")),
        (rows[1].id, "three", ("", "three", "y")),
    ]
    rows = read(tmp_path, "a.csv", text, template="Sort {{body}} into {{ kind }}")
    assert rows[1].prompt.text == "Sort three into y"
    assert header(Source.of(tmp_path / "a.csv")) == ("id", "body", "kind")


def test_tsv_and_a_single_column(tmp_path):
    assert [row.prompt.text for row in read(tmp_path, "a.tsv", "prompt\tx\none\t1\n")] == ["one"]
    assert [row.prompt.text for row in read(tmp_path, "a.csv", "\ufeffq\none\n\ntwo\n")] == ["one", "two"]


def test_a_column_that_is_not_there_names_those_that_are(tmp_path):
    with pytest.raises(UsageError, match=r"no column 'bodi'.*did you mean 'body'"):
        read(tmp_path, "a.csv", "id,body\na,b\n", column="bodi")
    with pytest.raises(UsageError, match="no column 'text'"):
        read(tmp_path, "a.csv", "id,body\na,b\n", template="{{text}}")
    with pytest.raises(UsageError, match="which column") as caught:
        read(tmp_path, "a.csv", "x,body\na,b\n")
    assert "x, body" in caught.value.hint


def test_a_table_whose_rows_do_not_fit_its_header(tmp_path):
    rows = read(tmp_path, "a.csv", 'prompt,b\none,1\ntwo\nthree,3,3\n"x"y,1\nfour,4\n')
    assert [type(row).__name__ for row in rows] == ["Row", "BadRow", "BadRow", "BadRow", "Row"]
    assert [row.line for row in rows] == [2, 3, 4, 5, 6]


def test_a_header_with_two_columns_of_a_name(tmp_path):
    with pytest.raises(DataError, match="two columns are called 'a'"):
        read(tmp_path, "a.csv", "a,a\n1,2\n", column="a")


def test_plain_lines(tmp_path):
    rows = read(tmp_path, "a.txt", "one\r\n\n  \ntwo\n")
    assert [(row.id, row.prompt.text) for row in rows] == [("1", "one"), ("4", "two")]
    (row,) = read(tmp_path, "b.txt", "ox\n", template="Translate {{input}}")
    assert row.prompt.text == "Translate ox"


def test_a_format_is_found_by_content_where_the_name_says_nothing(tmp_path):
    assert Source.of(write(tmp_path, "a", jsonl({"prompt": "x"}))).format == "jsonl"
    assert Source.of(write(tmp_path, "b", "hello")).format == "lines"
    assert Source.of(write(tmp_path, "c.csv.gz", gzip.compress(b"prompt\nx\n"))).format == "csv"


def test_gzip_by_its_first_bytes_whatever_the_name(tmp_path):
    rows = read(tmp_path, "a.jsonl", gzip.compress(jsonl({"prompt": "x"}).encode()))
    assert rows[0].prompt.text == "x"


# ---- bad input


def test_malformed_lines_are_named_by_number(tmp_path):
    text = '{"prompt": "one"}\n{"prompt": \n[1]\n{"prompt": 3}\n{"other": 1}\n{"prompt": "  "}\n\n{"prompt": "two"}\n'
    found = scan(Source.of(write(tmp_path, "a.jsonl", text)))
    assert (found.n_rows, found.n_bad) == (7, 5)
    assert [bad.line for bad in found.bad] == [2, 3, 4, 5, 6]
    assert "not JSON" in found.bad[0].reason
    assert "an object" in found.bad[1].reason
    assert "expected text, got a number" in found.bad[2].reason
    assert "'other'" in found.bad[3].reason
    assert "empty" in found.bad[4].reason
    assert [row.prompt.text for row in good_rows(Source.of(tmp_path / "a.jsonl"), found)] == ["one", "two"]


def test_bad_text_of_every_sort(tmp_path):
    lines = [
        b'{"prompt": "caf\xe9"}',
        b'{"prompt": "a\\u0000b"}',
        b"\xff\xfe{",
        b'{"prompt": "' + b"[" * 5 + b'"}',
        b"[" * 100_000,
        b'{"prompt": "\\ud800"}',
    ]
    rows = read(tmp_path, "x.jsonl", b"\n" + b"\n".join(lines))
    assert [type(row).__name__ for row in rows] == ["BadRow", "BadRow", "BadRow", "Row", "BadRow", "Row"]
    assert "byte 0xe9 at offset 15" in rows[0].reason
    assert "NUL" in rows[1].reason
    assert "\ud800" not in rows[5].prompt.text


def test_mixed_encodings_in_a_table(tmp_path):
    rows = read(tmp_path, "a.csv", b"prompt\nplain\ncaf\xc3\xa9\ncaf\xe9\n")
    assert [type(row).__name__ for row in rows] == ["Row", "Row", "BadRow"]


def test_utf_16_is_told_how_to_convert(tmp_path):
    with pytest.raises(DataError, match="UTF-16"):
        read(tmp_path, "a.jsonl", '{"prompt": "x"}'.encode("utf-16"))


def test_a_byte_order_mark_is_passed_over(tmp_path):
    assert read(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"prompt": "x"}\n')[0].prompt.text == "x"


def test_duplicate_ids(tmp_path):
    rows = [
        {"id": "a", "prompt": "1"},
        {"id": 7, "prompt": "2"},
        {"id": "7", "prompt": "3"},
        {"id": "a", "prompt": "4"},
    ]
    found = scan(Source.of(write(tmp_path, "a.jsonl", jsonl(*rows))))
    assert found.n_bad == 2
    assert [bad.reason for bad in found.bad] == ["its id '7' stands on line 2 too", "its id 'a' stands on line 1 too"]
    assert [row.id for row in good_rows(Source.of(tmp_path / "a.jsonl"), found)] == ["a", 7]


@pytest.mark.parametrize("name", ["../../x", "a\0b", "x" * 10_000, "\ud800", "/etc/passwd", ""])
def test_hostile_ids_are_only_ever_data(tmp_path, name):
    (row,) = read(tmp_path, "a.jsonl", jsonl({"id": name, "prompt": "x"}))
    assert isinstance(row, Row)
    json.dumps(row.id).encode("utf-8")
    str(row.id).encode("utf-8")


@pytest.mark.parametrize("name", [True, 1.5, [1], {}])
def test_an_id_that_is_neither_text_nor_a_number(tmp_path, name):
    (row,) = read(tmp_path, "a.jsonl", jsonl({"id": name, "prompt": "x"}))
    assert "id: expected" in row.reason


@pytest.mark.parametrize("data", ["", "\n\n", "\ufeff"])
def test_an_empty_file(tmp_path, data):
    with pytest.raises(DataError, match="no rows"):
        scan(Source.of(write(tmp_path, "a.jsonl", data)))


def test_a_table_without_rows_or_header(tmp_path):
    with pytest.raises(DataError, match="no rows"):
        scan(Source.of(write(tmp_path, "a.csv", "prompt\n")))
    with pytest.raises(DataError, match="no header"):
        scan(Source.of(write(tmp_path, "b.csv", "")))


def test_a_damaged_gzip(tmp_path):
    packed = gzip.compress(jsonl(*({"prompt": f"{i}" * 50} for i in range(200))).encode())
    with pytest.raises(DataError, match="damaged"):
        read(tmp_path, "a.jsonl.gz", packed[: len(packed) // 2])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        list(read_rows(Source(tmp_path / "none.jsonl", "jsonl", "none.jsonl")))


def test_a_row_of_5_mb_is_a_row(tmp_path):
    (row,) = read(tmp_path, "a.jsonl", jsonl({"prompt": "x" * 5_000_000}))
    assert len(row.prompt.text) == 5_000_000


def test_a_line_without_end_is_skipped_as_it_streams_past(tmp_path, monkeypatch):
    monkeypatch.setattr("scrimp.routing.batch.files.scan.MAX_ROW_BYTES", 1000)
    rows = read(tmp_path, "a.jsonl", jsonl({"prompt": "a"}, {"prompt": "x" * 5000}, {"prompt": "b"}))
    assert [type(row).__name__ for row in rows] == ["Row", "BadRow", "Row"]
    assert rows[1].line == 2


# ---- what is equal


def test_equal_prompts_have_one_key_whatever_their_ids(tmp_path):
    a, b, c, d = read(
        tmp_path,
        "a.jsonl",
        jsonl({"id": 1, "prompt": "x"}, {"id": 2, "prompt": "x"}, {"prompt": "y"}, {"prompt": "x", "system": "s"}),
    )
    assert content_key(a) == content_key(b)
    assert len({content_key(row) for row in (a, c, d)}) == 3
    found = scan(Source.of(tmp_path / "a.jsonl"))
    assert found.repeated == {int.from_bytes(content_key(a)[:8], "little")}


def test_a_changed_file_has_another_hash(tmp_path):
    before = scan(Source.of(write(tmp_path, "a.jsonl", jsonl({"prompt": "x"})))).sha256
    assert scan(Source.of(write(tmp_path, "a.jsonl", jsonl({"prompt": "y"})))).sha256 != before


def test_a_template_needs_its_keys(tmp_path):
    rows = read(tmp_path, "a.jsonl", jsonl({"a": "x", "b": 2}, {"a": "x"}), template="{{a}} {{b}}")
    assert rows[0].prompt.text == "x 2"
    assert "no 'b' in it" in rows[1].reason


def test_a_quote_that_is_never_closed_is_found_by_where_its_row_begins(tmp_path):
    rows = read(tmp_path, "a.csv", 'id,prompt\n1,x\n2,"open\n3,y\n')
    assert [type(row) for row in rows] == [Row, BadRow]
    assert rows[1].reason.endswith("(the row begins on line 3)")
