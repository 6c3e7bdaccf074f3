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
    monkeypatch.setattr("scrimp.routing.batch.files.rows.MAX_ROW_BYTES", 1000)
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


# ---- tables as spreadsheets save them

WHAT = [("a-1", "What?"), ("b-2", "Who?")]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", "id,prompt\na-1,What?\nb-2,Who?\n"),
        ("a.csv", '\ufeff"id","prompt"\r\n"a-1","What?"\r\n"b-2","Who?"\r\n'),
        ("a.csv", '\ufeff"prompt","id"\r\n"What?","a-1"\r\n"Who?","b-2"\r\n'),
        ("a.csv", "\ufeffid;prompt\r\na-1;What?\r\nb-2;Who?\r\n"),
        ("a.csv", "sep=;\r\nid;prompt\r\na-1;What?\r\nb-2;Who?\r\n"),
        ("a.csv", '"sep=|"\nid|prompt\na-1|What?\nb-2|Who?\n'),
        ("a.csv", "id\tprompt\na-1\tWhat?\nb-2\tWho?\n"),
        ("a.csv", "id|prompt\na-1|What?\nb-2|Who?\n"),
        ("a.tsv", "id\tprompt\na-1\tWhat?\nb-2\tWho?\n"),
        ("a.tsv", "id;prompt\na-1;What?\nb-2;Who?\n"),
        ("a.csv", "ID;Prompt;\na-1;What?;\nb-2;Who?;\n"),
        ("a.csv", "id,prompt,,,\na-1,What?,,,\nb-2,Who?,,,\n,,,,\n"),
        ("a.csv", "id,prompt,,\na-1,What?\nb-2,Who?,\n\n\n"),
        ("a.csv", "id,prompt\na-1,What?,,\nb-2,Who?,\n , \n"),
        ("a.csv", ",id,prompt\n0,a-1,What?\n1,b-2,Who?\n"),
        ("a.csv", "\n\nid,prompt\n\na-1,What?\nb-2,Who?\n"),
        ("a.csv", "id,prompt\ra-1,What?\rb-2,Who?\r"),
        ("a.csv", "id;prompt;price\na-1;What?;0,5\nb-2;Who?;1,25\n"),
        ("a.csv", 'id,"prompt",note;s\na-1,What?,x;y\nb-2,Who?,z\n'),
        ("a.csv.gz", gzip.compress(b"\xef\xbb\xbfid;prompt\na-1;What?\nb-2;Who?\n", mtime=0)),
    ],
)
def test_a_table_however_a_spreadsheet_saves_it(tmp_path, name, data):
    rows = read(tmp_path, name, data)
    assert [(row.id, row.prompt.text) for row in rows] == WHAT


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        ("id;prompt\n1;a\n2;b;c\n", 3, "3 cells, and the header has 2"),
        ("id;prompt\n1\n", 2, "1 cells, and the header has 2"),
        ("sep=;\nid;prompt\n1;a;b\n", 3, "3 cells, and the header has 2"),
        ('id;prompt\n1;"open\n2;b\n', 3, "(the row begins on line 2)"),
    ],
)
def test_a_row_that_does_not_fit_a_tables_header_is_named_by_its_line(tmp_path, data, line, reason):
    bad = [row for row in read(tmp_path, "a.csv", data) if isinstance(row, BadRow)]
    assert [row.line for row in bad] == [line]
    assert reason in bad[0].reason


def test_text_with_semicolons_stays_whole_in_a_file_with_commas(tmp_path):
    rows = read(tmp_path, "a.csv", "id,prompt\n1,one; two; three\n2,four|five\n")
    assert [row.prompt.text for row in rows] == ["one; two; three", "four|five"]
    assert read(tmp_path, "b.csv", "prompt\none; two\n")[0].prompt.text == "one; two"


def test_a_header_that_may_be_divided_is_never_one_column(tmp_path):
    for head in ("id;prompt", "question (a|b)"):
        with pytest.raises(UsageError, match="which column"):
            read(tmp_path, "a.csv", head.replace("prompt", "text") + "\n1;a;b\n")


def test_a_separator_that_is_not_certain_is_asked_for(tmp_path):
    with pytest.raises(DataError, match="commas or by semicolons") as caught:
        read(tmp_path, "a.csv", "id,prompt;text\n1,a;b\n2,c;d\n")
    assert "sep=," in caught.value.hint


