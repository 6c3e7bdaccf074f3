"""The parity table's ways that are killed and go on: a file of its own, to run beside the others."""

import pytest
from parity.table import cells, judge
from parity.ways import KILLED, ask_left, batch_left, differences
from parity.worlds import WORLDS


@pytest.mark.parametrize(("world", "way"), cells(KILLED))
def test_a_killed_world_comes_to_the_same(stage, world, way):
    judge(stage, world, way)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("ok", "sent:1"),
        ("ok, unlogged", "sent:1"),
        ("escalates", "sent:2"),
        ("two merged", "sent:3"),
        ("one led", "sent:2"),
        ("two bid", "sent:4"),
        ("the worst is dropped", "sent:3"),
    ],
)
def test_what_was_in_flight_is_left_the_same(stage, name, moment):
    (world,) = [each for each in WORLDS if each.name == name]
    asked = ask_left(stage(world, "ask"), world, moment)
    batched = batch_left(stage(world, "batch"), world, moment)
    assert (asked.ends, batched.ends) == ("unknown", "unknown"), batched.said
    assert asked.calls == batched.calls == int(moment.partition(":")[2])
    assert [call["reservation_status"] for call in asked.tables["calls"]][-1] == "unknown"
    wrong = differences(batched.tables, asked.tables)
    assert not wrong, "\n".join([*wrong, batched.said])
