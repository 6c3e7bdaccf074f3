"""Plans as models that a program may name, and as choices of a profile."""

import pytest

from scrimp.profiles.schema import Arm, Check, Profile
from scrimp.routing.asking.named_plans import offered_plans
from scrimp.routing.serving.names import model_names, resolve
from scrimp.routing.serving.shapes.shape import ShapeError

PROFILE = Profile(
    name="p",
    arms=(Arm(name="small", model="openai/gpt-5-mini"), Arm(name="large", model="openai/gpt-5")),
    checks={"mine": Check(cmd=("true",)), "short": Check(spec="words:..5")},
    plans={
        "careful": "small ? json > large",
        "tested": "small ? mine > large",
        "brief": "small ? short > large",
        "sought": "small ? re:^a > large",
        "two": "@2 ? agree",
    },
)


@pytest.mark.parametrize("name", ["careful", "scrimp/careful"])
def test_a_program_names_a_plan_which_brings_its_checks(name):
    wishes, way = resolve(name, PROFILE)
    assert (wishes.arm, way.plan, way.name) == (None, "small ? json > large", "careful")
    assert [check.name for check in way.checks] == ["json"]


def test_plans_are_among_the_names():
    assert {"scrimp/careful", "scrimp/two", "scrimp/best", "small"} <= {*model_names(PROFILE)}


@pytest.mark.parametrize("name", ["small ? cmd:ls > large", "small ? re:(a+)+ > large"])
def test_a_program_still_spells_no_check_that_runs_something(name):
    with pytest.raises(ShapeError, match="no check that a program may name"):
        resolve(name, PROFILE)


def test_what_is_no_plan_is_no_model():
    with pytest.raises(ShapeError, match=r"no model 'careless'\. Did you mean"):
        resolve("careless", PROFILE)


def test_only_plans_whose_checks_run_nothing_are_offered_unasked():
    assert [plan.name for plan in offered_plans(PROFILE, ())] == ["careful", "brief", "two"]
    assert [plan.name for plan in offered_plans(PROFILE, ("mine",))] == ["careful", "tested", "brief", "two"]
