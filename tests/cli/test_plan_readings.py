"""Readings in plans: what each call of a plan is sent of the files, under which name, and texts that are split."""

import json

import pytest

TOWNS = ("Oslo", "Bergen", "Narvik")


@pytest.fixture(scope="module")
def minutes(tmp_path_factory):
    """A text of about 20,000 tokens, of which a paragraph in twenty decides something."""
    paragraphs = [
        f"On day {n + 13} the council met and talked of roads and schools, while snow lay on the fields around it. "
        + (f"It was decided to mend the bridge of {TOWNS[n % 3]}. " if n % 20 == 7 else "Nobody decided anything. ")
        + "The evening was long, and all of them went home by the light of the lanterns with a song on their lips."
        for n in range(330)
    ]
    path = tmp_path_factory.mktemp("texts") / "minutes.txt"
    path.write_text("\n\n".join(paragraphs))
    return path


def ask(scrimp, *argv):
    done = scrimp("ask", "--json", *argv)
    return done, (json.loads(done.out) if done.out else None)


def plan_of(scrimp):
    return json.loads(scrimp("log", "show", "--json").out)["decision"]["plan"]


def sent(server):
    return [chat.body["messages"][-1]["content"] for chat in server.chats]


def test_passages_first_and_the_whole_where_they_say_nothing(scrimp, profile, server, minutes):
    path = profile(small="say@text=The_passages_do_not_mention_it.", large="say@text=Oslo")
    plan = "small/passages ? found > large/whole"
    done, answer = ask(scrimp, "-p", path, "-f", minutes, "--plan", plan, "Which bridge is mended first?")
    assert (done.code, answer["arm"], answer["answer"]) == (0, "large/whole", "Oslo")
    few, everything = sent(server)
    assert minutes.read_text()[-200:] in everything
    assert len(few) < len(everything) / 4
    logged = plan_of(scrimp)
    assert (logged["text"], logged["spelled"]) == (plan, plan)
    assert [step["arm"] for step in answer["steps"]] == ["small/passages", "large/whole"]
    assert [each["outcome"] for each in answer["steps"][0]["verdicts"]] == ["fail"]


def test_an_answer_that_tells_is_not_escalated(scrimp, profile, server, minutes):
    path = profile(small="say@text=Bergen", large="say@text=Oslo")
    done, answer = ask(
        scrimp, "-p", path, "-f", minutes, "--plan", "small/passages ? found > large/whole", "Which bridge is mended?"
    )
    assert (done.code, answer["arm"], len(server.chats)) == (0, "small/passages", 1)


def test_a_name_without_a_reading_is_resolved_once_and_for_all(scrimp, profile, server, minutes):
    path = profile(small="say@text=x", large="say@text=Oslo")
    _, answer = ask(scrimp, "-p", path, "-f", minutes, "--plan", "small ? has:Oslo > large", "Which bridge is it?")
    plan = plan_of(scrimp)
    names = [arm for stage in plan["stages"] for arm in stage["arms"]]
    assert [name.partition("/")[0] for name in names] == ["small", "large"]
    assert all(name.partition("/")[2] in ("whole", "passages") for name in names)
    assert [step["arm"] for step in answer["steps"]] == names
    assert plan["spelled"] == "small ? has:Oslo > large"


def test_without_files_readings_fall_away_with_a_remark(scrimp, profile, server):
    path = profile(small="say@text=x", large="say@text=Oslo")
    done, answer = ask(scrimp, "-p", path, "--plan", "small/passages ? has:Oslo > large/whole", "Which bridge is it?")
    assert (done.code, answer["arm"]) == (0, "large")
    assert "small/passages is small here: the files of this prompt are none" in done.err
    assert plan_of(scrimp)["text"] == "small ? has:Oslo > large"


def test_who_merges_reads_the_files_and_who_drops_answers_is_shown_the_passages(scrimp, profile, server, minutes):
    path = profile(caps="per_day_usd = 100", small="say@text=Oslo", medium="say@text=Bergen", large="say@text=A")
    plan = "small/passages + medium/passages knockout large"
    ask(scrimp, "-p", path, "-f", minutes, "--plan", plan, "Which bridge is mended first?")
    assert [1_000 < len(each) < 30_000 for each in sent(server)] == [True, True, True]
    assert "It was decided" in sent(server)[-1]
    assert plan_of(scrimp)["stages"][0]["by"] == ["large/passages"]
    server.reset()
    ask(scrimp, "-p", path, "-f", minutes, "--plan", f"{plan}/none", "Which bridge is mended first?")
    assert [len(each) > 1_000 for each in sent(server)] == [True, True, False]
    server.reset()
    ask(scrimp, "-p", path, "-f", minutes, "--plan", "small/passages + medium/passages => large/whole", "Which one?")
    assert len(sent(server)[-1]) > 50_000
    assert "===== ANSWER 1" in sent(server)[-1]


