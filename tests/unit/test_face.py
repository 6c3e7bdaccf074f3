"""`from scrimp import Scrimp`: what it returns, that it is what the commands print, and that caps hold."""

import asyncio
import concurrent.futures
import json
import logging
import multiprocessing
import pickle
from decimal import Decimal

import pytest
from pauses import no_pause

import scrimp as package
from scrimp import Scrimp

VARYING = {"id", "latency_s", "ttft_s", "conversation_id"}
"""What two requests alike do not share."""


@pytest.fixture
def opened(profile):
    """Open a profile over the loopback server."""
    made = []

    def opening(**settings):
        made.append(Scrimp(profile(**settings), seed=1))
        return made[-1]

    yield opening
    for each in made:
        each.close()


def without(data, names=frozenset({"id"})):
    """Return plain data without some keys, at any depth."""
    if isinstance(data, dict):
        return {key: without(value, names) for key, value in data.items() if key not in names}
    return [without(each, names) for each in data] if isinstance(data, list) else data


# -- asking


def test_an_answer_says_who_answered_and_what_it_cost(opened, server):
    answer = opened(small="ok").ask("name three colours")
    assert answer.text
    assert (answer.arm, answer.requested_model, answer.served_model) == ("small", "openai/ok", "ok")
    assert answer.cost_usd == answer.total_charged_usd == Decimal(server.cost_nano) / 10**9
    assert (answer.cost_status, answer.finish_reason, answer.n_attempts) == ("settled", "stop", 1)
    assert (answer.input_tokens, answer.output_tokens) == (
        server.chats[0].input_tokens,
        server.chats[0].output_tokens,
    )
    assert (answer.passed, answer.checks, answer.error) == (None, (), None)
    assert answer.raise_for_error() is answer
    assert f"{answer}" == answer.text
    assert answer.decision.id == answer.id
    assert pickle.loads(pickle.dumps(answer)) == answer


@pytest.mark.parametrize("checks", [(), ("words:1..500", "re:nowhere")])
def test_to_dict_is_what_the_command_prints(opened, profile, scrimp, home, checks):
    arms = {"small": "echo", "large": "echo"}
    with opened(**arms) as s:
        answer = s.ask("why is the sky blue?", checks=checks)
    for each in home.glob("scrimp.db*"):  # the second is not to know how long the first answer was
        each.unlink()
    flags = [word for check in checks for word in ("--check", check)]
    printed = json.loads(
        scrimp("ask", "--json", "-p", profile(**arms), "--seed", "1", *flags, "why is the sky blue?").out
    )
    assert without(answer.to_dict(), VARYING) == without(printed, VARYING)
    assert json.loads(json.dumps(answer.to_dict())) == answer.to_dict()


def test_what_goes_with_a_prompt_is_sent_as_the_command_sends_it(opened, server, tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.txt").write_text("two\n")
    (tmp_path / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")
    s = opened(small="ok")
    s.ask("read these", system="Be brief.", files=[tmp_path / "a.txt", str(tmp_path / "b.txt")])
    assert [each["content"] for each in server.chats[0].body["messages"]] == [
        "Be brief.",
        "===== FILE a.txt\none\n===== FILE b.txt\ntwo\n===== END\n\nread these",
    ]
    s.ask("what is this?", attachments=tmp_path / "dot.png", tag="pictures", arm="small")
    assert server.chats[1].body["messages"][0]["content"][1]["type"] == "image_url"
    s.ask("", files=tmp_path / "a.txt")
    assert server.chats[2].prompt == "one"
    assert "pictures" in {row.name for row in s.spend("tag").rows}


@pytest.mark.parametrize("form", ["mapping", "text", "file"])
def test_a_schema_may_be_given_in_three_ways(opened, server, tmp_path, form):
    schema = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema))
    given = {"mapping": schema, "text": json.dumps(schema), "file": path}[form]
    answer = opened(small="json").ask("six times seven", schema=given)
    assert server.chats[0].body["response_format"]["json_schema"]["schema"] == schema
    assert (answer.passed, answer.error, json.loads(answer.text)) == (True, None, {"answer": 42})


