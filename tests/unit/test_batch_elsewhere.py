"""What `batch --on ray` reads and writes, without a cluster: rows of Parquet, formats of outputs, and their places."""

import datetime as dt
import io
import json
import sys
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import pytest

pytest.importorskip("ray.data")
import pyarrow as pa
import pyarrow.parquet as pq

from scrimp.profiles.errors import ConfigError, DataError, TryAgainError, UsageError
from scrimp.profiles.installer import how_to_add
from scrimp.routing.batch import cluster
from scrimp.routing.batch.files.datasets import _files, _Writer, parquet_lines, plain, text_chunks
from scrimp.routing.batch.files.delivery import Delivery, staged
from scrimp.routing.batch.files.elsewhere import is_elsewhere, is_url, located
from scrimp.routing.batch.files.source import Part, Source
from scrimp.routing.batch.workers.on_ray import _check


def lines_of(table):
    file = io.BytesIO()
    pq.write_table(table, file)
    return [json.loads(line) for data in parquet_lines(file, "f") for line in data.splitlines()]


def test_values_keep_their_types_and_what_would_be_a_setting_is_left_out():
    moment = dt.datetime(2026, 5, 4, 3, 2, 1, tzinfo=dt.UTC)
    table = pa.table({
        "id": pa.array([2**53 + 1, 7], pa.int64()),
        "prompt": ["naïve \u2028 text", None],
        "messages": pa.array([None, [{"role": "user", "content": "hi", "name": None}]]),
        "temperature": pa.array([None, 0.5]),
        "note": pa.array([None, "x"]),
        "file": pa.array([None, None], pa.string()),
        "when": pa.array([moment, None], pa.timestamp("ns", "UTC")),
        "price": pa.array([Decimal("1.10"), None]),
        "flag": pa.array([True, None]),
        "rate": pa.array([float("nan"), 2.0]),
    })  # fmt: skip
    first, second = lines_of(table)
    assert first == {
        "id": 2**53 + 1, "prompt": "naïve \u2028 text", "note": None, "file": None,
        "when": "2026-05-04T03:02:01+00:00", "price": "1.10", "flag": True, "rate": None,
    }  # fmt: skip
    assert second["messages"] == [{"role": "user", "content": "hi"}]
    assert second["id"] == 7
    assert type(second["temperature"]) is float
    assert "prompt" not in second


def test_a_lone_surrogate_and_other_oddities_are_written_or_refused():
    assert plain(dt.timedelta(seconds=90)) == 90.0
    with pytest.raises(TypeError, match="JSON has nothing"):
        plain(object())
    with pytest.raises(DataError, match="f is damaged, or no Parquet"):
        list(parquet_lines(io.BytesIO(b"no parquet at all"), "f"))


def test_text_comes_as_it_stands_unpacked():
    import gzip

    data = b'{"id": 1.0}\r\n\xef\xbb\xbf{}' * 3
    assert b"".join(text_chunks(io.BytesIO(data), "f")) == data
    assert b"".join(text_chunks(io.BytesIO(gzip.compress(data)), "f")) == data
    with pytest.raises(DataError, match="f is damaged"):
        list(text_chunks(io.BytesIO(gzip.compress(data * 1000)[:60]), "f"))


def joined(*files, table=False, rows=False, step=None):
    out = io.BytesIO()
    writer = _Writer(out, [f"f{i}" for i in range(len(files))], table=table, rows=rows)
    for at, data in enumerate(files):
        for start in range(0, len(data), step or len(data)):
            writer.write(at, data[start : start + (step or len(data))])
    writer.end()
    return out.getvalue(), tuple(writer.parts)


