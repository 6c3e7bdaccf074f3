"""A pool's files: what front matter may say, which arms they make, and which of them a prompt sees."""

import json
import random
from decimal import Decimal

import pytest

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.load import load_profile
from scrimp.profiles.paths import paths
from scrimp.profiles.schema import Arm, Pool, Price, Profile
from scrimp.routing.deciding import pool as module
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.deciding.pool import ALL_OF, NEAREST, ArmPool, check_pool
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.retrieval.front_matter import BrokenError, split
from scrimp.routing.retrieval.skills import read_skill
from scrimp.routing.router.nearness import WORTH, fitting, with_text
from scrimp.routing.router.tier_prior import TierPrior

PRICES = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(2))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("about: Taxes: what to do, and when", "Taxes: what to do, and when"),
        ("about: C# and # signs", "C# and # signs"),
        ("about:   padded   ", "padded"),
        ('about: "a \\"quoted\\" text"', 'a "quoted" text'),
        ("about: 'it''s'", "it's"),
        ("about: >-\n  folded\n  lines", "folded lines"),
        ("about: |\n  kept\n  lines", "kept\nlines"),
        ("about: first\n  second", "first second"),
        ("about: [a, 'b c', \"d\"]", ("a", "b c", "d")),
        ("about: []", ()),
        ("about:\n  - one\n  - two", ("one", "two")),
        ("about:\n- one", ("one",)),
        ("about:", ""),
        ("# a comment\n\nabout: x", "x"),
        ("about: yes", "yes"),
        ("about: 2026-01-02", "2026-01-02"),
    ],
)
def test_front_matter(line, value):
    found = split(f"---\n{line}\n---\nbody\n")
    assert {key: each.said for key, each in found.values.items()} == {"about": value}
    assert found.body == "body"
    again = split(f"---\r\n{line}\r\n---\r\nbody\r\n".replace("\n", "\r\n").replace("\r\r", "\r"))
    assert again == found


def test_a_file_without_front_matter_is_all_body():
    found = split("\n# Title\n\n---\nnot: matter\n---\n")
    assert found.values == {}
    assert found.body == "# Title\n\n---\nnot: matter\n---"
    assert found.line == 2


@pytest.mark.parametrize(
    ("text", "line", "field", "why"),
    [
        ("---\nabout: x\nbody", 1, "", "has no end"),
        ("---\nabout x\n---\nb", 2, "", "expected `key: value`"),
        ("---\nabout: x\nabout: y\n---\nb", 3, "about", "twice, first in line 2"),
        ("---\nabout:x\n---\nb", 2, "", "expected `key: value`"),
        ('---\nabout: "x\n---\nb', 2, "about", "quotes are not closed"),
        ("---\nabout: 'x' y\n---\nb", 2, "about", "quotes are not closed"),
        ("---\ntags: [a, b\n---\nb", 2, "tags", "no ]"),
        ("---\nabout: &anchor x\n---\nb", 2, "about", "expected text"),
        ("---\nabout: *anchor\n---\nb", 2, "about", "expected text"),
        ("---\nabout: !!python/object:os.system x\n---\nb", 2, "about", "expected text"),
        ("---\nabout: {a: b}\n---\nb", 2, "about", "expected text"),
        ("---\nabout:\n  a: b\n---\nb", 2, "about", "a table"),
        ("---\n- about\n---\nb", 2, "", "expected `key: value`"),
    ],
)
def test_broken_front_matter(text, line, field, why):
    with pytest.raises(BrokenError, match=why.replace("`", ".").replace("[", r"\[").replace("]", r"\]")) as caught:
        split(text)
    assert (caught.value.line, caught.value.field) == (line, field)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "skills"
    folder.mkdir()
    return folder


