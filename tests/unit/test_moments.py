"""Instants as people read them: in the machine's own time, with its zone named."""

import time

import pytest

from scrimp.cli.options import read_day
from scrimp.routing.text.moments import local_time, local_time_and_zone, with_zone


@pytest.fixture
def zone(monkeypatch):
    def live_in(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield live_in
    monkeypatch.undo()
    time.tzset()


def test_an_instant_is_told_in_the_machines_own_time(zone):
    zone("Europe/Copenhagen")
    assert local_time("2026-11-30T23:30:05.123456Z") == "2026-12-01 00:30"
    assert local_time("2026-07-01T00:00:00+00:00", seconds=True) == "2026-07-01 02:00:00"
    assert local_time_and_zone("2026-11-30T23:30:05.123456Z") == "2026-12-01 00:30 CET"
    zone("Asia/Kolkata")
    assert local_time("2026-11-30T23:30:05.123456Z") == "2026-12-01 05:00"
    zone("UTC")
    assert local_time_and_zone("2026-11-30T23:30:05.123456Z") == "2026-11-30 23:30 UTC"


def test_a_column_names_its_zone_and_both_where_summer_ends(zone):
    zone("Europe/Copenhagen")
    summer, winter = "2026-07-01T00:00:00Z", "2026-11-30T00:00:00Z"
    assert with_zone("when", [winter, None, winter]) == "when (CET)"
    assert with_zone("when", [summer, winter]) == "when (CEST/CET)"
    zone("America/Sao_Paulo")
    assert with_zone("when", [winter]) == "when (-03)"


def test_what_has_no_time_is_of_no_zone():
    assert local_time(None) == "-"
    assert local_time("2026-11-28") == local_time_and_zone("2026-11-28") == "2026-11-28"
    assert with_zone("made", ["2026-11-28", None]) == "made"


def test_a_day_given_begins_where_listings_have_it_begin(zone):
    zone("Europe/Copenhagen")
    assert local_time_and_zone("2026-11-29T23:00:00Z") == "2026-11-30 00:00 CET"
    assert read_day("2026-11-30") == read_day("2026-11-29T23:00:00Z")
