"""A project's own file on the command line: a repository that was cloned spends nothing more, and sends nowhere else."""

import json
from pathlib import Path

import pytest
from server import Server


@pytest.fixture
def own(home, profile):
    """Write a profile of the user's own: `own("default", caps=..., small=...)`."""

    def write(name, **how):
        folder = home / "profiles"
        folder.mkdir(parents=True, exist_ok=True)
        return profile(name=name, **how).rename(folder / f"{name}.toml")

    return write


def test_a_project_that_chooses_a_profile_spends_from_the_users_own_caps(own, scrimp, server):
    """Under two profiles in turn no more is spent than the user's own allows for the day."""
    own("default", caps="per_day_usd = 0.0012", small="ok")
    own("big", caps="per_day_usd = 100", small="ok")
    asked = []
    for text in ('profile = "big"', "") * 24:  # a limit that is lowered to fit lets short answers through for a while
        Path(".scrimp.toml").write_text(text)
        asked.append(scrimp("ask", "-q", "hi"))
    assert {done.code for done in asked} == {0, 3}, asked
    spent = json.loads(scrimp("spend", "--by", "profile", "--json").out)
    assert [row["name"] for row in spent["rows"]] == ["default"]
    assert 0 < spent["rows"][0]["charged_usd"] <= 0.0012
    assert scrimp("ask", "-q", "-p", "big", "hi").code == 0


def test_a_project_that_chooses_another_host_sends_nothing_there(own, scrimp, server):
    own("default", small="ok")
    with Server() as other:
        file = own("big", caps="per_day_usd = 100", small="ok", large="ok")
        text = file.read_text()
        file.write_text(text.replace(server.base_url, other.base_url))
        Path(".scrimp.toml").write_text('profile = "big"\n')
        done = scrimp("ask", "hi")
        assert (done.code, len(server.chats), other.requests) == (0, 1, [])
        assert done.err.count(".scrimp.toml: profile big is not used: default, your own, sends nothing to where") == 1
        file.write_text(text.replace(server.base_url, other.base_url, 1))
        done = scrimp("ask", "-m", "small", "hi")
        assert (done.code, len(server.chats), other.requests) == (2, 1, [])
        done = scrimp("ask", "hi")
        assert (done.code, len(server.chats), other.requests) == (0, 2, [])
        assert done.err.count("default sends nothing to where small would go: left out") == 1
        assert "scrimp.toml" not in scrimp("ask", "-q", "hi").err
        assert scrimp("ask", "-q", "-p", "big", "-m", "small", "hi").code == 0
        assert len(other.chats) == 1


@pytest.mark.parametrize(
    "text",
    [
        '[checks.x]\ncmd = ["touch", "ran"]', '[[arms]]\nname = "a"\nmodel = "openai/m"', 'extends = "../evil.toml"',
        'key_env = "OPENAI_API_KEY"', 'template = "file:../../.ssh/id_rsa"', 'profile = "../../evil"', "plan = 'best:8'",
        "[policy]\nmode = 'cascade'", "[policy]\ncascade = true", "[caps]\nper_day_usd = 1000000", "cap_override = 5",
        "[embedding]\nmodel = '/etc/passwd'", "[log]\nkeep = 'all'", "api_base = 'http://127.0.0.1:9'", "[env]\nA = 'b'",
    ],
)  # fmt: skip
def test_what_a_project_may_not_set_stops_everything(own, scrimp, server, text):
    own("default", small="ok", extra='[log]\nkeep = "money"\n')
    Path(".scrimp.toml").write_text(text + "\n")
    done = scrimp("ask", "-q", "hi")
    assert (done.code, server.requests, done.out) == (78, [], ""), done.err
    assert ".scrimp.toml:" in done.err
    assert not Path("ran").exists()
