"""Where a program that is sent pieces fares otherwise than who reads a terminal: the stream that breaks off."""

import pytest
from parity.served import aask, serve
from parity.worlds import WORLDS


@pytest.mark.parametrize("way", [serve("openai", streamed=True), aask(streamed=True)], ids=["serve", "aask"])
def test_no_other_arm_goes_on_with_what_was_sent(stage, way):
    (world,) = [each for each in WORLDS if each.name == "falls back after a part of an answer"]
    got = way(stage(world, "served"), world)
    assert (got.ends, got.says, got.calls, got.exits) == ("failed", None, 1, {5}), got.said
    assert "in pieces" not in got.said or got.said.endswith("in pieces: an answer that stops")
    (call,) = got.tables["calls"]
    assert call["reservation_charged_nano"] == call["reservation_reserved_nano"]
    (request,) = got.tables["requests"]
    assert (request["status"], request["answer"]) == ("failed", "an answer that stops")
