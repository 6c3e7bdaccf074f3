"""A pool behind the endpoint: its arms are chosen, named, found when they are new, and bound to what was decided."""

import json
import time

from scrimp.routing.deciding import pool as module

POOL = '\n[pool]\nfolder = "skills"\nlike = "small"\n'


def said(chat):
    return [message["content"] for message in chat.body["messages"] if message["role"] == "system"]


def test_an_arm_of_the_pool_is_chosen_or_named(serve, server, openai_of, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LOOK_AFTER_S", 0.0)
    monkeypatch.setattr(module, "_SELDOM", 0)
    folder = tmp_path / "skills"
    folder.mkdir()
    (folder / "tax.md").write_text("---\nabout: Income tax returns.\n---\nYou know every form of the tax office.")
    (folder / "soup.md").write_text("---\nabout: Recipes for soup.\n---\nBoil carrots, add salt.")
    serving = serve(small="ok", extra=POOL)
    client = openai_of(serving)

    def ask(model, text):
        server.reset()
        reply = client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": text}]
        )
        (chat,) = server.chats
        return reply.headers["x-scrimp-arm"], said(chat)

    arm, told = ask("soup", "Hello")
    assert (arm, told) == ("soup", ["Boil carrots, add salt."])
    (folder / "new.md").write_text("---\nabout: Books flights.\n---\nAirlines, seats, luggage.")
    assert ask("new", "Hello") == ("new", ["Airlines, seats, luggage."])
    arm, told = ask("scrimp", "Which form of the tax office is for an income tax return of mine?")
    assert arm in ("tax", "small")
    assert told == (["You know every form of the tax office."] if arm == "tax" else [])
    names = {row.arm for row in serving.rows("SELECT arm FROM requests")}
    assert {"soup", "new"} <= names


def test_a_file_that_changes_under_way_leaves_the_call_as_it_was_decided(
    serve, server, openai_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "_LOOK_AFTER_S", 0.0)
    monkeypatch.setattr(module, "_SELDOM", 0)
    folder = tmp_path / "skills"
    folder.mkdir()
    skill = folder / "tax.md"
    skill.write_text("Short.")
    # The first call is refused and tried again a little later: by then the text is another, and far longer.
    serving = serve(small="429-then-ok@retry_after=1", extra=POOL)

    def change():
        deadline = time.monotonic() + 20
        while not server.chats and time.monotonic() < deadline:
            time.sleep(0.01)
        skill.write_text("Long. " * 5000)

    import threading

    thread = threading.Thread(target=change)
    thread.start()
    openai_of(serving).chat.completions.create(model="tax", messages=[{"role": "user", "content": "Hello"}])
    thread.join()
    assert [said(chat) for chat in server.chats] == [["Short."], ["Short."]]
    bound, charged = serving.rows("SELECT reserved_nano, charged_nano FROM reservations ORDER BY id DESC LIMIT 1")[
        0
    ].__dict__.values()
    assert charged <= bound
    assert json.dumps(server.chats[-1].body).count("Long") == 0
