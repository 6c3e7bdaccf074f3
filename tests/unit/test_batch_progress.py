"""Progress in one line."""

from scrimp.cli.batch_progress import progress_line
from scrimp.routing.batch.rows.jobs import Stats


def test_a_line_says_rows_rate_time_left_spend_arms_and_trouble(monkeypatch):
    stats = Stats(n_rows=100, n_before=10, ok=28, failed=2, charged_nano=50_000_000)
    stats.by_arm.update({"small": 25, "large": 3})
    monkeypatch.setattr(Stats, "pace", 2.0)
    line = progress_line(stats, 1_000_000_000)
    assert line == "40/100 rows · 2.0/s · 0:30 left · $0.050 of $1.00 · small 25, large 3 · 2 failed"


def test_a_line_before_anything_has_come():
    assert progress_line(Stats(n_rows=5), None) == "0/5 rows · 0.0/s · $0"


def test_the_pace_counts_from_the_first_result(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("scrimp.routing.batch.rows.jobs.time.monotonic", lambda: clock[0])
    stats = Stats(n_rows=9)
    clock[0] = 130.0  # LiteLLM was imported meanwhile
    stats.count("ok")
    assert stats.pace == 0.0
    clock[0] = 132.0
    for status in ("ok", "ok", "failed", "skipped"):
        stats.count(status)
    assert (stats.done, stats.pace) == (5, 2.0)
