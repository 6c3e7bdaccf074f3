"""`scrimp eval --judged`: what a profile's router predicts and decides on prompts of known difficulty."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from scrimp.routing.learn.measuring.everyday import auc

FOLDER = Path(__file__).parents[2] / "bench" / "everyday"
KINDS = ("medicine", "planning", "sql")
ESTIMATES = (
    "rank", "level_rank", "auc", "easy_cheapest", "hard_dearer", "quality_1", "quality_5", "length_rank", "length_auc",
)  # fmt: skip


def measured(scrimp, *argv):
    done = scrimp("eval", *argv, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def written(path, n=30, levels=(1, 3, 5)):
    path.write_text(
        "".join(
            json.dumps({"prompt": f"question {i} " + "why " * (i % 7), "level": levels[i % len(levels)]}) + "\n"
            for i in range(n)
        )
    )
    return path


def test_a_file_of_judged_prompts(scrimp):
    data = measured(scrimp, "--judged", FOLDER / "sql.jsonl", "-p", "mixed")
    rows = [json.loads(line) for line in (FOLDER / "sql.jsonl").read_text().splitlines()]
    level = np.array([np.mean(row["levels"]) for row in rows])
    assert data["schema_version"] == 1
    assert (data["n"], data["n_easy"], data["n_hard"]) == (len(rows), (level <= 2).sum(), (level >= 4).sum())
    assert set(data) == {
        "schema_version", "n", "n_easy", "n_hard", "cheapest", "best", *ESTIMATES, "within_kind", "by_kind",
        "arms_by_level",
    }  # fmt: skip
    for name in ESTIMATES:
        assert set(data[name]) == {"value", "low", "high"}
        assert data[name]["low"] <= data[name]["value"] <= data[name]["high"], name
    assert list(data["by_kind"]) == ["sql"]
    assert data["within_kind"] == data["by_kind"]["sql"]
    arms = data["arms_by_level"]
    assert list(arms) == ["luna", "haiku", "flash", "argon", "sol", "opus"]
    assert {data["cheapest"], data["best"]} <= set(arms)
    counts = np.array([*arms.values()])
    assert counts.sum(axis=0).tolist() == [int((np.round(level) == k).sum()) for k in range(1, 6)]
    # What is said of shares, counted again from what each arm took.
    assert data["easy_cheapest"]["value"] >= arms[data["cheapest"]][0] / max(1, data["n_easy"])


def test_the_shipped_router_knows_easy_from_hard_in_kinds_it_never_saw(scrimp):
    data = measured(scrimp, *(part for kind in KINDS for part in ("--judged", FOLDER / f"{kind}.jsonl")), "-p", "mixed")
    assert set(data["by_kind"]) == set(KINDS)
    assert data["rank"]["value"] > 0.7
    assert data["level_rank"]["value"] > 0.7
    assert data["auc"]["value"] > 0.9
    assert data["rank"]["low"] > data["length_rank"]["high"]
    assert min(data["by_kind"].values()) > 0.6
    assert data["quality_1"]["value"] > data["quality_5"]["value"] + 0.3
    assert data["easy_cheapest"]["value"] > 0.75
    assert data["hard_dearer"]["value"] > 0.65


def test_a_seed_repeats_and_a_dearer_right_answer_sends_fewer_to_the_cheapest(scrimp):
    args = ("--judged", FOLDER / "sql.jsonl", "-p", "mixed")
    assert measured(scrimp, *args, "--seed", "4") == measured(scrimp, *args, "--seed", "4")
    shares = [measured(scrimp, *args, "--wtp", each)["easy_cheapest"]["value"] for each in ("0.000001", "10")]
    assert shares[0] == 1.0
    assert shares[1] < 0.9
    cheap, best = (measured(scrimp, *args, "--prefer", each) for each in ("cheap", "best"))
    assert cheap["hard_dearer"]["value"] < best["hard_dearer"]["value"]
    assert cheap["rank"] == best["rank"]  # what is predicted does not hang on what is wished


def test_on_a_terminal_it_is_a_table(scrimp):
    done = scrimp("eval", "--judged", FOLDER / "sql.jsonl", "-p", "mixed", "--router", "shipped")
    assert done.code == 0, done.err
    assert "levels 1-2 sent to an arm that costs least" in done.out
    assert "Within kinds: sql 0." in done.out
    assert "luna" in done.out


def test_prompts_without_a_kind_and_in_one_level_form(scrimp, tmp_path):
    data = measured(scrimp, "--judged", written(tmp_path / "a.jsonl"), "-p", "mixed")
    assert (data["n"], data["n_easy"], data["n_hard"]) == (30, 10, 10)
    assert list(data["by_kind"]) == [""]
    assert "Within kinds: of no kind " in scrimp("eval", "--judged", tmp_path / "a.jsonl", "-p", "mixed").out


def test_an_arm_without_a_price_is_named(scrimp, tmp_path):
    arms = '[[arms]]\nname = "first"\nmodel = "openai/gpt-5.4-mini"\n[[arms]]\nname = "second"\nmodel = "acme/nobody-sells-it"\n'
    (tmp_path / "mine.toml").write_text(f'name = "mine"\n[caps]\nper_day_usd = 1\n{arms}')
    done = scrimp("eval", "--judged", written(tmp_path / "a.jsonl"), "-p", tmp_path / "mine.toml")
    assert done.code == 78
    assert "no price is known of second" in done.err


def test_the_bench_measures_the_kinds_set_aside(home, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["everyday.py", "--json"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER.with_suffix(".py")), run_name="__main__")
    captured = capfd.readouterr()
    assert ended.value.code == 0, captured.err
    data = json.loads(captured.out)
    assert set(data["by_kind"]) == set(KINDS)
    assert list(data["arms_by_level"]) == ["luna", "haiku", "flash", "argon", "sol", "opus"]


@pytest.mark.parametrize(
    "more",
    [
        ("outcomes.jsonl",), ("--fit", "5"), ("--strong", "a"), ("--weak", "b"), ("--seeds", "2"),
        ("--plot", "curve.svg"), ("--router", "shipped", "--router", "knn"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_judged_prompts(scrimp, tmp_path, more):
    done = scrimp("eval", "--judged", written(tmp_path / "a.jsonl"), "-p", "mixed", *more)
    assert done.code == 2
    assert "--judged stands alone" in done.err
    assert done.out == ""


@pytest.mark.parametrize("more", [("-p", "mixed"), ("--prefer", "cheap"), ("--wtp", "0.1"), ()])
def test_without_judged_prompts_outcomes_are_needed_and_no_profile(scrimp, more):
    done = scrimp("eval", *(("mine.jsonl", *more) if more else ()))
    assert done.code == 2
    assert "--judged" in done.err


def test_a_bad_level_is_named_by_file_line_and_field(scrimp, tmp_path):
    path = written(tmp_path / "bad.jsonl")
    with path.open("a") as file:
        file.write('{"prompt": "x", "level": 7}\n')
    done = scrimp("eval", "--judged", path, "-p", "mixed")
    assert done.code == 78
    assert "bad.jsonl, line 31" in done.err
    assert "$.level" in done.err


@pytest.mark.parametrize(("n", "levels"), [(19, (1, 3, 5)), (40, (1, 2, 3)), (40, (3, 4, 5)), (0, (1,))], ids=str)
def test_too_few_say_what_is_needed(scrimp, tmp_path, n, levels):
    done = scrimp("eval", "--judged", written(tmp_path / "few.jsonl", n, levels), "-p", "mixed")
    assert done.code == 78
    assert "few" in done.err
    if n:
        assert f"{n} judged prompts" in done.err
        assert "20 are the least" in done.err
    assert "Traceback" not in done.err


def test_a_missing_file_and_an_unknown_router(scrimp, tmp_path):
    done = scrimp("eval", "--judged", tmp_path / "none.jsonl", "-p", "mixed")
    assert done.code == 78
    assert "none.jsonl: no such file" in done.err
    done = scrimp("eval", "--judged", written(tmp_path / "a.jsonl"), "-p", "mixed", "--router", "nobody")
    assert done.code != 0
    assert "nobody" in done.err


def test_auc_counts_ties_half():
    hard = np.array([False, False, True, True])
    assert auc(np.array([0.1, 0.2, 0.3, 0.4]), hard) == 1.0
    assert auc(np.array([0.1, 0.3, 0.3, 0.4]), hard) == 0.875
    assert auc(np.zeros(4), hard) == 0.5
    assert np.isnan(auc(np.zeros(4), np.ones(4, bool)))
