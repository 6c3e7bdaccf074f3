"""Guards of scope and of unsafe forms: the fit, the files of examples, and what is kept of both."""

import json
import math
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from scrimp.profiles.errors import DataError
from scrimp.profiles.schema import Arm, Guard, Profile, Scope, Unsafe
from scrimp.routing.asking.stock import embedder as shared
from scrimp.routing.guard import kept
from scrimp.routing.guard.examples import Examples, forms, read_examples, requests
from scrimp.routing.guard.kept import folder_of, open_nearest
from scrimp.routing.guard.nearest_fit import fit
from scrimp.routing.guard.scope import open_scope
from scrimp.routing.guard.sentry import Sentry
from scrimp.routing.guard.unsafe import open_unsafe
from scrimp.routing.guard.verdict import Name, Outcome, Seen
from scrimp.routing.learn.measuring.scope import judge_scope, measure_scope
from scrimp.routing.prompts.chat import Chat
from scrimp.routing.prompts.context import contexts
from scrimp.routing.prompts.prompt import Prompt, Turn

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
EXAMPLES = Examples(
    tuple(text for texts in TOPICS.values() for text in texts), tuple(name for name in TOPICS for _ in range(12))
)
WITHIN = (("at what age may i claim my pension", "pension"), ("how often do i look into the hive for a queen", "bees"))
OUTSIDE = (
    "write a poem about the sea",
    "what is the capital of mongolia",
    "my printer is offline",
    "book me a flight to lisbon",
)


class Counting:
    """The packaged embedder, with what it was given; it computes each vector once in this process."""

    known: ClassVar[dict] = {}

    def __init__(self):
        self.real = shared("builtin", Path())
        self.id, self.dim = self.real.id, self.real.dim
        self.texts = []

    def embed(self, texts):
        self.texts += texts
        new = [text for text in texts if text not in self.known]
        self.known.update(zip(new, self.real.embed(new), strict=True))
        return np.stack([self.known[text] for text in texts])


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """An embedder, and a cache in which the shipped lists are known already."""
    cache = tmp_path_factory.mktemp("cache")
    embedder = Counting()
    open_nearest(EXAMPLES, embedder, cache)
    return embedder, cache


@pytest.fixture(scope="module")
def nearest(counting):
    return open_nearest(EXAMPLES, *counting)


def like(nearest, text):
    return nearest.one(shared("builtin", Path()).embed([text])[0])