def test_an_answer_that_fails_its_checks_is_returned_and_can_be_raised(opened, scrimp, profile):
    answer = opened(small="ok").ask("say it", checks="re:nowhere to be found")
    assert answer.text
    assert answer.passed is False
    assert [(each.outcome, each.cost_usd) for each in answer.checks] == [("fail", Decimal(0))]
    done = scrimp("ask", "-p", profile(small="ok"), "--check", "re:nowhere to be found", "say it")
    with pytest.raises(package.CheckFailedError) as raised:
        answer.raise_for_error()
    assert raised.value.exit_code == done.code == 7
    assert raised.value.message in done.err


def test_an_empty_answer_is_returned_and_can_be_raised(opened):
    answer = opened(small="length-empty").ask("say nothing")
    assert answer.text == ""
    assert isinstance(answer.error, package.ProviderError)


def test_a_conversation_goes_on_from_the_answer_it_is_told(opened, server):
    s = opened(small="ok")
    first = s.ask("My name is Ada.", system="Be kind.")
    s.ask("Another matter.")
    second = s.ask("What is it?", conversation=first)
    sent = [each["content"] for each in server.chats[2].body["messages"]]
    assert sent == ["Be kind.", "My name is Ada.", first.text, "What is it?"]
    assert second.conversation_id == first.conversation_id
    s.ask("And again?", conversation=first.conversation_id)
    assert len(server.chats[3].body["messages"]) == 6
    with pytest.raises(package.UsageError, match="no conversation '01nwhere'"):
        s.ask("And?", conversation="01nwhere")


def test_text_is_heard_as_it_comes_and_once_where_another_answer_may_replace_it(opened):
    s = opened(small="ok@tokens=12", large="ok@tokens=12")
    heard = []
    answer = s.ask("speak", on_text=heard.append, arm="small")
    assert "".join(heard) == answer.text
    assert len(heard) > 1
    assert answer.ttft_s is not None
    heard.clear()
    answer = s.ask("speak", on_text=heard.append, plan="small ? checks > large", checks="re:nowhere")
    assert heard == [answer.text]
    assert answer.arm == "large"
    assert [line for line in answer.said if "escalating to large" in line]


def test_a_policy_of_one_call_leaves_the_next_as_it_was(opened):
    s = opened(small="ok", large="ok")
    cheap = s.route("Prove that there are infinitely many primes", prefer="cheap")
    assert cheap.wtp_usd == 0.01
    assert s.route("Prove that there are infinitely many primes", wtp_usd=3).wtp_usd == 3.0
    assert s.ask("hello", prefer="best").decision.wtp_usd == 1.0
    assert s.ask("hello").decision.wtp_usd == 0.1
    missed = s.ask("hello", min_quality=0.9999)
    assert missed.decision.min_quality_missed
    assert any("out of reach" in line for line in missed.said)


def test_nothing_is_kept_where_that_is_wished(opened, scrimp):
    s = opened(small="ok")
    answer = s.ask("a secret", no_log=True)
    assert "a secret" not in scrimp("log", "export").out
    assert s.spend().cap("day").settled_usd == answer.cost_usd


# -- errors


def test_errors_are_the_commands_and_their_exit_codes(opened, profile, scrimp, server):
    s = opened(small="401")
    with pytest.raises(package.AuthError) as raised:
        s.ask("hello")
    assert raised.value.exit_code == scrimp("ask", "-p", profile(small="401"), "hello").code == 4
    with pytest.raises(package.UsageError, match="the prompt is empty"):
        s.ask("  ")
    with pytest.raises(package.UsageError, match="max_cost_usd"):
        s.ask("hello", max_cost_usd="a lot")
    with pytest.raises(package.BudgetRefusedError) as raised:
        s.ask("hello", max_cost_usd=Decimal("0.0000001"))
    assert raised.value.exit_code == package.ExitCode.BUDGET == 3
    with pytest.raises(TypeError, match="temprature"):
        s.ask("hello", temprature=1)
    with pytest.raises(package.UsageError):
        Scrimp("no-such-profile")
    assert issubclass(package.LedgerError, package.ScrimpError)


