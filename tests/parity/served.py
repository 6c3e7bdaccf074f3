"""The ways of the parity table by which other programs ask: the endpoint, and `await` in Python."""

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import replace

from serving.conftest import Inside

from scrimp.profiles.errors import ScrimpError

from .stage import ENDS
from .worlds import PROMPT, SYSTEM

__all__ = ["aask", "can_be_served", "can_be_streamed", "serve"]

EXITS = {200: {0}, 400: {5}, 402: {3}, 403: {4}, 429: {75}, 500: {5}}
"""The exit codes of `ask` that each HTTP status stands for. 400 is what a provider did not take of the prompt itself."""

KINDS = {
    "insufficient_quota": 402,
    "permission_error": 403,
    "rate_limit_error": 429,
    "invalid_request_error": 400,
    "server_error": 500,
    "billing_error": 402,
    "api_error": 500,
}
"""The status that an error has by itself, by the word that both interfaces have for it in a stream."""

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
FOR_COMMANDS = ("--schema", "--cascade", "--repair", "--no-log")


def can_be_served(world):
    """Tell whether a program can ask for a world: it names a model or a plan, and no checks but those of the plan."""
    if world.file is not None or any(flag in FOR_COMMANDS for flag in world.flags):
        return False
    flags = _flags(world)
    return "--check" not in flags or f"? {flags['--check']} >" in flags.get("--plan", "")


def can_be_streamed(world):
    """Tell whether a program that is sent pieces gets there: where they break off, no other arm is asked.

    `test_served` has what comes of that.
    """
    return can_be_served(world) and not world.breaks_off


def _flags(world):
    """Return the flags, each of which has a value; None for one that is given twice."""
    names = world.flags[::2]
    return {
        name: value if names.count(name) == 1 else None for name, value in zip(names, world.flags[1::2], strict=True)
    }


def _body(world, shape, streamed):
    flags = _flags(world)
    model = world.arm or flags.get("--plan") or ("scrimp/" + flags["--prefer"] if "--prefer" in flags else "scrimp")
    user = {"role": "user", "content": PROMPT}
    if shape == "anthropic":
        # Its interface demands a limit: that of the arms.
        return {"model": model, "max_tokens": 200, "system": SYSTEM, "messages": [user], "stream": streamed}
    return {"model": model, "messages": [{"role": "system", "content": SYSTEM}, user], "stream": streamed}


def _post(serving, shape, body):
    """Return the status and the bytes that are sent back."""
    headers = {"content-type": "application/json", "x-api-key": serving.token}
    request = urllib.request.Request(serving.url + PATHS[shape], json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _events(raw):
    lines = (line.removeprefix(b"data: ") for line in raw.splitlines() if line.startswith(b"data: "))
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def _in_pieces(events):
    """Return the text that a stream of OpenAI's tells, the arm, and the error that it ends with."""
    text, arm, error = "", None, None
    for event in events:
        for choice in event.get("choices", ()):
            text += choice["delta"].get("content") or ""
        arm = event.get("scrimp", {}).get("arm", arm)
        error = event.get("error", error)
    return text, arm, error


def _whole(shape, reply):
    said = reply["content"] if shape == "anthropic" else [reply["choices"][0]["message"]]
    return "".join(part.get("text" if shape == "anthropic" else "content") or "" for part in said), reply["scrimp"][
        "arm"
    ]


def serve(shape, *, streamed=False):
    """Return the way of a program that asks an endpoint, in a process that serves."""

    def way(stage, world):
        from scrimp.cli import session
        from scrimp.cli.serving import capped

        flags = _flags(world)
        session.keys.cache_clear()
        loaded = session.load(str(stage.profile(world)))
        if most := flags.get("--max-cost"):
            loaded = capped(loaded, session.parse_usd(most, "--max-cost"))
        try:
            serving = Inside(stage.home, loaded, one_run="--max-cost" in flags, tag=flags.get("--tag"))
        except ScrimpError as error:  # none of its arms can be called: it does not begin to serve
            session.close()
            code = int(error.exit_code)
            return replace(stage.outcome(world, ENDS.get(code, "failed"), None, None, error.message), exits={code})
        try:
            status, raw = _post(serving, shape, _body(world, shape, streamed))
        finally:
            serving.stop()
            session.close()
        said = f"{status} {raw.decode()}\n{serving.said()}"
        text = by = error = None
        if status != 200:
            error = json.loads(raw)["error"]
            assert KINDS[error["type"]] == status, said
        elif streamed:
            text, by, error = _in_pieces(_events(raw))
            said += f"\nin pieces: {text}"
            status = 200 if error is None else KINDS[error["type"]]
        else:
            text, by = _whole(shape, json.loads(raw))
        exits = EXITS[status]
        if status == 400 and error["message"].startswith("not sent: "):
            exits = {9}  # by a guard of the profile, which a program can do no more about than about a bad prompt
        if status == 200 and not text:
            exits = {5}  # of an answer that is empty `ask` says so; its program sees it, and why it ended
        (ends,) = {ENDS.get(code, "failed") for code in exits}
        says = None if error is not None else text
        return replace(stage.outcome(world, ends, says, by, said), exits=exits)

    return way


NAMES = {"--check": "checks", "--max-cost": "max_cost_usd"}
BARE = ("--cascade", "--repair", "--no-log")


def _options(world):
    """Return the flags of a command as what `Scrimp.aask` takes."""
    options, flags = {}, iter(world.flags)
    for flag in flags:
        name = NAMES.get(flag, flag.removeprefix("--").replace("-", "_"))
        if flag in BARE:
            options[name] = True
        elif flag == "--check":
            options.setdefault(name, []).append(next(flags))
        else:
            options[name] = next(flags)
    return options


def aask(*, streamed=False):
    """Return the way of a program that awaits an answer in Python."""

    def way(stage, world):
        import scrimp

        heard = []
        files = () if world.file is None else [stage.file(world)]
        options = _options(world) | ({"on_text": heard.append} if streamed else {})

        async def go():
            async with scrimp.Scrimp(stage.profile(world), home=stage.home) as s:
                return await s.aask(PROMPT, system=SYSTEM, arm=world.arm, files=files, **options)

        try:
            answer = asyncio.run(go())
        except scrimp.ScrimpError as error:
            code, says, by, said = int(error.exit_code), None, None, error.message
        else:
            code = 0 if answer.error is None else int(answer.error.exit_code)
            says, by, said = answer.text, answer.arm, "\n".join(answer.said)
        if streamed and says is not None:
            assert "".join(heard).endswith(says), heard  # after what an arm began with that was given up
        return replace(stage.outcome(world, ENDS.get(code, "failed"), says, by, said), exits={code})

    return way
