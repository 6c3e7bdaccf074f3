"""Every plan is printed as what reads to the same plan; every other text is an error that points into it."""

from hypothesis import given
from hypothesis import strategies as st

from scrimp.routing.plans.grammar import gates_in, is_plan, read_plan
from scrimp.routing.plans.plan import ALL, Plan, Stage
from scrimp.routing.plans.pointing import PlanError

ARMS = ("a", "b.c", "d-e", "f_g", "small:low", "vote", "bid", "leads", "x1")
CHECKS = ("json", "has:42", "re:^x>y$", "words:3 or more", "most of all")

arm = st.sampled_from(ARMS)
pick = st.builds("@{}{}".format, st.sampled_from(("", "cheap")), st.integers(1, 3))
gate = st.sampled_from((*CHECKS, ALL))
group = st.lists(arm | pick, min_size=1, max_size=3).map(tuple)


@st.composite
def stages(draw, *, last):
    how = draw(st.sampled_from(("one", "quorum", "vote", "best", "merge", "lead", "bid", "knockout")))
    stop = None if last else draw(gate)
    if how == "one":
        return Stage((draw(arm | st.just("@1")),), stop)
    if how == "quorum":
        return Stage(draw(st.lists(arm, min_size=2, max_size=3).map(tuple)), draw(st.sampled_from(("agree", "most"))))
    if how == "lead":
        planner, *workers = draw(st.lists(arm, min_size=2, max_size=3, unique=True))
        return Stage(tuple(workers), stop, "lead", (planner,))
    if how == "bid":
        return Stage(draw(st.lists(arm, min_size=2, max_size=3, unique=True).map(tuple)), stop, "bid")
    if how == "knockout":
        return Stage((*draw(group), draw(arm)), stop, "knockout", (draw(arm),))
    by = draw(st.lists(arm, min_size=1, max_size=2).map(tuple)) if how == "merge" else ()
    return Stage(draw(group), stop, how, by)


@st.composite
def plans(draw):
    n = draw(st.integers(0, 2))
    return Plan((*[draw(stages(last=False)) for _ in range(n)], draw(stages(last=True))))


@given(plans())
def test_what_is_printed_reads_back_to_the_same_plan(plan):
    text = str(plan)
    try:
        read = read_plan(text, ARMS, CHECKS)
    except PlanError as error:
        more_than_a_plan_may_be = "asked for one prompt" in error.reason or "never stop" in error.reason
        read = plan if more_than_a_plan_may_be else None
    assert read == plan
    assert str(read) == text
    assert set(gates_in(text.replace("re:^x>y$", "json"))) <= {*CHECKS}
    assert plan.single or is_plan(text)


pieces = st.sampled_from(
    (*ARMS, *CHECKS, ">", "=>", "?", "+", "*", "@", "@3", "@cheap2", "*3", "=", "vote", "best", "bid", "knockout",
     "leads", "agree", "most", "checks", "nobody", "", "\n", "\x00", "é", "大", "\ud800", "99999999999")
)  # fmt: skip


@given(st.lists(pieces, max_size=12).map(" ".join) | st.lists(pieces, max_size=12).map("".join) | st.text(max_size=40))
def test_nothing_is_silently_accepted(text):
    gates_in(text)
    error = plan = None
    try:
        plan = read_plan(text, ARMS, CHECKS)
    except PlanError as refused:
        error = refused
    if plan is None:
        assert 1 <= error.column <= len(text) + 1
        assert error.expected
        assert error.message.count("\n") == 2
    else:
        assert read_plan(str(plan), ARMS, CHECKS) == plan
        assert sum(len(stage.arms) for stage in plan.stages) <= 12
        assert all(each in ARMS or each.startswith("@") for each in plan.arms)