@pytest.mark.parametrize("step", [None, 1, 3])
def test_files_are_put_one_after_another_and_lines_are_found_again(tmp_path, step):
    data, parts = joined(b"a\nb", b"\xef\xbb\xbfc\n", b"d\ne\n", step=step)
    if step != 1:  # a mark in pieces is text
        assert data == b"a\nb\nc\nd\ne\n"
    data, parts = joined(b"id,x\n1,a", b"id,x\r\n2,b\n3,c\n", b"id,x\n", b"id,x\n4,d\n", table=True, step=step)
    assert data == b"id,x\n1,a\n2,b\n3,c\n4,d\n"
    source = Source(tmp_path / "x", "csv", "all", parts=parts)
    assert [source.where(line) for line in (2, 3, 4, 5)] == ["f0, line 2", "f1, line 2", "f1, line 3", "f3, line 2"]
    assert Source(tmp_path / "x", "jsonl", "it").where(3) == "it, line 3"
    assert Source(tmp_path / "x", "jsonl", "it", parts=(Part("p", 1, rows=True),)).where(3) == "p, row 3"


def test_a_table_with_other_columns_is_refused():
    with pytest.raises(DataError, match="f1: its columns are not those of f0"):
        joined(b"id,x\n1,a\n", b"x,id\n", table=True)


def test_files_of_a_folder_or_a_pattern(tmp_path):
    for name in ("a/1.jsonl", "a/2.jsonl", "a/.hidden", "_temporary/3.jsonl", "b/4.jsonl", "b/4.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "a" / "empty.jsonl").write_text("")

    def found(given):
        place = located(given)
        return [str(Path(each).relative_to(tmp_path)) for each in _files(place.system, place.path, given)]

    assert found(str(tmp_path)) == ["a/1.jsonl", "a/2.jsonl", "b/4.csv", "b/4.jsonl"]
    assert found(f"file://{tmp_path}/*/*.jsonl") == ["a/1.jsonl", "a/2.jsonl", "b/4.jsonl"]
    assert found(f"{tmp_path}/b/*.csv") == ["b/4.csv"]
    with pytest.raises(UsageError, match="no file fits it"):
        found(f"{tmp_path}/b/*.parquet")
    with pytest.raises(UsageError, match="it is not there"):
        found(f"{tmp_path}/c")


def test_places():
    assert is_url("s3://bucket/key")
    assert not is_url("C:\\x")
    assert not is_url("./odd://name")
    assert is_elsewhere("x.PARQUET")
    assert not is_elsewhere("x.jsonl")
    with pytest.raises(UsageError, match="cannot reach gopher2://x/y"):
        located("gopher2://x/y")
    assert (
        staged(Path("d"), "s3://a/out.csv")
        == staged(Path("d"), "s3://a/out.csv")
        != staged(Path("d"), "s3://b/out.csv")
    )
    assert staged(Path("d"), "s3://a/out.csv.gz").suffix == ".gz"


ROWS = [
    {"id": "a", "status": "ok", "answer": "=1+1", "cost_usd": 1e-7, "input_tokens": 3, "error": None},
    {"id": 2, "status": "failed", "answer": None, "cost_usd": None, "input_tokens": None, "error": "no \ud800 way"},
]


@pytest.fixture
def output(tmp_path):
    path = tmp_path / "staged"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_rows_become_parquet_with_the_same_columns_whatever_is_in_them(output, tmp_path):
    target = tmp_path / "out.parquet"
    Delivery.to(str(target)).deliver(output, rows=True)
    table = pq.read_table(target)
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "id": "string", "status": "string", "answer": "string", "cost_usd": "double", "input_tokens": "int64",
        "error": "string",
    }  # fmt: skip
    assert table.column("id").to_pylist() == ["a", "2"]
    assert table.column("error").to_pylist() == [None, "no ? way"]
    output.write_text(json.dumps(ROWS[1]) + "\n")
    Delivery.to(f"file://{target}").deliver(output, rows=True)
    again = pq.read_table(target)
    assert {field.name: str(field.type) for field in again.schema} == types | {"id": "int64"}


def test_rows_become_a_table_and_lines_and_other_outputs_go_as_they_are(output, tmp_path):
    Delivery.to(str(tmp_path / "out.csv")).deliver(output, rows=True)
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "id,status,answer,cost_usd,input_tokens,error",
        "a,ok,'=1+1,0.0000001,3,",
        "2,failed,,,,no ? way",
    ]
    Delivery.to(str(tmp_path / "plain")).deliver(output, rows=False)
    assert (tmp_path / "plain").read_bytes() == output.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.csv", "plain", "staged"]