def test_an_attribute_that_is_not_there_is_missing_as_in_any_module():
    with pytest.raises(AttributeError, match="module 'scrimp' has no attribute 'askk'"):
        package.askk  # noqa: B018
    assert set(package.__all__) <= set(dir(package))


# -- deciding, rating, spending


def test_a_route_is_what_the_command_prints(opened, profile, scrimp, home):
    s = opened(small="ok", large="ok")
    route = s.route("Prove that 2 is prime")
    assert not (home / "scrimp.db").exists()
    printed = json.loads(
        scrimp("route", "--json", "-p", profile(small="ok", large="ok"), "--seed", "1", "Prove that 2 is prime").out
    )
    assert without(route.to_dict()) == without(printed)
    assert [arm.name for arm in route.arms] == ["small", "large"]
    taken = next(arm for arm in route.arms if arm.name == route.arm)
    assert 0 < taken.quality_low <= taken.quality <= taken.quality_high < 1
    assert Decimal(0) < taken.cost_usd <= taken.bound_usd
    none = s.route("Prove that 2 is prime", max_cost_usd="0.0000001")
    assert none.arm is None
    assert all(not arm.feasible and arm.why for arm in none.arms)


def test_a_rating_is_a_label(opened, scrimp):
    s = opened(small="ok")
    with pytest.raises(package.UsageError, match="the log is empty"):
        s.rate("last", "good")
    answer = s.ask("hello")
    assert s.rate(answer, "bad", note="wrong").to_dict() == {
        "schema_version": 1,
        "id": answer.id,
        "arm": "small",
        "reward": 0.0,
        "source": "rating",
    }
    assert s.rate("last", 0.25).to_dict() == json.loads(scrimp("rate", "0.25", "--json").out)
    assert s.rate(answer.id, 1).reward == 1.0
    for wrong in ("fine", 2, -0.1, True):
        with pytest.raises(package.UsageError, match="a rating is"):
            s.rate(answer, wrong)


def test_spending_is_what_the_command_prints(opened, profile, scrimp):
    s = opened(small="ok", large="ok")
    assert s.spend().rows == ()
    s.ask("one", arm="small")
    s.ask("two", arm="large")
    spent = s.spend("arm")
    printed = json.loads(scrimp("spend", "--json", "--by", "arm", "-p", profile(small="ok", large="ok")).out)
    assert spent.to_dict() == printed
    assert [row.name.rpartition("/")[2] for row in spent.rows] == ["large", "small"]
    assert sum(row.charged_usd for row in spent.rows) == spent.cap("day").settled_usd
    assert spent.cap("day").left_usd == 1 - spent.cap("day").settled_usd
    assert spent.cap("year") is None
    with pytest.raises(package.UsageError, match="by: expected one of"):
        s.spend("colour")


# -- many at once


async def arrived(server):
    """Wait until a request has reached the server."""
    while not server.chats:  # noqa: ASYNC110 - it is of another thread
        await asyncio.sleep(0.01)


def billed(server, s):
    """Return what the server bills, once it equals the ledger to the nano-dollar."""
    day = s.spend().cap("day")
    assert day.settled_usd == Decimal(server.cost_nano) / 10**9
    assert (day.reserved_usd, day.unknown_usd) == (0, 0)
    return day.settled_usd


def test_tasks_at_once_stay_below_a_cap(opened, server):
    s = opened(small="ok@tokens=100,latency_ms=20", caps="per_day_usd = 0.004")

    async def many():
        return await asyncio.gather(*(s.aask(f"prompt {n}") for n in range(20)), return_exceptions=True)

    got = asyncio.run(many())
    answers = [each for each in got if isinstance(each, package.Answer)]
    refused = [each for each in got if not isinstance(each, package.Answer)]
    assert all(isinstance(each, package.BudgetRefusedError) for each in refused), refused
    assert answers
    assert refused
    assert len(server.chats) == len(answers)
    assert billed(server, s) == sum(each.cost_usd for each in answers) <= Decimal("0.004")