@pytest.fixture
def write(folder):
    def write(name, text):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("a.md", "---\nabot: x\n---\nb", ":2: abot: unknown key (did you mean 'about'?)"),
        ("a.md", "---\nabout: [x]\n---\nb", ":2: about: expected text"),
        ("a.md", "---\nabout:\n---\nb", ":2: about: expected text"),
        ("a.md", "---\nabout: x\ndescription: y\n---\nb", ":3: description: it says the same as about in line 2"),
        ("a.md", "---\nabout: x\nname: a b\n---\nb", ":3: name: expected a name"),
        ("a.md", "---\ntags: json\n---\nb", ":2: tags: expected a list"),
        ("a.md", "---\ntags: [JSON!]\n---\nb", ":2: tags: expected a list"),
        ("a.md", "---\nabout: x\n---\n\n \n", "there is no text below the front matter"),
        ("a.md", "", ": there is no text"),
        ("a.md", b"---\nabout: x\n---\nok\n\xff\xfe", ":5: not UTF-8: byte 0xff"),
        ("a.md", "one\ntwo \0", ":2: there is a NUL byte"),
        ("a.md", "x" * 200_001, "has 200,001 characters"),
        ("a.md", b"x" * 900_000, "cannot be read: it is over"),
        ("---.md", "b", ":1: name: no name of an arm"),
        ("日本.md", "b", ":1: name: no name of an arm"),
    ],
)
def test_a_broken_file_names_its_place(folder, write, name, text, error):
    path = write(name, text)
    with pytest.raises(ConfigError) as caught:
        read_skill(folder, name)
    assert str(path) in caught.value.message
    assert error in caught.value.message


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("tax.md", "tax"),
        ("Tax returns (EU).md", "Tax-returns-EU"),
        ("café.MD", "cafe"),
        ("a/b/v1.2_x.md", "v1.2_x"),
        ("pdf/SKILL.md", "pdf"),
        ("SKILL.md", "SKILL"),
        ("x" * 100 + ".md", "x" * 64),
    ],
)
def test_an_arm_is_called_after_its_file(folder, write, key, name):
    write(key, "text")
    assert read_skill(folder, key).name == name


def test_what_a_file_says(folder, write):
    write("a.md", "---\nname: tax\ndescription: For taxes.\nlike: big\ntags: [json]\n---\n\nYou know.\n\n")
    found = read_skill(folder, "a.md")
    assert (found.name, found.about, found.body) == ("tax", "For taxes.", "You know.")
    assert json.loads(found.kept) == {"like": "big", "line": 4, "tags": ["json"]}
    assert read_skill(folder, "gone.md") is None


def a_profile(folder, like=None, n_own=2):
    names = ["plain", "big", *(f"own{n}" for n in range(n_own - 2))]
    arms = tuple(Arm(name=name, model=f"openai/{name}", tags=("tools",), price=PRICES) for name in names)
    return Profile(name="p", arms=arms, default_arm="plain", pool=Pool(folder=str(folder), like=like))