@pytest.mark.parametrize(
    ("target", "source", "rows"),
    [
        ("s3://b/o.parquet", "jsonl", True), ("s3://b/o.parquet", "csv", True), ("s3://b/o.csv", "csv", False),
        ("s3://b/o.csv", "lines", True), ("s3://b/o.jsonl.gz", "jsonl", False), ("s3://b/o.jsonl", "tsv", True),
        ("s3://b/o", "csv", False),
    ],
)  # fmt: skip
def test_what_an_output_is_made_of_follows_from_its_name(target, source, rows):
    assert Delivery(target, located("x")).takes_rows(source) is rows


def test_through_fsspec_an_output_is_there_only_when_it_is_whole(output):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.mkdirs("/lake", exist_ok=True)
    target = Delivery.to("memory://lake/out.parquet")
    target.check(overwrite=False)
    target.deliver(output, rows=True)
    assert [Path(each).name for each in memory.ls("/lake", detail=False)] == ["out.parquet"]
    with memory.open("/lake/out.parquet") as file:
        assert pq.read_table(file).num_rows == 2
    with pytest.raises(UsageError, match="is there already"):
        target.check(overwrite=False)
    target.check(overwrite=True)
    memory.rm("/lake", recursive=True)


def test_what_cannot_be_written_can_be_delivered_later(output, tmp_path):
    with pytest.raises(TryAgainError, match="cannot be brought to") as caught:
        Delivery.to(str(tmp_path / "none" / "out.parquet")).deliver(output, rows=True)
    assert "--resume" in caught.value.hint
    assert [each.name for each in tmp_path.iterdir()] == ["staged"]
    with pytest.raises(UsageError, match="there is no folder"):
        Delivery.to(str(tmp_path / "none" / "out.parquet")).check(overwrite=False)
    with pytest.raises(UsageError, match="is a folder"):
        Delivery.to(str(tmp_path)).check(overwrite=False)


def test_without_ray_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="ray is not installed") as caught:
        cluster.check_installed()
    assert caught.value.hint == how_to_add("ray")


def test_workers_of_other_releases_are_refused():
    here = ".".join(map(str, sys.version_info[:2]))
    _check("worker 1", version("scrimp"), here)
    with pytest.raises(ConfigError, match=r"worker 1 runs scrimp 0\.0\.9 on its node"):
        _check("worker 1", "0.0.9", here)
    with pytest.raises(ConfigError, match=r"worker 1 runs Python 3\.9 on its node"):
        _check("worker 1", version("scrimp"), "3.9")
    assert cluster.not_there(RuntimeError("... ModuleNotFoundError: No module named 'scrimp'")) is not None
    assert cluster.not_there(RuntimeError("No module named 'numpy'")) is None


def test_ray_client_is_refused():
    with pytest.raises(UsageError, match="Ray Client's"):
        cluster.join("ray://127.0.0.1:10001")


@pytest.mark.parametrize(
    "argv",
    [("s3://b/in.jsonl", "-o", "out.jsonl"), ("in.parquet", "-o", "out.jsonl"), ("in.jsonl", "-o", "gs://b/out")],
)
def test_without_on_ray_the_error_says_what_to_type(scrimp, argv):
    Path("in.jsonl").write_text('{"prompt": "x"}\n')
    done = scrimp("batch", *argv)
    assert done.code == 2
    assert "--on ray" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(("argv", "said"), [(("--on", "spark"), "expected ray"), (("--address", "auto"), "--on ray")])
def test_flags_that_do_not_go_together(scrimp, argv, said):
    Path("in.jsonl").write_text('{"prompt": "x"}\n')
    done = scrimp("batch", "in.jsonl", "-o", "out.jsonl", *argv)
    assert (done.code, said in done.err) == (2, True)