def test_a_judge_is_shown_the_passages_and_samples_read_what_their_arm_does(scrimp, profile, server, minutes):
    path = profile(caps="per_day_usd = 100", small="say@text=Oslo", medium="say@text=Oslo", large="say@text=SCORE:_9")
    argv = ("-f", minutes, "--check", "judge:large", "--check", "agree:medium", "-m", "small/passages", "Which bridge?")
    _, answer = ask(scrimp, "-p", path, *argv)
    steps = {step["kind"]: step["arm"] for step in answer["steps"]}
    assert (steps["ask"], steps["judge"]) == ("small/passages", "large/passages")
    assert steps["sample"] in ("medium/passages", "medium/whole")
    judged = next(chat for chat in server.chats if "SCORE" in chat.model)
    assert len(judged.body["messages"][-1]["content"]) < 30_000
    assert "It was decided" in judged.body["messages"][-1]["content"]
    assert answer["passed"]


def test_a_judge_is_shown_a_short_file_whole(scrimp, profile, server, tmp_path):
    (tmp_path / "diff.txt").write_text("- a = 1\n+ a = 2\n")
    path = profile(small="say@text=Oslo", large="say@text=SCORE:_9")
    argv = ("-f", tmp_path / "diff.txt", "--check", "judge:large", "-m", "small", "Write a commit message")
    _, answer = ask(scrimp, "-p", path, *argv)
    assert answer["passed"]
    judged = next(chat for chat in server.chats if "SCORE" in chat.model)
    assert "+ a = 2" in judged.body["messages"][-1]["content"]


def test_plans_of_prompts_with_files_have_an_outlook(scrimp, profile, server, minutes):
    path = profile(small="say@text=Oslo", large="say@text=Oslo", extra='[plans]\non = "small ? json > large"\n')
    assert scrimp("ask", "-p", path, "-f", minutes, "Which bridge is mended first?").code == 0
    (plan,) = json.loads(scrimp("plans", "-p", path, "--json").out)["plans"]
    assert (plan["expected"]["n"], plan["expected"]["why"]) == (1, None)


def test_a_worker_reads_what_it_is_named_with_or_nothing(scrimp, profile, server, minutes):
    lead = "say@text=<ask_arm='small'>Which_bridge?"
    path = profile(caps="per_day_usd = 100", small="say@text=Oslo", large=lead)
    for plan, reads in (("large/passages leads small", False), ("large/passages leads small/passages", True)):
        server.reset()
        ask(scrimp, "-p", path, "-f", minutes, "--plan", plan, "Which bridge is mended first?")
        worker = next(text for text in sent(server) if text.endswith("Which bridge?"))
        assert ("PASSAGE of minutes.txt" in worker) == reads


def test_a_list_is_split_and_put_together_by_code(scrimp, profile, server, minutes):
    path = profile(small="say@text=-_Mend_the_bridge", large="ok")
    done, answer = ask(scrimp, "-p", path, "-f", minutes, "--plan", "small/split", "List every decision")
    plan = plan_of(scrimp)
    n = plan["stages"][0]["pieces"]
    assert n > 2
    assert (done.code, answer["answer"], len(server.chats)) == (0, "- Mend the bridge", n)
    assert {step["kind"] for step in answer["steps"]} == {"piece"}
    everything = minutes.read_text()
    ends = [each[2] for each in plan["split"]["spans"]]
    assert [each[1] for each in plan["split"]["spans"]] == [0, *ends[:-1]]
    assert ends[-1] == len(everything)
    assert all(everything[:end].endswith("\n\n") for end in ends[:-1])


def test_a_count_is_summed_and_pieces_with_nothing_count_nothing(scrimp, profile, server, minutes):
    path = profile(small="ok", large="ok")
    question = "How many times is a bridge mended?"
    n = json.loads(
        scrimp("ask", "--dry-run", "--json", "-p", path, "-f", minutes, "--plan", "small/split", question).out
    )
    n = n["plan"]["stages"][0]["pieces"]
    assert server.chats == []
    server.script(["say@text=COUNT:_2"] * (n - 1) + ["say@text=NOTHING"])
    _, answer = ask(scrimp, "-p", path, "-f", minutes, "--plan", "small/split", question)
    assert answer["answer"] == str(2 * (n - 1))


def test_other_answers_are_merged_by_a_call_that_reads_them_alone(scrimp, profile, server, minutes):
    path = profile(small="say@text=A_bridge_of_Oslo.", large="say@text=Oslo_it_is")
    _, answer = ask(scrimp, "-p", path, "-f", minutes, "--plan", "small/split => large", "What is said of bridges?")
    assert (answer["arm"], answer["answer"]) == ("large/none", "Oslo it is")
    *pieces, merged = sent(server)
    assert all("Above stands piece" in each for each in pieces)
    assert f"PIECE {len(pieces)}, characters" in merged
    assert "went home by the light" not in merged


