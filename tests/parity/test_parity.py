"""One table of worlds x ways: however a prompt is asked and paid for, the ledger's rows and the money are the same.

The worlds are in `worlds.py`, the ways in `ways.py`.
"""

import pytest
from parity.table import cells, judge
from parity.ways import UNKILLED, WAYS
from parity.worlds import WORLDS


@pytest.mark.parametrize(("world", "way"), cells(UNKILLED))
def test_a_world_comes_to_the_same_in_every_way(stage, world, way):
    judge(stage, world, way)


def test_the_table_names_each_world_and_way_once():
    for each in (WORLDS, WAYS):
        names = [one.name for one in each]
        assert len(set(names)) == len(names)
    assert all(any(way.fits(world) for world in WORLDS) for way in WAYS)
