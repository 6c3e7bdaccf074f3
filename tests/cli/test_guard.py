"""Guards of scope and of unsafe forms through the commands, and `scrimp guard test`."""

import json

import pytest

TOPICS = {
    "pension": (
        "when can i draw my pension", "how much pension will i get at 65", "move my pension to another provider",
        "is my pension taxed", "what happens to my pension if i die", "pay more into my pension",
        "show me my pension statement", "can i take my pension early", "my employer pays too little into my pension",
        "who inherits my pension pot", "how is the pension fund invested", "change my retirement age",
    ),
    "bees": (
        "my bees are swarming", "how do i treat a hive for mites", "when do i harvest honey",
        "the queen bee has died", "how many frames does a hive need", "feed the bees in winter",
        "why do my bees not fly", "which smoker is best for a beekeeper", "move a hive to another field",
        "how do i clip the wings of a queen", "there are wasps at the hive", "what flowers do bees like",
    ),
}  # fmt: skip
INSIDE = "at what age may i claim my pension"
OUTSIDE = "write a poem about the sea"


def jsonl(path, rows):
    path.write_text("".join(json.dumps({"prompt": prompt, "domain": domain}) + "\n" for prompt, domain in rows))
    return path


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """A cache with what all of these embed."""
    from scrimp.routing.asking.stock import embedder
    from scrimp.routing.guard.examples import Examples, forms, requests
    from scrimp.routing.guard.kept import folder_of
    from scrimp.routing.prompts.vector_cache import VectorCache

    cache = tmp_path_factory.mktemp("embedded")
    texts = [text for each in TOPICS.values() for text in each]
    whole = Examples(tuple(texts), (None,) * len(texts)).and_(requests()).and_(forms())
    VectorCache(embedder("builtin", cache), folder_of(cache)).embed(whole.prompts)
    (file,) = folder_of(cache).glob("*.vectors")
    return file


@pytest.fixture
def scoped(tmp_path, home, profile, embedded):
    """Write a profile with a scope: `scoped('outside = "refuse"')` returns its path."""
    folder = home / "cache" / "guard"
    folder.mkdir(parents=True)
    (folder / embedded.name).write_bytes(embedded.read_bytes())
    jsonl(tmp_path / "scope.jsonl", [(text, name) for name, texts in TOPICS.items() for text in texts])

    def write(scope="", more="", **arms):
        extra = f'\n[guard.scope]\nexamples = "scope.jsonl"\n{scope}\n{more}\n'
        return profile(extra=extra, **(arms or {"small": "ok", "large": "ok"}))

    return write


def test_what_is_out_of_scope_is_refused_before_anything_is_sent(scrimp, scoped, server):
    path = scoped()
    done = scrimp("ask", "-p", path, OUTSIDE)
    assert done.code == 9
    assert "out of scope" in done.err
    assert OUTSIDE not in done.err
    assert server.chats == []
    assert scrimp("route", "-p", path, OUTSIDE).code == 9
    answered = scrimp("ask", "-p", path, INSIDE)
    assert answered.code == 0, answered.err
    assert len(server.chats) == 1
    # The second command reads what the first one kept.
    assert len(list((path.parent / "home" / "cache" / "guard").glob("*.fit"))) == 1


def test_the_default_arm_or_a_named_one_takes_it_and_the_trace_says_so(scrimp, scoped, server):
    for outside, arm in (("default", "large"), ("arm:small", "small")):
        path = scoped(f'outside = "{outside}"')
        done = scrimp("ask", "-p", path, "--json", OUTSIDE)
        assert done.code == 0, done.err
        found = json.loads(done.out)
        assert found["arm"] == arm
        (shown,) = json.loads(scrimp("log", "show", found["id"], "--json").out)["decision"]["guards"]
        assert (shown["guard"], shown["outcome"]) == ("scope", "changed")
        assert shown["detail"]["score"] < shown["detail"]["threshold"]
        assert f"it goes to {arm}" in done.err


def test_route_shows_where_it_goes(scrimp, scoped):
    done = scrimp("route", "-p", scoped('outside = "arm:small"'), "-x", "--json", OUTSIDE)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["arm"] == "small"
    assert [each["guard"] for each in found["guards"]] == ["scope"]


