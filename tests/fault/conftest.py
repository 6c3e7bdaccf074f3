"""What the tests of faults share."""

import pytest
from killed_batches import LoggingServer
from warm_worker import Worker


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """A warm process that forks a child for each command line."""
    worker = Worker(tmp_path_factory.mktemp("worker"))
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def slow_server(request, tmp_path_factory):
    """A server in a process of its own that keeps a log; it answers after the module's `LATENCY_MS`, or 25 ms."""
    server = LoggingServer(tmp_path_factory.mktemp("server"), latency_ms=getattr(request.module, "LATENCY_MS", 25))
    yield server
    server.close()