@pytest.mark.parametrize(
    ("data", "word", "fix"),
    [
        ("id,prompt\n1,Ö?\n".encode("utf-16"), "UTF-16", "iconv -f utf-16 "),
        ("id,prompt\n1,Ö?\n".encode("utf-16-le"), "UTF-16LE", "iconv -f utf-16le "),
        ("id,prompt\n1,Ö?\n".encode("utf-16-be"), "UTF-16BE", "iconv -f utf-16be "),
        ("id,prompt\n1,Ö?\n".encode("utf-32"), "UTF-32", "iconv -f utf-32 "),
        ("id,prompt\n1,Ö?\n".encode("utf-32-le"), "UTF-32LE", "iconv -f utf-32le "),
        (gzip.compress("id,prompt\n1,a\n".encode("utf-16"), mtime=0), "UTF-16", "iconv -f utf-16 "),
        (b"id,Fr\xe4ge\n1,a\n", "0xe4", "iconv -f latin1 "),
        (b"PK\x03\x04\x14\0\x06\0", "zip archive", "CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "Excel", "CSV UTF-8"),
        (b"PAR1\x15\0\x15\0", "Parquet", "JSON Lines"),
        (b"\x28\xb5\x2f\xfd\0\0", "zstd", "zstd -dc"),
        (gzip.compress(gzip.compress(b"prompt\na\n", mtime=0), mtime=0), "gzip", "gzip -dc"),
        (b"SQLite format 3\0", "SQLite", "sqlite3"),
    ],
)
def test_what_is_no_utf_8_text_is_told_what_to_do(tmp_path, data, word, fix):
    with pytest.raises(DataError) as caught:
        read(tmp_path, "a.csv", data, column="id")
    assert word in caught.value.message
    assert fix in caught.value.hint


def test_rows_in_another_encoding_say_which_it_may_be(tmp_path):
    rows = read(tmp_path, "a.csv", b"prompt\nit\x92s\ncaf\xe9\n")
    assert ["cp1252" in rows[0].hint, "latin1" in rows[1].hint] == [True, True]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_lines_that_end_in_carriage_returns(tmp_path, name):
    text = "one\rtwo\r" if name == "a.txt" else '{"prompt": "one"}\r{"prompt": "two"}\r'
    assert [(row.line, row.prompt.text) for row in read(tmp_path, name, text)] == [(1, "one"), (2, "two")]


# ---- JSON in other shapes than a value to a line


@pytest.mark.parametrize(
    "text",
    [
        '[{"id": 1, "prompt": "What?"}, {"id": 2, "prompt": "Who?"}]',
        '\ufeff[\n  {"id": 1, "prompt": "What?"},\n  {"id": 2, "prompt": "Who?"}\n]\n',
        '[\r\n{"id": 1, "prompt": "What?"},\r\n{"id": 2, "prompt": "Who?"}\r\n]\r\n',
        '{\n  "data": [\n    {"id": 1, "prompt": "What?"},\n    {"id": 2, "prompt": "Who?"}\n  ]\n}\n',
        '{"meta": {"data": [1]}, "n": 2, "data": [{"id": 1, "prompt": "What?"}, {"id": 2, "prompt": "Who?"}]}',
        '{\n  "id": 1,\n  "prompt": "What?"\n}\n{\n  "id": 2,\n  "prompt": "Who?"\n}\n',
        '{"id": 1, "prompt": "What?"}{"id": 2, "prompt": "Who?"}',
        '{"id": 1, "prompt": "What?"},\n{"id": 2, "prompt": "Who?"},\n',
        '\x1e{"id": 1, "prompt": "What?"}\n\x1e{"id": 2, "prompt": "Who?"}\n',
        '{"id": 1.0, "prompt": "What?"}\n{"id": 2e0, "prompt": "Who?"}\n',
    ],
)
def test_rows_of_json_however_they_stand(tmp_path, text):
    for name in ("a.json", "a"):  # by its name, and by how it begins
        rows = read(tmp_path, name, text)
        assert [(row.id, row.prompt.text) for row in rows] == [(1, "What?"), (2, "Who?")]
        assert [type(row.id) for row in rows] == [int, int]


def test_rows_of_a_document_have_their_lines_and_numbers(tmp_path):
    rows = read(tmp_path, "a.json", '[\n {"prompt": "a"}, {"prompt": "b"},\n\n {"promt": "c"}, 7\n]')
    assert [(row.line, getattr(row, "id", None)) for row in rows] == [(2, "1"), (2, "2"), (4, None), (4, None)]
    assert ["'promt'" in rows[2].reason, "expected an object" in rows[3].reason] == [True, True]


@pytest.mark.parametrize(
    ("text", "where"),
    [('[\n{"prompt": "a"},\n{"prompt": }\n]', "line 3, column 12"), ('[{"prompt": "a"}', "line 1, column 17")],
)
def test_a_document_that_is_broken_is_refused_whole(tmp_path, text, where):
    with pytest.raises(DataError, match=where):
        read(tmp_path, "a.json", text)


def test_a_document_that_is_too_large_is_told_how_to_become_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("scrimp.routing.batch.files.document.MAX_ROW_BYTES", 100)
    with pytest.raises(DataError) as caught:
        read(tmp_path, "a.json", "[" + '{"prompt": "a"},' * 20 + '{"prompt": "b"}]')
    assert "jq -c '.[]'" in caught.value.hint


def test_a_row_with_a_list_in_it_is_no_wrapper(tmp_path):
    (row,) = read(tmp_path, "a.json", '{"prompt": "a", "tags": [{"x": 1}]}')
    assert row.prompt.text == "a"
    (row,) = read(tmp_path, "b.json", '{"items": [{"x": 1}]}', template="Sort {{items}}")
    assert row.prompt.text == 'Sort [{"x": 1}]'


def test_numbers_that_are_one_id_are_found(tmp_path):
    found = scan(Source.of(write(tmp_path, "a.jsonl", jsonl(*({"id": n, "prompt": "x"} for n in (1, 1.0, "1"))))))
    assert [bad.line for bad in found.bad] == [2, 3]


@pytest.mark.parametrize("name", [1.5, 1e300, float(2**53), True])
def test_an_id_that_is_no_whole_number_for_certain(tmp_path, name):
    (row,) = read(tmp_path, "a.jsonl", jsonl({"id": name, "prompt": "x"}))
    assert isinstance(row, BadRow)


# ---- conversations, and what they want of the call


def test_a_user_who_speaks_twice_is_sent_as_two_messages(tmp_path):
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
        {"role": "user", "content": "e"},
    ]
    (row,) = read(tmp_path, "a.jsonl", jsonl({"messages": messages}))
    assert [message["role"] for message in row.prompt.messages()] == [each["role"] for each in messages]
    assert list(row.prompt.parts()) == ["s", "a", "b", "c", "d", "e"]