def test_an_arm_that_is_asked_for_is_overridden_and_that_is_said(scrimp, scoped):
    done = scrimp("ask", "-p", scoped('outside = "arm:small"'), "-m", "large", "--json", OUTSIDE)
    assert done.code == 0, done.err
    assert json.loads(done.out)["arm"] == "small"
    assert "it goes to small, not to large, which was asked for" in done.err
    done = scrimp("ask", "-p", scoped('outside = "arm:small"'), "-m", "large", "--json", INSIDE)
    assert json.loads(done.out)["arm"] == "large"


def test_unsafe_forms_go_to_the_arm_with_care(scrimp, scoped, server):
    path = scoped('outside = "arm:small"', '[guard.unsafe]\nuse = "arm:large"')
    done = scrimp("ask", "-p", path, "--json", "how do i build a bomb at home")
    assert done.code == 0, done.err
    assert json.loads(done.out)["arm"] == "large"
    assert "like unsafe forms" in done.err
    harmless = scrimp("ask", "-p", path, "--json", "how do i kill a python process")
    assert json.loads(harmless.out)["arm"] == "small"


@pytest.mark.parametrize(
    ("extra", "key"),
    [
        ('[guard.scope]\nexamples = "s.jsonl"\noutside = "arm:smal"', "guard.scope.outside"),
        ('[guard.unsafe]\nuse = "arm:smal"', "guard.unsafe.use"),
        ('[guard]\nrisky = "arm:smal"', "guard.risky"),
    ],
)
def test_an_arm_that_is_not_there_is_found_at_once(scrimp, profile, extra, key):
    path = profile(extra=f"\n{extra}\n")
    done = scrimp("ask", "-p", path, "hello")
    assert done.code == 78
    line = path.read_text().splitlines().index(extra.splitlines()[-1]) + 1
    assert f"{path}:{line}: {key}: no arm is called 'smal' (did you mean 'small'?)" in done.err


def test_malformed_examples_stop_a_command_with_the_line(scrimp, scoped, tmp_path, server):
    path = scoped()
    (tmp_path / "scope.jsonl").write_text('{"prompt": "a", "domain": "b"}\n{"prompt": "c"}\n')
    done = scrimp("ask", "-p", path, INSIDE)
    assert done.code == 78
    assert f"{tmp_path / 'scope.jsonl'}:2: " in done.err
    assert "domain" in done.err
    assert server.chats == []


def test_guard_test_measures_the_scope_of_a_profile(scrimp, scoped, tmp_path):
    path = scoped()
    held = jsonl(tmp_path / "held.jsonl", [(INSIDE, "pension"), ("feed my hive", "bees"), (OUTSIDE, None)])
    done = scrimp("guard", "test", held, "-p", path, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert set(found) == {
        "schema_version", "in_scope_accuracy", "out_of_scope_accuracy", "harmonic_mean", "accepted", "ms_p50", "n_in",
        "n_out", "n_examples", "threshold", "confusion", "notes",
    }  # fmt: skip
    assert (found["schema_version"], found["n_in"], found["n_out"], found["n_examples"]) == (1, 2, 1, 24)
    assert found["in_scope_accuracy"] == found["out_of_scope_accuracy"] == found["harmonic_mean"] == 1.0
    assert {"domain": None, "taken_for": None, "n": 1} in found["confusion"]
    people = scrimp("guard", "test", held, "-p", path)
    assert "out of scope\t0\t0\t1" in people.out
    assert "harmonic mean 1.000" in people.out
    with_file = scrimp("guard", "test", held, "--examples", tmp_path / "scope.jsonl", "--json")
    assert json.loads(with_file.out)["threshold"] == found["threshold"]


def test_guard_test_without_a_scope_says_what_to_give(scrimp, profile, tmp_path):
    held = jsonl(tmp_path / "held.jsonl", [(INSIDE, "pension")])
    done = scrimp("guard", "test", held, "-p", profile())
    assert done.code == 2
    assert "--examples SCOPE.jsonl" in done.err
    assert scrimp("guard", "test", tmp_path / "none.jsonl", "--examples", held).code == 78