@pytest.fixture
def opened(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LOOK_AFTER_S", 0.0)
    monkeypatch.setattr(module, "_SELDOM", 0)

    def make(**more):
        profile = a_profile(folder, **more)
        said = []
        embedder = Embedder()
        pool = ArmPool(profile, tmp_path / "cache", embedder, say=said.append)
        return Decider(profile, PriceTable(b"{}", "test"), TierPrior(), embedder, pool=pool), said

    return make


def decide(decider, text, wishes=None):
    (context,) = decider.contexts([text])
    narrowed = decider.narrowed(text, context)
    return narrowed, narrowed.decide(
        Prompt(text), narrowed.predict([context]), wishes or Wishes(explore=0.0), decision_id="d", rng=random.Random(1)
    )


def test_an_arm_of_the_pool_is_like_another(write, opened):
    write("tax.md", "---\nabout: Income tax.\nlike: big\ntags: [json]\n---\nYou know taxes.")
    write("soup.md", "Cook.")
    decider, said = opened(like="big")
    tax, soup = decider.arm("tax"), decider.arm("soup")
    assert (tax.model, tax.like, tax.about, tax.system) == ("openai/big", "big", "Income tax.", "You know taxes.")
    assert tax.tags == ("tools", "json")
    assert tax.price == PRICES
    assert (soup.model, soup.about) == ("openai/big", None)
    assert said == []
    assert opened()[0].arm("soup").model == "openai/plain"
    with pytest.raises(KeyError):
        decider.arm("none")


def test_a_rung_of_a_ladder_may_be_meant(folder, write, tmp_path):
    write("low.md", "---\nlike: deep:low\n---\nx")
    write("any.md", "---\nlike: deep\n---\nx")
    (tmp_path / "p.toml").write_text(
        'name = "p"\n[pool]\nfolder = "skills"\n[[arms]]\nname = "deep"\nmodel = "openai/m"\nefforts = ["low", "high"]\n'
    )
    loaded = load_profile(str(tmp_path / "p.toml"), env={}, cwd=tmp_path, paths=paths({"SCRIMP_HOME": str(tmp_path)}))
    assert loaded.profile.pool.folder == str(folder)
    pool = ArmPool(loaded.profile, tmp_path / "cache", Embedder(), say=print)
    assert (pool.arm("low").reasoning_effort, pool.arm("low").efforts) == ("low", ())
    assert pool.arm("any").reasoning_effort is None


@pytest.mark.parametrize("n", [ALL_OF - 2, ALL_OF - 1])
def test_up_to_fifty_arms_are_all_seen_and_eight_beyond(write, opened, n):
    for k in range(n):
        write(f"s{k:02}.md", f"---\nabout: Knows about subject number {k}.\n---\nSubject {k}.")
    narrowed, decision = decide(opened()[0], "Tell me about subject number 7")
    assert len(decision.choice.weighed) == 2 + (n if n + 2 <= ALL_OF else NEAREST)
    assert decision.by is narrowed


def test_the_nearest_is_taken_among_arms_of_one_model_and_says_why(write, opened):
    write("tax.md", "---\nabout: Income tax returns.\n---\nForms, deductions, deadlines of the tax office.")
    write("soup.md", "---\nabout: Recipes for soup.\n---\nBoil carrots, add salt.")
    write("plane.md", "---\nabout: Books flights.\n---\nAirlines, seats, luggage.")
    decider, _ = opened()
    for text, arm in (
        ("Which forms do I need to deduct my home office?", "tax"),
        ("How do I cook lentil soup?", "soup"),
    ):
        decision = decide(decider, text)[1]
        assert decision.arm == arm
        assert decision.choice.taken.near.startswith("nearest in about, body")
        assert decision.choice.option("plain").near == ""
        qualities = [each.option.quality for each in decision.choice.weighed if each.option.near]
        assert len(set(qualities)) == 3
        traced = decision.to_dict()["arms"]
        assert [row["near"] for row in traced if row["name"] == arm] == [decision.choice.taken.near]
        assert type(decision).from_dict(decision.to_dict()).choice.taken.near == decision.choice.taken.near


def test_what_is_broken_is_left_out_and_nothing_else(folder, write, opened):
    write("good.md", "fine")
    write("broken.md", "---\nno end")
    write("a/twice.md", "one")
    write("b/twice.md", "two")
    write("plain.md", "the profile has an arm of that name")
    write("lost.md", "---\nabout: x\nlike: bigg\n---\ny")
    write("README.md", "about the others")
    (folder / "link.md").symlink_to(folder.parent / "elsewhere.md")
    decider, said = opened()
    narrowed, _ = decide(decider, "anything")
    assert [arm.name for arm in narrowed.profile.arms] == ["plain", "big", "good"]
    assert len(said) == 1
    assert "and 4 more" in said[0]
    cards, wrong = check_pool(decider.profile)
    assert [card.name for card in cards] == ["good"]
    assert sorted(wrong) == sorted(
        [
            f"{folder}/broken.md:1: the front matter that begins here has no end: a line of ---",
            f"{folder}/lost.md:3: like: no arm is called 'bigg' (did you mean 'big'?)",
            f"{folder}/plain.md:1: name: the profile has an arm called 'plain' of its own",
            f"{folder}/a/twice.md and {folder}/b/twice.md: name: more than one arm would be called 'twice'",
            f"{folder}/link.md: a symbolic link, which is not followed",
        ]
    )


def test_the_folder_is_looked_at_again(write, opened):
    path = write("tax.md", "---\nabout: Income tax.\n---\nIncome tax, old.")
    decider, _ = opened()
    _, decision = decide(decider, "income tax")
    assert decision.arm == "tax"
    path.write_text("---\nabout: Income tax.\n---\nIncome tax, new.")
    write("more.md", "Another.")
    assert decide(decider, "income tax")[0].profile.arm("tax").system == "Income tax, new."
    assert decision.by.profile.arm("tax").system == "Income tax, old."  # what was decided is asked as it was then
    assert "more" in decider.pool.cards
    path.unlink()
    assert "tax" not in decider.pool.cards
    assert decider.profile_with("tax").arm("tax").model == "openai/plain"  # a call under way still has its caps


def test_a_folder_that_is_not_there(folder, opened):
    folder.rmdir()
    with pytest.raises(ConfigError, match="No such file or directory"):
        decide(opened()[0], "hi")
    with pytest.raises(ConfigError, match="No such file or directory"):
        check_pool(a_profile(folder))


def test_a_projects_own_file_may_not_set_a_pool(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / ".scrimp.toml").write_text('[pool]\nfolder = "evil"\n')
    with pytest.raises(ConfigError, match="pool"):
        load_profile("local", env={}, cwd=project, paths=paths({"SCRIMP_HOME": str(tmp_path / "home")}))


def test_what_a_text_is_worth_is_bounded_and_tells_apart():
    scores = {f"s{k}": k / 10 for k in range(11)}
    fits, none = fitting(scores)
    assert sum(fits.values()) + none == pytest.approx(1.0)
    assert [*fits.values()] == sorted(set(fits.values()))
    factors = with_text(["plain", "far", *scores], scores, ["far", *scores])
    assert all(1.0 - WORTH <= factor <= 1.0 for factor in factors.values())
    assert factors["far"] == 1.0 - WORTH  # told a text that is not among the nearest
    # By hand: nothing near leaves the plain arm as it is; a text at 0.35 fits as likely as none.
    assert with_text(["plain", "tax"], {}, ["tax"]) == {"plain": 1.0, "tax": 1.0 - WORTH}
    assert with_text(["plain", "tax"], {"tax": 0.35}, ["tax"]) == {"plain": 1 - WORTH / 2, "tax": 1 - WORTH / 2}


@pytest.mark.parametrize("text", ["Prove that the square root of two is irrational.", "Who painted the Night Watch?"])
def test_a_prompt_that_no_text_is_for_goes_to_the_plain_arm(write, opened, text):
    write("tax.md", "---\nabout: Income tax returns.\n---\nForms, deductions, deadlines of the tax office.")
    write("soup.md", "---\nabout: Recipes for soup.\n---\nBoil carrots, add salt.")
    decision = decide(opened()[0], text)[1]
    assert decision.arm == "plain"
    assert decision.choice.taken.quality > max(
        each.option.quality for each in decision.choice.weighed if each.option.near
    )


@pytest.mark.parametrize("capped", [True, False])
def test_a_pool_that_a_project_chooses_gets_round_no_cap(tmp_path, capped):
    home, project = tmp_path / "home", tmp_path / "project"
    (home / "profiles").mkdir(parents=True)
    project.mkdir()
    arm = '[[arms]]\nname = "a"\nmodel = "openai/m"\n'
    cap = "cap = { per_day_usd = 1 }\n" if capped else ""
    (home / "profiles" / "default.toml").write_text(arm + cap)
    (home / "profiles" / "skilled.toml").write_text(f'[pool]\nfolder = "skills"\n{arm}')
    (project / ".scrimp.toml").write_text('profile = "skilled"\n')
    where = {"env": {}, "cwd": project, "paths": paths({"SCRIMP_HOME": str(home)})}
    assert (load_profile(None, **where).profile.pool is None) == capped
    assert load_profile("skilled", **where).profile.pool.folder == str(home / "profiles" / "skills")
