"""What the tests of faults share."""

import pytest
from warm_worker import Worker


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """A warm process that forks a child for each command line."""
    worker = Worker(tmp_path_factory.mktemp("worker"))
    yield worker
    worker.close()
