"""One table of shapes x (terminal, pipe, batch): whatever a reply looks like, it comes to the same in every way."""

import contextlib
import json
import sqlite3
import sys

import pytest
from parity.shapes import BOUND, FAMILIES, SHAPES

# As `prepare` does for a process; pytest makes its own filters for each test.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Items? .*`ReadOnly`:UserWarning"),
]

ARM = """
name = "test"
[caps]
per_day_usd = 1.0
[policy]
explore = 0.0
[[arms]]
name = "small"
model = "{model}"
api_base = "{base}"
tier = "small"
max_output_tokens = 400
timeout_s = 10
price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4 }}
"""


def terminal(scrimp, folder, profile):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.stdout, "isatty", lambda: True)
        done = scrimp("ask", "-p", profile, "Capital of France?")
    return done.code, done.out, done


def pipe(scrimp, folder, profile):
    done = scrimp("ask", "-p", profile, "Capital of France?")
    return done.code, done.out, done


def batch(scrimp, folder, profile):
    (folder / "in.jsonl").write_text(json.dumps({"id": "r", "prompt": "Capital of France?"}) + "\n")
    done = scrimp("batch", folder / "in.jsonl", "-o", folder / "out.jsonl", "-p", profile)
    row = json.loads((folder / "out.jsonl").read_text())
    assert (row["error"] is None) == (row["status"] == "ok")
    assert (row["status"] == "cut") == (row["finish_reason"] in ("length", "content_filter", "refusal"))
    return 0 if row["answer"] and row["status"] != "failed" else 5, row["answer"] or "", done


@pytest.mark.parametrize("shape", [pytest.param(each, id=f"{each.family}: {each.name}") for each in SHAPES])
def test_a_shape_comes_to_the_same_in_every_way(shape, stage, scrimp, server, tmp_path, monkeypatch):
    model, base, paths = FAMILIES[shape.family]

    def reply(request):
        streams = request.body.get("stream", False) or "stream" in request.path
        return 200, {"content-type": shape.kinds[not streams]}, shape.streamed if streams else shape.whole

    for path in paths:
        server.can(path, "", reply)
    came = {}
    for way in (terminal, pipe, batch):
        server.requests.clear()
        folder = tmp_path / way.__name__
        folder.mkdir()
        monkeypatch.setenv("SCRIMP_HOME", str(folder / "home"))
        profile = folder / "profile.toml"
        profile.write_text(ARM.format(model=model, base=server.url + base))
        code, text, done = way(scrimp, folder, profile)
        with contextlib.closing(sqlite3.connect(folder / "home" / "scrimp.db")) as db:
            ((status, kept),) = db.execute("SELECT status, answer FROM requests").fetchall()
            (finish,) = db.execute("SELECT finish_reason FROM attempts ORDER BY id DESC").fetchone()
            charged, reserved = db.execute("SELECT sum(charged_nano), sum(reserved_nano) FROM reservations").fetchone()
        assert (kept or "") == text.removesuffix("\n"), done.err
        asked = [request.body.get("stream") for request in server.requests]
        if shape.family != "gemini":
            assert set(asked) == {way is terminal}, done.err
        came[way.__name__] = (text.removesuffix("\n"), status, finish, len(asked), charged, code), done.err
    wanted = (
        shape.text, shape.status, shape.finish, shape.n,
        reserved if shape.used is BOUND else shape.n * (shape.used[0] * 1000 + shape.used[1] * 4000), shape.code,
    )  # fmt: skip
    assert {name: got for name, (got, _) in came.items()} == dict.fromkeys(came, wanted), came


def test_there_are_shapes_of_every_family():
    names = [(shape.family, shape.name) for shape in SHAPES]
    assert len(names) == len(set(names)) >= 40
    assert {family for family, _ in names} == set(FAMILIES)
