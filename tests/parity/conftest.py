"""The stage of the parity table."""

import pytest
from parity.ways import Stage
from warm_worker import Worker, share_the_embedder, try_again_at_once


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """Return a function that returns the one warm worker, started when it is first asked for."""
    started = []

    def get():
        if not started:
            started.append(Worker(tmp_path_factory.mktemp("worker")))
        return started[0]

    yield get
    for each in started:
        each.close()


@pytest.fixture(scope="module", autouse=True)
def one_embedder():
    with pytest.MonkeyPatch.context() as patch:
        share_the_embedder(patch.setattr)
        yield


@pytest.fixture
def stage(tmp_path, monkeypatch, server, scrimp, worker):
    """Return a function that sets the stage for a world."""
    try_again_at_once(monkeypatch.setattr)

    def at(world, name):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv("SCRIMP_HOME", str(folder / "home"))
        server.reset()
        for arm, replies in world.replies.items():
            server.script(replies, model=arm)
        return Stage(folder, server, scrimp, worker)

    return at
