"""What the tests themselves stand on."""

from hypothesis import settings


def test_no_property_fails_for_want_of_time_or_by_luck():
    assert settings.default.deadline is None
    assert settings.default.derandomize