def test_a_system_prompt_beside_messages_is_kept(tmp_path):
    (row,) = read(tmp_path, "a.jsonl", jsonl({"system": "Be brief.", "messages": [{"role": "user", "content": "a"}]}))
    assert row.prompt.system == "Be brief."


def test_what_a_row_of_messages_wants_of_its_call(tmp_path):
    messages = [{"role": "user", "content": "a"}]
    (row,) = read(
        tmp_path,
        "a.jsonl",
        jsonl({"id": 1, "messages": messages, "max_tokens": 9.0, "temperature": 0, "n": 1, "topic": "mine"}),
    )
    assert (row.max_output_tokens, row.params) == (9, {"temperature": 0})


def test_the_effort_of_a_row_is_a_need(tmp_path):
    (row,) = read(tmp_path, "a.jsonl", jsonl(openai(reasoning_effort="low")))
    assert row.prompt.required == {"effort-low"}


@pytest.mark.parametrize(
    ("row", "named", "fix"),
    [
        (openai(tools=[{"type": "function"}]), "body.tools", "del(.body.tools)"),
        (openai(logprobs=True), "body.logprobs", "del(.body.logprobs)"),
        (openai(n=True), "body.n", "del"),
        ({"messages": [{"role": "user", "content": "a"}], "tools": [{}]}, "tools is not", "del(.tools)"),
        ({"custom_id": "a", "params": {"messages": [], "max_tokens": 9}}, "Anthropic", "jq -c"),
        ({"contents": [{"parts": [{"text": "a"}]}]}, "Gemini", "jq -c"),
        ({"key": "a", "request": {"contents": []}}, "Gemini", "jq -c"),
        ({"prompt": [{"role": "user", "content": "a"}]}, "prompt: expected text, got a list", "messages"),
    ],
)
def test_a_field_or_shape_that_is_not_read_is_named_with_the_fix(tmp_path, row, named, fix):
    (bad,) = read(tmp_path, "a.jsonl", jsonl(row))
    assert isinstance(bad, BadRow)
    assert named in bad.reason
    assert fix in bad.hint


@pytest.mark.parametrize("key", ["name", "tool_calls", "function_call"])
def test_a_message_with_more_than_its_text(tmp_path, key):
    (bad,) = read(tmp_path, "a.jsonl", jsonl({"messages": [{"role": "user", "content": "a", key: "x"}]}))
    assert f"messages[0].{key}" in bad.reason


# ---- files that change


@pytest.mark.parametrize("change", ["grows", "shrinks", "is another"])
def test_a_file_that_changes_is_not_read_on(tmp_path, change):
    path = write(tmp_path, "a.jsonl", jsonl(*({"prompt": f"p {n}"} for n in range(200))))
    source = Source.of(path)
    rows = read_rows(source)
    next(rows)
    if change == "is another":
        path.rename(tmp_path / "old.jsonl")
        write(tmp_path, "a.jsonl", jsonl({"prompt": "x"}))
        assert len(list(rows)) == 199, "what is open is still the file that was looked at"
        rows = read_rows(source)
    else:
        with path.open("r+b") as file:
            file.truncate(100) if change == "shrinks" else (file.seek(0, 2), file.write(b'{"prompt": "x"}\n'))
    with pytest.raises(DataError, match="has changed"):
        list(rows)
