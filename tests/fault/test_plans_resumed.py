"""A plan with readings that was killed is gone on with from its calls on record: the same names, and nothing twice."""

import json
import random
from dataclasses import replace

import pytest

from scrimp.profiles.keys import Keys
from scrimp.profiles.load import load_profile
from scrimp.profiles.paths import paths
from scrimp.routing.asking.books import Called, read_record
from scrimp.routing.asking.drive import at_once, drive
from scrimp.routing.asking.hands import BlockingHands
from scrimp.routing.asking.home import Home
from scrimp.routing.asking.paid_call import Bill, Halted
from scrimp.routing.asking.plan_run import plan_run
from scrimp.routing.asking.request import Ask
from scrimp.routing.asking.ways import make_way
from scrimp.routing.asking.workspace import Workspace
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.plans.plan import Plan
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.prompts.sources import Source

TEXT = "\n\n".join(
    f"On day {n} the council met and talked of roads, of schools and of the river that rises every spring, and "
    f"the bridge of ward {n} was mended by {n % 7 + 2} men who were paid by the town." for n in range(400)
)  # fmt: skip


class Killed(BlockingHands):
    """Stops before a call, as a kill does; what was on record by then is kept."""

    def __init__(self, space, ask, before):
        super().__init__(space, ask, None)
        self.before = before
        self.records = []

    async def send(self, wanted):
        self.before -= 1
        if self.before < 0:
            raise Halted
        return await super().send(wanted)

    async def write(self, records):
        self.records += [record for record in records if isinstance(record, Called)]
        await super().write(records)


@pytest.fixture
def space(home, profile, server, tmp_path):
    path = profile(caps="per_day_usd = 100", small="say@text=-_a_bridge", large="say@text=All_of_them")
    loaded = load_profile(str(path), env={}, cwd=tmp_path, paths=paths())
    ledger = Home(paths()).ledger()
    yield Workspace.open(
        loaded.profile, paths(), ledger, Keys({}, paths()), say=lambda _line: None, rng=random.Random(1)
    )
    ledger.close()


@pytest.mark.parametrize(
    "spelled",
    [
        "small/split",
        "small/split => large",
        "small/passages ? has:river > large/passages",
        "small + large/passages => large",
        "small/passages + large/whole knockout large",
    ],
)
def test_what_was_killed_comes_to_the_same(space, server, spelled):
    way = make_way(space.profile, schema=None, plan=spelled)
    ask = Ask(Prompt("List every bridge", sources=(Source("minutes.txt", TEXT),)), Wishes())
    (context,) = space.decider.contexts([ask.prompt.text])
    ask = space.read(ask, context, way)
    decision, plan = space.choose(ask, context, way)
    whole = space.run(ask, decision, context, plan, way)
    n = len(server.chats)
    assert n > 1
    for before in (1, n - 1):
        server.reset()
        decision, plan = space.choose(ask, context, way)
        hands = Killed(space, ask, before)
        with pytest.raises(Halted):
            at_once(drive(plan_run(space._asked(ask, decision, context, plan, way), space.kit()), hands))
        assert len(server.chats) == before
        recorded = [read_record(json.loads(json.dumps(record.to_dict()))) for record in hands.records]
        again = Decision.from_dict(json.loads(json.dumps(decision.to_dict())))
        assert Plan.from_dict(again.plan) == plan
        asked = space._asked(replace(ask), again, context, Plan.from_dict(again.plan), way)
        bill = Bill(n_attempts=before, logged=True)
        checked = at_once(
            drive(plan_run(asked, space.kit(), recorded=recorded, bill=bill), BlockingHands(space, ask, None))
        )
        assert len(server.chats) == n
        assert checked.answer.text == whole.answer.text
        assert [(step.role, step.arm) for step in checked.steps] == [(step.role, step.arm) for step in whole.steps]