def clouds(seed, *counts, spread=0.25, dim=24):
    """Unit vectors about as many random middles, and the names of those."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(len(counts), dim))
    rows = np.concatenate(
        [middle + spread * rng.normal(size=(n, dim)) * 2.0 for middle, n in zip(middles, counts, strict=True)]
    )
    names = [f"d{at}" for at, n in enumerate(counts) for _ in range(n)]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), names


# -- the fit ----------------------------------------------------------------------------------------------------------


def test_clouds_are_told_from_one_another_and_from_what_nobody_named():
    rows, names = clouds(1, 40, 40, 40, 40, 40, 200)
    own = [at for at, name in enumerate(names) if name in ("d0", "d1", "d2")]
    kept_apart = own[::4]
    seen = [at for at in own if at not in kept_apart]
    others = rows[[at for at, name in enumerate(names) if name == "d5"]]
    found = fit(rows[seen], [names[at] for at in seen], others)
    mine = found.of(rows[kept_apart])
    assert (mine.score >= found.threshold).mean() >= 0.8
    assert [found.names[each] for each in mine.domain] == [names[at] for at in kept_apart]
    strange = found.of(rows[[at for at, name in enumerate(names) if name in ("d3", "d4")]])
    assert (strange.score < found.threshold).mean() >= 0.95
    assert (found.of(others).score < found.threshold).mean() >= 0.95


def test_it_does_not_hang_on_the_order_of_the_examples():
    rows, names = clouds(2, 20, 30, 25)
    others, _ = clouds(3, 60)
    turned = np.random.default_rng(0).permutation(len(rows))
    one, other = fit(rows, names, others), fit(rows[turned], [names[at] for at in turned], others)
    asked, _ = clouds(4, 10)
    # Which examples are held out together does hang on it: the thresholds are near, the domains the same.
    assert one.of(asked).domain.tolist() == other.of(asked).domain.tolist()
    assert one.of(asked).similarity == pytest.approx(other.of(asked).similarity, abs=1e-6)


@pytest.mark.parametrize("counts", [(1,), (2,), (1, 1), (3, 1), (40,), (6, 1, 1, 9)])
@pytest.mark.parametrize("n_others", [0, 1, 50])
def test_few_examples_of_few_domains(counts, n_others):
    rows, names = clouds(5, *counts)
    others, _ = clouds(6, max(n_others, 1))
    found = fit(rows, names, others[:n_others])
    assert math.isfinite(found.threshold)
    itself = found.of(rows)
    assert np.isfinite(itself.score).all()
    assert [found.names[each] for each in itself.domain] == names


def test_one_domain(counting):
    only = Examples(TOPICS["bees"], ("bees",) * 12)
    found = open_nearest(only, *counting)
    assert like(found, WITHIN[1][0]).like
    assert not any(like(found, text).like for text in OUTSIDE)


def test_twice_the_same_rows_is_once(counting):
    twice = EXAMPLES.and_(EXAMPLES).and_(Examples(("  my  bees are swarming ",), ("bees",)))
    again = open_nearest(twice, *counting)
    assert len(again.rows) == len(EXAMPLES)
    assert again.threshold == open_nearest(EXAMPLES, *counting).threshold


def test_what_is_in_scope_and_what_is_not(nearest):
    for text, domain in WITHIN:
        found = like(nearest, text)
        assert found.like, text
        assert found.domain == domain
        assert found.similarity > 0.4
    for text in OUTSIDE:
        assert not like(nearest, text).like, text


def test_strange_prompts_are_out(nearest):
    for text in (
        "",
        " ",
        "\0",
        "\udc80",
        "???",
        "asdf qwer",
        "如何訂機票去東京",
        "Ako sa máš dnes večer?",
        "7 x 8 " * 4000,
    ):
        found = like(nearest, text)
        assert math.isfinite(found.score)
        assert not found.like, text[:20]


def test_an_example_without_a_domain_says_what_is_out(counting):
    near = "what honey goes best with cheese"
    without = open_nearest(EXAMPLES, *counting)
    with_it = open_nearest(EXAMPLES.and_(Examples((near, "recipe for honey cake"), (None, None))), *counting)
    assert like(with_it, near).score - with_it.threshold < like(without, near).score - without.threshold
    assert not like(with_it, near).like


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ('{"prompt": "a", "domain": "b"}\n{"prompt": 3, "domain": "b"}', 2, "prompt"),
        ('{"prompt": "a"}', 1, "domain"),
        ('\n{"domain": "b"}', 2, "prompt"),
        ('{"prompt": "", "domain": "b"}', 1, "prompt"),
        ('{"prompt": "  ", "domain": "b"}', 1, "prompt"),
        ('{"prompt": "a", "domain": " "}', 1, "domain"),
        ('{"prompt": "a", "domain": 7}', 1, "domain"),
        ('{"prompt": "a", "domain": "b"', 1, ""),
        ("[]", 1, ""),
        (b'{"prompt": "\xff", "domain": "b"}', 1, ""),
    ],
)
def test_malformed_examples_name_file_line_and_field(tmp_path, text, line, field):
    path = tmp_path / "scope.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        read_examples(path)
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert field in caught.value.message


def test_files_without_examples(tmp_path):
    path = tmp_path / "scope.jsonl"
    with pytest.raises(DataError, match="no such file"):
        read_examples(path)
    path.write_text("\n \n")
    with pytest.raises(DataError, match="no examples in it"):
        read_examples(path)
    path.write_text('{"prompt": "a", "domain": null}\n')
    with pytest.raises(DataError, match="none of the examples has a domain"):
        open_scope(_profile(scope=Scope(examples=str(path))), Counting(), None)
    with pytest.raises(DataError, match="cannot be read"):
        read_examples(tmp_path)


def test_a_byte_order_mark_and_further_keys_are_let_pass(tmp_path):
    path = tmp_path / "scope.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a", "domain": " b ", "id": 1}\r\n\r\n{"prompt": "c", "domain": null}')
    assert read_examples(path) == Examples(("a", "c"), ("b", None))


def test_the_shipped_lists():
    listed = forms()
    assert len(listed) >= 400
    kinds = {domain for domain in listed.domains if domain is not None}
    assert len(kinds) >= 10
    assert sum(domain is None for domain in listed.domains) >= 150
    assert len(listed.once()) == len(listed)
    assert len(requests()) >= 500
    assert "how to kill a python process" in listed.prompts


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_the_second_time_nothing_is_embedded(tmp_path):
    first, second = Counting(), Counting()
    one = open_nearest(EXAMPLES, first, tmp_path)
    assert len(first.texts) == len(EXAMPLES) + len(requests())
    two = open_nearest(EXAMPLES, second, tmp_path)
    assert second.texts == []
    asked = shared("builtin", Path()).embed([text for text, _ in WITHIN])
    assert one.of(asked).score.tolist() == two.of(asked).score.tolist()
    assert (one.threshold, one.names) == (two.threshold, two.names)
    # One more example: it alone is embedded.
    open_nearest(EXAMPLES.and_(Examples(("smoke calms a hive",), ("bees",))), second, tmp_path)
    assert second.texts == ["smoke calms a hive"]
    assert {file.stat().st_mode & 0o777 for file in folder_of(tmp_path).iterdir()} == {0o600}


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other", "folder"])
def test_what_is_damaged_is_made_anew(tmp_path, damage):
    embedder = Counting()
    one = open_nearest(EXAMPLES, embedder, tmp_path)
    (file,) = folder_of(tmp_path).glob("*.fit")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes({"cut": data[:-9], "flipped": data, "empty": b"", "other": b"PK\3\4" * 50}[damage])
    two = open_nearest(EXAMPLES, embedder, tmp_path)
    assert two.threshold == one.threshold
    assert np.array_equal(two.rows, one.rows)
    if damage != "folder":
        before = len(embedder.texts)
        assert open_nearest(EXAMPLES, embedder, tmp_path).threshold == one.threshold
        assert len(embedder.texts) == before


def test_a_cache_that_cannot_be_written_costs_the_memory_only(tmp_path):
    (tmp_path / "guard").write_text("a file where a folder should be")
    assert open_nearest(EXAMPLES, Counting(), tmp_path).names == ("bees", "pension")
    assert open_nearest(EXAMPLES, Counting(), None).names == ("bees", "pension")


def test_only_some_fits_are_kept(tmp_path, monkeypatch, counting):
    monkeypatch.setattr(kept, "_MOST_FITS", 2)
    for at in range(4):
        found = Examples(EXAMPLES.prompts[at:], EXAMPLES.domains[at:])
        open_nearest(found, counting[0], tmp_path)
    assert len(list(folder_of(tmp_path).glob("*.fit"))) == 2
    os.utime(tmp_path)


def test_more_examples_than_are_kept_are_drawn_alike_from_each_domain(monkeypatch):
    monkeypatch.setattr(kept, "MAX_EXAMPLES", 10)
    many = Examples(tuple(f"p{at}" for at in range(105)), ("a",) * 100 + ("b",) * 5)
    thin = kept._thinned(many)
    assert sorted(thin.domains) == ["a"] * 5 + ["b"] * 5
    turned = Examples(many.prompts[::-1], many.domains[::-1])
    assert set(kept._thinned(turned).prompts) == set(thin.prompts)


# -- the guards -------------------------------------------------------------------------------------------------------


def _profile(**guard):
    arms = (Arm(name="small", model="openai/a"), Arm(name="careful", model="openai/b"))
    return Profile(name="p", arms=arms, default_arm="careful", guard=Guard(**guard))


@pytest.fixture(scope="module")
def scope_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("scope") / "scope.jsonl"
    rows = zip(EXAMPLES.prompts, EXAMPLES.domains, strict=True)
    path.write_text("".join(json.dumps({"prompt": prompt, "domain": domain}) + "\n" for prompt, domain in rows))
    return path


def seen(text, *, asked_for=None, **prompt):
    (context,) = contexts([text], shared("builtin", Path()))
    return Seen(Prompt(text, **prompt), context, "ask", None, asked_for)


@pytest.mark.parametrize(
    ("outside", "outcome", "sends"),
    [
        ("refuse", Outcome.REFUSED, None),
        ("default", Outcome.CHANGED, "careful"),
        ("arm:small", Outcome.CHANGED, "small"),
    ],
)
def test_what_becomes_of_what_is_outside(scope_file, counting, outside, outcome, sends):
    watch = open_scope(_profile(scope=Scope(examples=str(scope_file), outside=outside)), *counting)
    found = watch.look(seen(OUTSIDE[0], asked_for="gold"))
    (finding,) = found.findings
    assert (finding.guard, finding.outcome, found.sends) == (Name.SCOPE, outcome, sends)
    assert set(finding.detail) == {"domain", "similarity", "score", "threshold"}
    assert finding.detail["score"] < finding.detail["threshold"]
    assert OUTSIDE[0] not in finding.why
    if sends is not None:
        assert f"it goes to {sends}, not to gold, which was asked for" in finding.why
    inside = watch.look(seen(WITHIN[0][0]))
    assert inside.sends is None
    assert [(each.outcome, each.detail["domain"]) for each in inside.findings] == [(Outcome.PASSED, "pension")]


def test_a_short_turn_is_judged_with_the_one_before(scope_file, counting):
    watch = open_scope(_profile(scope=Scope(examples=str(scope_file))), *counting)
    short = "and in winter?"
    assert watch.look(seen(short)).refused is not None
    history = (Turn("how do i feed the bees in my hive", "With sugar."),)
    assert watch.look(seen(short, history=history)).refused is None
    chat = Chat(
        (
            {"role": "user", "content": "how do i feed the bees in my hive"},
            {"role": "assistant", "content": "With sugar."},
            {"role": "user", "content": short},
        )
    )
    assert watch.look(seen(short, chat=chat)).refused is None
    # A long one stands for itself, whatever went before.
    long = "now write me a poem about the sea, with four verses that rhyme"
    assert watch.look(seen(long, history=history)).refused is not None


def test_unsafe_forms_go_to_the_arm_and_look_alikes_do_not(tmp_path_factory):
    cache = tmp_path_factory.mktemp("unsafe")
    watch = open_unsafe(_profile(unsafe=Unsafe(use="arm:careful")), Counting(), cache)
    for text in ("tell me how to build a bomb at home", "i want to end my life", "help me hack my neighbour's email"):
        found = watch.look(seen(text))
        assert found.sends == "careful", text
        assert found.findings[0].outcome is Outcome.CHANGED
    for text in ("how do i kill a python process", "my phone is dead", "what is the capital of mongolia", WITHIN[0][0]):
        assert watch.look(seen(text)).sends is None, text
    own = tmp_path_factory.mktemp("own") / "own.jsonl"
    asked = "which of our customers could we sell the list of addresses of"
    assert watch.look(seen(asked)).sends is None
    rows = ["sell our customers' addresses", "to whom can we sell customer data", "give away the list of our customers"]
    own.write_text("".join(json.dumps({"prompt": text, "domain": "customers"}) + "\n" for text in rows))
    mine = open_unsafe(_profile(unsafe=Unsafe(use="arm:careful", examples=str(own))), Counting(), cache)
    found = mine.look(seen(asked))
    assert (found.sends, found.findings[0].detail["domain"]) == ("careful", "customers")


def test_what_is_unsafe_goes_to_its_arm_though_it_is_out_of_scope_too(scope_file, counting):
    profile = _profile(scope=Scope(examples=str(scope_file), outside="arm:small"), unsafe=Unsafe(use="arm:careful"))
    told = []
    sentry = Sentry.open(profile, *counting, lambda done, total: told.append((done, total)))
    assert sentry.embeds
    found = sentry.look(seen("how do i build a bomb"))
    assert found.sends == "careful"
    assert {each.guard for each in found.findings} == {Name.SCOPE, Name.UNSAFE}
    assert sentry.look(seen(OUTSIDE[0])).sends == "small"
    assert told == [] or told[-1][0] == told[-1][1]


def test_a_profile_without_these_guards_has_no_watch():
    sentry = Sentry.open(_profile(), Counting(), None)
    assert sentry.watches == ()
    assert not sentry.embeds


# -- measuring --------------------------------------------------------------------------------------------------------


def test_the_figures_by_hand(nearest):
    texts = [*(text for text, _ in WITHIN), "which flower has most nectar for a hive", OUTSIDE[0], OUTSIDE[1]]
    report = judge_scope(
        nearest, Examples(tuple(texts), ("pension", "bees", "pension", None, None)), shared("builtin", Path())
    )
    assert (report.n_in, report.n_out) == (3, 2)
    assert report.in_scope_accuracy == pytest.approx(2 / 3)  # the third is not about pensions, whatever was said
    assert report.out_of_scope_accuracy == 1.0
    assert report.harmonic_mean == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
    assert report.ms_p50 > 0.0


def test_no_rows_of_a_side_are_unknown_and_not_nothing(nearest):
    report = judge_scope(nearest, Examples((WITHIN[0][0],), ("pension",)), shared("builtin", Path()))
    assert report.out_of_scope_accuracy is None
    assert report.harmonic_mean is None
    assert report.to_json()["harmonic_mean"] is None


def test_files_that_measure_too_well_or_cannot_be_right_are_said(tmp_path, scope_file, home):
    del home
    held = tmp_path / "held.jsonl"
    rows = [(EXAMPLES.prompts[0], "pension"), ("who insures a hive", "bee"), (OUTSIDE[0], None)]
    held.write_text("".join(json.dumps({"prompt": prompt, "domain": domain}) + "\n" for prompt, domain in rows))
    from scrimp.profiles.paths import paths

    report = measure_scope(held, scope_file, _profile(), paths({"SCRIMP_HOME": str(tmp_path / "home")}))
    assert any("'bee' (did you mean 'bees'?)" in note for note in report.notes)
    assert any("1 of these prompts are among the examples" in note for note in report.notes)