def test_threads_and_tasks_share_one_ledger(opened, server):
    s = opened(small="ok@latency_ms=20")

    async def many():
        return await asyncio.gather(*(s.aask(f"task {n}") for n in range(10)))

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(s.ask, f"thread {n}") for n in range(10)]
        answers = asyncio.run(many()) + [each.result() for each in asked]
    assert len({each.id for each in answers}) == 20
    assert billed(server, s) == sum(each.cost_usd for each in answers)


def test_a_task_hears_its_text(opened):
    s = opened(small="drip@tokens=6,pause_s=0.02")
    heard = []
    answer = asyncio.run(s.aask("speak", on_text=heard.append))
    assert "".join(heard) == answer.text
    assert len(heard) > 1


def test_a_cancelled_task_is_settled(opened, server):
    s = opened(small="ok@latency_ms=3000")

    async def cancelled():
        task = asyncio.create_task(s.aask("slow"))
        await arrived(server)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    day = s.spend().cap("day")
    assert day.reserved_usd == 0
    assert day.settled_usd + day.unknown_usd >= Decimal(server.cost_nano) / 10**9


def test_closing_waits_for_what_is_under_way(opened, server):
    s = opened(small="ok@latency_ms=300")

    async def closing():
        task = asyncio.create_task(s.aask("slow"))
        await arrived(server)
        s.close()
        with pytest.raises(package.UsageError, match="closed"):
            await s.aask("too late")
        return await task

    assert asyncio.run(closing()).cost_status == "settled"
    with pytest.raises(package.UsageError, match="closed"):
        s.spend()
    s.close()


def test_context_managers_close(profile):
    path = profile(small="ok")
    with Scrimp(path) as s:
        assert s.ask("hello").text
    with pytest.raises(package.UsageError, match="closed"):
        s.ask("hello")

    async def block():
        async with Scrimp(path) as s:
            await s.aask("hello")
        return s

    assert "closed" in repr(asyncio.run(block()))


def test_a_forked_process_is_told_to_open_its_own(opened):
    s = opened(small="ok")
    s.ask("hello")

    def child(pipe):
        try:
            s.ask("hello")
        except package.UsageError as error:
            s.close()
            pipe.send(error.message)

    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(theirs,))
    process.start()
    assert ours.poll(20)
    assert "forked" in ours.recv()
    process.join()
    assert s.ask("hello again").text


# -- what is said


def test_nothing_is_printed_and_what_is_said_is_in_the_log(opened, capfd, caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="scrimp")
    waits = no_pause(monkeypatch)
    s = opened(small="500", large="ok")
    answer = s.ask("hello", prefer="cheap")
    assert answer.arm == "large"
    assert waits
    assert any("falling back to large" in line for line in answer.said)
    assert [record.message for record in caplog.records if record.name == "scrimp"] == list(answer.said)
    assert capfd.readouterr() == ("", "")


def test_an_answer_is_not_lost_where_what_comes_after_fails(opened, monkeypatch):
    def broken(*_args, **_kwargs):
        raise package.LedgerError("the disk is full")

    s = opened(small="ok")
    monkeypatch.setattr("scrimp.routing.asking.housekeeping.retire", broken)
    monkeypatch.setattr("scrimp.routing.asking.housekeeping.filled_caps", broken)
    answer = s.ask("hello")
    assert answer.text
    assert "the disk is full" in answer.said


def test_notes_say_which_profile_was_taken(home):
    s = Scrimp()
    assert s.profile == "local"
    assert "no profile chosen" in s.notes[0]


def test_a_home_of_its_own(profile, tmp_path, home):
    with Scrimp(profile(small="ok"), home=tmp_path / "elsewhere") as s:
        s.ask("hello")
    assert (tmp_path / "elsewhere" / "scrimp.db").exists()
    assert not home.exists()
