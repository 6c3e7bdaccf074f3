"""Judged prompts: files of them read, how far two judgements agree, and those that come with scrimp."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from scrimp.profiles.errors import DataError
from scrimp.routing.learn.data.judged import everyday, read_judged, weighted_kappa

ASIDE = sorted((Path(__file__).parents[2] / "bench" / "everyday").glob("*.jsonl"))


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_both_forms_are_read_and_other_keys_let_pass(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        lines(
            {"prompt": "one", "level": 2, "kind": "k", "id": "x", "note": "let pass"},
            {"prompt": "two", "levels": [3, 4]},
        )
        + "\n"
        + lines({"prompt": "three", "levels": [5]})
    )
    found = read_judged([path])
    assert len(found) == 3
    assert found.ids == ("x", "a.jsonl:2", "a.jsonl:4")
    assert found.kinds == ("k", "", "")
    assert found.prompts == ("one", "two", "three")
    assert found.levels.tolist() == [2.0, 3.5, 5.0]


def test_files_are_read_one_after_another_through_gzip_too(tmp_path):
    zipped, plain = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl"
    zipped.write_bytes(gzip.compress(lines({"prompt": "é one", "level": 1}).encode()))
    plain.write_text(lines({"prompt": "two", "level": 5}))
    assert read_judged([plain, zipped]).prompts == ("two", "é one")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"prompt": "x", "level": 7}', "$.level"),
        ('{"prompt": "x", "level": 0.5}', "$.level"),
        ('{"prompt": "x", "level": "2"}', "$.level"),
        ('{"prompt": "x", "level": true}', "$.level"),
        ('{"prompt": "x", "levels": [1, 6]}', "$.levels[1]"),
        ('{"prompt": "x", "levels": []}', "$.levels"),
        ('{"prompt": "", "level": 1}', "$.prompt"),
        ('{"level": 1}', "prompt"),
        ('{"prompt": "x"}', 'neither "level" nor "levels"'),
        ("[]", "object"),
        ("{", "truncated"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_field(tmp_path, row, said):
    path = tmp_path / "bad.jsonl"
    path.write_text(lines({"prompt": "fine", "level": 1}) + row + "\n")
    with pytest.raises(DataError) as caught:
        read_judged([path])
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert said in str(caught.value)


def test_files_that_are_empty_missing_or_cut_short(tmp_path):
    empty, cut = tmp_path / "empty.jsonl", tmp_path / "cut.jsonl.gz"
    empty.write_text("\n\n")
    cut.write_bytes(gzip.compress(lines(*({"prompt": f"{i}", "level": 1} for i in range(500))).encode())[:-20])
    for path, said in ((empty, "no judged prompts"), (tmp_path / "none.jsonl", "no such file"), (cut, "cut short")):
        with pytest.raises(DataError, match=said) as caught:
            read_judged([path])
        assert str(path) in str(caught.value)


def test_weighted_kappa_by_hand():
    # Observed: two of five are one apart, 0.4. Expected: 4.8 + 4.4 - 2 * 2 * 2 = 1.2 over all pairs.
    assert weighted_kappa([1, 1, 2, 3, 3], [1, 2, 2, 3, 2]) == pytest.approx(1 - 0.4 / 1.2)
    assert weighted_kappa([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert weighted_kappa([1, 1, 3, 3], [1, 3, 1, 3]) == pytest.approx(0.0)
    assert weighted_kappa([2, 2], [2, 2]) == 1.0


@pytest.fixture(scope="module")
def own():
    return everyday()


@pytest.fixture(scope="module")
def aside():
    return read_judged(ASIDE)


def plain(prompt):
    return " ".join(prompt.casefold().split())


def test_what_comes_with_scrimp_is_broad_and_holds_no_prompt_twice(own):
    assert len(set(own.kinds)) == 25
    assert len(own) >= 2000
    assert len({*own.ids}) == len(own)
    assert len({plain(prompt) for prompt in own.prompts}) == len(own)


@pytest.mark.parametrize("which", ["own", "aside"])
def test_every_kind_has_every_level_and_length_does_not_tell_it(which, request):
    judged = request.getfixturevalue(which)
    kinds = np.array(judged.kinds)
    length = np.array([len(prompt) for prompt in judged.prompts])
    found = {}
    for kind in set(judged.kinds):
        rows = kinds == kind
        assert set(range(1, 6)) <= set(judged.levels[rows].tolist()), kind
        found[kind] = spearmanr(length[rows], judged.levels[rows])[0]
    assert max(map(abs, found.values())) < 0.35, found
    assert abs(np.mean([*found.values()])) < 0.27


def test_what_measures_is_of_other_kinds_and_shares_no_prompt(own, aside):
    assert len(ASIDE) == 3
    assert set(aside.kinds) == {path.stem for path in ASIDE}
    assert not set(aside.kinds) & set(own.kinds)
    assert not {*map(plain, aside.prompts)} & {*map(plain, own.prompts)}


def test_two_judgements_stand_by_each_of_them_and_agree():
    rows = [json.loads(line) for path in ASIDE for line in path.read_text().splitlines()]
    first, second = zip(*(row["levels"] for row in rows), strict=True)
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) < 2
    assert weighted_kappa(first, second) > 0.8
