"""What the tests of the resident process share."""

import pytest
from residence import House


@pytest.fixture(scope="module")
def house(tmp_path_factory, running_server):
    running_server.reset()
    found = House(tmp_path_factory.mktemp("house"), running_server)
    found.resident()
    assert found.run("ask", "-q", "-p", found.profile, "-m", "echo", "the first").returncode == 0
    yield found
    found.end()