def test_read_split_is_a_plan_and_its_forecast_sends_nothing(scrimp, profile, server, minutes):
    path = profile(small="ok", large="ok")
    done = scrimp(
        "ask", "--dry-run", "-p", path, "-f", minutes, "--read", "split", "-m", "small", "List every decision"
    )
    assert done.code == 0
    assert "pieces of at most about" in done.out
    assert "merged by code" in done.out
    assert "likely answered wrongly" in done.out
    assert server.chats == []
    done = scrimp("ask", "--dry-run", "--json", "-p", path, "-f", minutes, "--read", "split", "List every decision")
    assert json.loads(done.out)["plan"]["spelled"] == "@1/split"
    done = scrimp("ask", "-p", path, "-f", minutes, "--read", "split", "--plan", "small", "List every decision")
    assert done.code == 2
    assert "--read split is a plan of its own" in done.err
    done = scrimp("route", "-p", path, "-f", minutes, "--read", "split", "-m", "large", "List every decision")
    assert done.code == 0
    assert "pieces of at most about" in done.out
    assert "ask large/split, piece by piece" in done.out
    assert server.chats == []


def test_a_split_that_a_cap_cannot_pay_to_its_end_is_not_begun(scrimp, profile, server, minutes):
    path = profile(small="ok", large="ok")
    argv = ("-f", minutes, "--plan", "small/split", "List every decision")
    bound = json.loads(scrimp("ask", "--dry-run", "--json", "-p", path, *argv).out)["plan"]["expected"]["bound_usd"]
    low = profile(caps=f"per_day_usd = {bound - 0.000001:.9f}", small="ok", large="ok")
    done = scrimp("ask", "-p", low, *argv)
    assert done.code == 3
    assert "The plan is not begun" in done.err
    assert server.chats == []
    enough = profile(caps=f"per_day_usd = {bound + 0.000001:.9f}", small="say@text=NOTHING", large="ok")
    done = scrimp("ask", "-p", enough, *argv)
    assert (done.code, done.out) == (0, "The text holds nothing of what is asked for.\n")


def test_a_text_of_one_piece_is_not_split(scrimp, profile, server, tmp_path):
    note = tmp_path / "note.txt"
    note.write_text("Mend the bridge.")
    path = profile(small="ok", large="ok")
    done, answer = ask(scrimp, "-p", path, "-f", note, "--plan", "small/split", "List every decision")
    assert (done.code, answer["arm"], len(server.chats)) == (0, "small/whole", 1)
    assert "small/split is small here: the text is one piece" in done.err


def test_an_arm_whose_window_no_file_fits_still_splits(scrimp, profile, server, minutes):
    path = profile(small="say@text=-_a_bridge", large="ok")
    path.write_text(path.read_text().replace("context_window = 100000", "context_window = 3000", 1))
    done, answer = ask(scrimp, "-p", path, "-f", minutes, "--plan", "small/split", "List every decision")
    assert (done.code, answer["answer"]) == (0, "- a bridge")
    assert max(map(len, sent(server))) < 12_000
    done = scrimp("ask", "-p", path, "-f", minutes, "--plan", "small/whole ? found > large", "List every decision")
    assert done.code == 2
    assert "small/whole: about" in done.err


def test_a_text_that_fits_no_arm_at_all_is_split(scrimp, profile, server, minutes):
    path = profile(small="say@text=-_a_bridge", large="ok")
    path.write_text(path.read_text().replace("context_window = 100000", "context_window = 3000"))
    done, answer = ask(scrimp, "-p", path, "-f", minutes, "--read", "split", "-m", "small", "List every decision")
    assert (done.code, answer["answer"]) == (0, "- a bridge")
    assert {step["arm"] for step in answer["steps"]} == {"small/split"}


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("small/passage ? found > large", "column 7: no reading 'passage' (did you mean 'passages'?)"),
        ("small/split + large vote", "column 1: a text that is split is read by one arm"),
        ("small => large/split", "column 10: a text is split by who answers"),
        ("@2/split => large", "column 1: one arm reads all pieces"),
        ("small/ ? found > large", "column 7: no reading ''"),
        ("smal/passages ? found > large", "column 1: no arm 'smal' here (did you mean 'small'?)"),
        ("vendor/model ? found > large", "column 1: no arm 'vendor/model' here"),
    ],
)
def test_a_reading_that_is_none_is_pointed_at(scrimp, profile, plan, said):
    path = profile(small="ok", large="ok")
    done = scrimp("ask", "-p", path, "--plan", plan, "6 x 7?")
    assert done.code == 2
    assert said in done.err


def test_a_profiles_plan_with_readings_is_held_back_until_labels_speak(scrimp, profile, server, minutes):
    extra = '[policy]\nwtp_usd = 100\n[plans]\non = "small/passages ? found > large/whole"\n'
    path = profile(small="say@text=Oslo", large="say@text=Oslo", extra=extra)
    done, answer = ask(scrimp, "-p", path, "-f", minutes, "Which bridge is mended first?")
    assert (done.code, len(server.chats)) == (0, 1)
    (weighed,) = json.loads(scrimp("log", "show", "--json").out)["decision"]["plans"]
    assert weighed["why"] == "not by itself before 30 labels of what it stops at"
    _, answer = ask(scrimp, "-p", path, "-f", minutes, "--plan", "on", "Which bridge is mended first?")
    assert answer["arm"] == "small/passages"
