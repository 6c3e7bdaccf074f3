"""The worlds of the parity table: what is asked, what the arms reply, and what must come of it in every way."""

from dataclasses import dataclass, replace

__all__ = ["PROMPT", "SECRET", "SYSTEM", "WORLDS", "World"]

SECRET = "plover"
"""Stands in every prompt, and in replies of `400-quote`: where nothing is kept, no file may hold it."""

PROMPT = (
    f"Says the {SECRET}: into how many regions do 9 chords cut a disc at most, less 4? Answer with one number only."
)
"""Hard enough that a dear arm is expected to be better by more than what nobody has measured."""

SYSTEM = "Be brief."

RIGHT = "say@text=It_is_42"
WRONG = "say@text=It_is_41"
LOST = "say@text=no_idea"
NOT_A_NUMBER = ("--check", "number:42")


@dataclass(frozen=True)
class World:
    """One row of the table.

    Attributes
    ----------
    replies
        What the server does with each arm's calls, in order (`tests/server.py`); an arm's last one stays. The arms of
        the profile are these: the policy takes the first, and falls back to the others in order.
    flags
        Given to `ask` and `batch` alike.
    arm
        Asked for by name (-m); such worlds are open to `redo` too.
    ends
        How the prompt ends: ok, unfit (an answer that fails a check), failed (no answer), refused (by a cap).
    says, by
        The answer that stands, and the arm that gave it.
    calls
        How many calls reach the server.
    caps, extra
        Lines of the profile: its [caps], and what follows the arms.
    file
        The text of a file that is asked about: such worlds are open to all ways but programs that are served.
    kills
        Moments at which a batch of this world is killed, to be resumed: `warm_worker` and `sent:N` (the Nth call is on
        its way, and billed).
    """

    name: str
    replies: dict[str, tuple[str, ...]]
    flags: tuple[str, ...] = ()
    arm: str | None = None
    ends: str = "ok"
    says: str | None = "It is 42"
    by: str | None = None
    calls: int = 1
    caps: str = "per_day_usd = 1.0"
    extra: str = ""
    timeout_s: float = 5.0
    file: str | None = None
    kills: tuple[str, ...] = ()

    @property
    def breaks_off(self) -> bool:
        """Whether the first arm's reply breaks off after a part of its text."""
        return next(iter(self.replies.values())) == ("cut",)

    @property
    def private(self) -> bool:
        """Whether no text may be kept."""
        return "--no-log" in self.flags or "keep = " in self.extra


def plain(name, *replies, **more):
    """Return a world without a plan: its arms are small, medium and large, as many as there are replies."""
    arms = ("small", "medium", "large")[: len(replies)]
    told = {arm: (each,) if isinstance(each, str) else each for arm, each in zip(arms, replies, strict=True)}
    return World(name, told, **({"by": "small"} | more))


def by_name(world, **more):
    """Return a world with its first arm asked for by name: there is no fallback then."""
    return replace(world, name=f"{world.name}, by name", arm=next(iter(world.replies)), kills=(), **more)


def unlogged(world, kills=()):
    return replace(world, name=f"{world.name}, unlogged", flags=(*world.flags, "--no-log"), kills=kills)


ONCE = ("reserved:1", "sent:1", "settling:1", "settled:1")
TWICE = (*ONCE, "reserved:2", "sent:2", "settling:2", "settled:2")

# -- one call, or the same call again

OK = plain("ok", RIGHT, RIGHT, kills=ONCE)
OK_ALONE = plain("one arm", RIGHT)
AGAIN = plain("500, then ok", ("500", RIGHT), RIGHT, calls=2)
BUSY = plain("429, then ok", ("429@retry_after=0", RIGHT), RIGHT, calls=2)
SLOW = plain("time-out, then ok", ("hang-headers", RIGHT), RIGHT, calls=2, timeout_s=0.3)
EMPTY = plain("empty, again and again", "empty-content", ends="failed", says=None, by=None, calls=2)
EMPTY_ONCE = plain("empty, then ok", ("empty-content", RIGHT), calls=2)
GARBAGE = plain("garbage, again and again", "garbage", ends="failed", says=None, by=None, calls=2)
NO_CHOICE = plain("no choice, again and again", "choices-empty", ends="failed", says=None, by=None, calls=2)
NO_USAGE = plain("no usage", "no-usage@text=It_is_42")
ODD_USAGE = plain("impossible usage", "huge-usage@text=It_is_42")
BREACH = plain("breach", "breach", says=None)
OTHER = plain("another model served", "other-model@text=It_is_42")
LONG = plain("cut at its limit", "fill", says=None)
FILTERED = plain("filtered", "content-filter", ends="failed", says="")
BROKEN = plain("a 400 that stays", "400", ends="failed", says=None, by=None)
QUOTE = plain("an error that quotes the prompt", "400-quote", ends="failed", says=None, by=None)
NO_ENTRY = plain("a wrong key", "401", ends="failed", says=None, by=None)
NO_KEY = plain(
    "a key that is not set", RIGHT, extra='key_env = "NOT_SET"\n', ends="failed", says=None, by=None, calls=0
)
FULL = plain("429 for good", "429@retry_after=0", ends="failed", says=None, by=None, calls=5)
DOWN = plain("500 for good", "500", ends="failed", says=None, by=None, calls=5)

TAGGED = plain("tagged", RIGHT, RIGHT, flags=("--tag", "weekly"))
BEST = plain("by preference", LOST, RIGHT, flags=("--prefer", "best"), by="medium")

ONE_CALL = (
    OK, OK_ALONE, TAGGED, BEST, AGAIN, BUSY, SLOW, EMPTY, EMPTY_ONCE, GARBAGE, NO_CHOICE, NO_USAGE, ODD_USAGE, BREACH, OTHER, LONG,
    FILTERED, BROKEN, QUOTE, NO_ENTRY, NO_KEY, FULL, DOWN,
)  # fmt: skip

# -- another arm

FALLBACKS = (
    plain("falls back after a 400", "400", RIGHT, by="medium", calls=2),
    plain("falls back after a wrong key", "401", RIGHT, by="medium", calls=2),
    plain("falls back after a model that is not there", "404", RIGHT, by="medium", calls=2),
    plain("falls back twice", "400", "401", RIGHT, by="large", calls=3),
    plain("falls back after 500s", "500", RIGHT, by="medium", calls=6),
    plain("falls back after empty replies", "empty-content", RIGHT, by="medium", calls=3),
    plain("falls back after a part of an answer", "cut", RIGHT, by="medium", calls=2),
    plain("all arms fail", "400", "401", "404", ends="failed", says=None, by=None, calls=3),
    plain("all arms fail, each in its way", "401", "400", "503", ends="failed", says=None, by=None, calls=7),
)

# -- caps

CAPPED = (
    plain("refused by --max-cost", RIGHT, RIGHT, flags=("--max-cost", "0.000001"), ends="refused", says=None, by=None, calls=0),
    plain("refused by a cap", RIGHT, RIGHT, caps="per_call_usd = 0.000001", ends="refused", says=None, by=None, calls=0),
    # Two attempts of `small` are above the cap of the run, and the first is charged in full.
    plain("a cap between two tries", "drop-headers", RIGHT, caps="per_run_usd = 0.0015", ends="failed", says=None, by=None),
)  # fmt: skip

# -- what is likely to be answered wrongly


def risky(how, below, **more):
    """Return a world whose profile looks at the risk of each prompt."""
    return plain(
        f"risk, {how}, below {below}", RIGHT, RIGHT, extra=f'[guard]\nrisky = "{how}"\nrisk_below = {below}\n', **more
    )


RISKY = (
    risky("refuse", 1.0, ends="refused", says=None, by=None, calls=0),
    risky("ask", 1.0, ends="refused", says=None, by=None, calls=0),
    risky("refuse", 0.0),
    risky("warn", 1.0),
    risky("arm:medium", 1.0, by="medium"),
)

# -- checks

CHECKED = (
    plain("passes a check", RIGHT, RIGHT, flags=NOT_A_NUMBER, kills=ONCE),
    plain("fails a check", WRONG, RIGHT, flags=NOT_A_NUMBER, ends="unfit", says="It is 41", kills=("settling:1", "settled:1")),
    plain("passes two checks and fails one", RIGHT, flags=(*NOT_A_NUMBER, "--check", "words:..5", "--check", "has:43"), ends="unfit"),
    plain("passes a command", RIGHT, flags=("--check", "cmd:grep -q 42"), kills=("settling:1", "settled:1")),
    plain("fails a command", WRONG, flags=("--check", "cmd:grep -q 42"), ends="unfit", says="It is 41"),
    plain("a check that cannot tell", RIGHT, flags=("--check", "language:en")),
    plain("fits a schema", "json", flags=("--schema", '{"type": "object", "required": ["answer"]}'), says='{"answer": 42}'),
    plain("does not fit a schema", WRONG, flags=("--schema", '{"type": "object"}'), ends="unfit", says="It is 41"),
    plain("judged right", RIGHT, "say@text=Score:_9_of_10", flags=("--check", "judge:medium:Right?"), calls=2, kills=TWICE),
    plain("judged wrong", WRONG, "say@text=Score:_2_of_10", flags=("--check", "judge:medium:Right?"), ends="unfit", says="It is 41", calls=2),
    plain("the judge rambles", RIGHT, "say@text=Rather_good", flags=("--check", "judge:medium"), calls=2),
    plain("the judge is out", RIGHT, "400", flags=("--check", "judge:medium"), calls=2),
    plain("agrees with itself", RIGHT, flags=("--check", "agree:3"), calls=3),
    plain("does not agree with itself", (RIGHT, RIGHT, LOST), flags=("--check", "agree:3"), ends="unfit", calls=3),
)  # fmt: skip

# -- plans


def planned(name, plan, *replies, **more):
    flags = more.pop("flags", NOT_A_NUMBER)
    return plain(name, *replies, **({"by": "large"} | more | {"flags": ("--plan", plan, *flags)}))


LADDER = "small ? checks > medium"
PLANNED = (
    planned("escalates", LADDER, WRONG, RIGHT, by="medium", calls=2, kills=TWICE),
    planned("does not escalate", LADDER, RIGHT, RIGHT, by="small", kills=ONCE),
    planned("escalates in vain", LADDER, WRONG, LOST, ends="unfit", says="no idea", by="medium", calls=2),
    planned("escalates from a failure", LADDER, "400", RIGHT, by="medium", calls=2),
    planned("escalates into a failure", LADDER, WRONG, "400", ends="unfit", says="It is 41", by="small", calls=2),
    planned("escalates to a second try", LADDER, ("500", WRONG), ("500", RIGHT), by="medium", calls=4),
    planned("no stage answers", LADDER, "400", "401", ends="failed", says=None, by=None, calls=2),
    planned("three stages", "small ? checks > medium ? checks > large", WRONG, LOST, RIGHT, calls=3, kills=("settled:2", "settling:3")),
    planned("by one gate of two", "small ? has:42 > medium", "say@text=42_42_42", RIGHT, flags=("--check", "has:42", "--check", "words:..1"), by="small", ends="unfit", says="42 42 42"),
    planned("escalates at a check of its own", "small ? number:42 > medium", WRONG, RIGHT, by="medium", calls=2),
    planned("stops at a check of its own", "small ? number:42 > medium", RIGHT, RIGHT, by="small"),
    planned("two agree", "small + medium ? agree > large", RIGHT, "say@text=42", LOST, flags=(), by="medium", says="42", calls=2, kills=("settled:1", "sent:2", "settling:2")),
    planned("two disagree", "small + medium ? agree > large", RIGHT, WRONG, "say@text=42", flags=(), says="42", calls=3, kills=("settled:1", "settled:2", "settling:3")),
    planned("one of two fails", "small + medium ? agree > large", RIGHT, "400", "say@text=42", flags=(), says="42", calls=3),
    planned("a vote", "small + medium + large vote", RIGHT, "say@text=42", LOST, flags=(), by="medium", says="42", calls=3, kills=("settled:1", "settling:3")),
    planned("the best of three", "small + medium + large best", LOST, RIGHT, WRONG, by="medium", calls=2, kills=("settled:1",)),
    planned("the best by a judge", "small + small best", (LOST, RIGHT), ("say@text=Score:_3_of_10", "say@text=Score:_8_of_10"), flags=("--check", "judge:medium"), by="small", calls=4),
    planned("a judge lets escalate", "small ? checks > large", WRONG, ("say@text=Score:_2_of_10", "say@text=Score:_9_of_10"), RIGHT, flags=("--check", "judge:medium"), calls=4, kills=("settled:1", "settled:2", "settled:3")),
    planned("repairs", LADDER, WRONG, RIGHT, flags=(*NOT_A_NUMBER, "--repair"), by="medium", calls=2, kills=("settled:1",)),
    plain("the planner's own cascade", WRONG, RIGHT, flags=("--cascade", "--check", "cmd:grep -q 42"), by="medium", calls=2),
    plain("a profile's cascade", WRONG, RIGHT, flags=("--check", "cmd:grep -q 42"), extra='[policy]\nmode = "cascade"\nexplore = 0\n', by="medium", calls=2),
    # The first call charges three times its bound: what is left does not carry the second.
    planned("a cap in mid-plan", "small ? checks > large", "breach", RIGHT, RIGHT, caps="per_run_usd = 0.0138", ends="unfit", says=None, by="small"),
    planned("a plan that no cap carries", LADDER, RIGHT, RIGHT, caps="per_run_usd = 0.0010", ends="refused", says=None, by=None, calls=0),
)  # fmt: skip

# -- plans whose answer is made of others, or chosen by another arm; each is killed at every one of its calls


def at_every(n_calls):
    return tuple(f"{event}:{nth}" for nth in range(1, n_calls + 1) for event in ("sent", "settled"))


def made(name, plan, calls, *replies, **more):
    return planned(
        name,
        plan,
        *replies,
        **({"flags": (), "calls": calls, "caps": "per_day_usd = 20", "kills": at_every(calls)} | more),
    )


def says(*texts):
    return tuple(f"say@text={text.replace(' ', '_')}" for text in texts)


LED = ('<ask arm="small">9 chords?</ask>', "<answer>It is 42</answer>")
MADE = (
    made("two merged", "small + medium => large", 3, WRONG, LOST, RIGHT),
    made("one refined", "small => large", 3, WRONG, "", says("Off by one.", "It is 42")),
    made("one led", "large leads small + medium", 3, says("Forty-two."), "", says(*LED)),
    made("two bid", "small + medium bid", 5, says("Count them.", "A: 7; B: 7", "It is 42"), says("Use a formula.", "A: 7; B: 7"), by="small"),
    made("the worst is dropped", "small + medium knockout large", 3, RIGHT, WRONG, says("A"), by="small"),
    made("a merger declines", "small + medium => large", 3, RIGHT, RIGHT, says("I'm sorry; I can't help."), by="medium", kills=("settled:3",)),
    made("a merger is out", "small + medium => large", 3, RIGHT, RIGHT, "400", by="medium", kills=()),
    made("a planner is out", "large leads small", 3, RIGHT, "", (says(LED[0])[0], "400"), by="small", kills=("settled:2",)),
    made("a plan by its name", "careful", 2, WRONG, RIGHT, extra='[plans]\ncareful = "small ? has:42 > medium"\n', by="medium"),
    made("merged and checked", "small + medium => large ? number:42 > medium", 4, WRONG, (LOST, RIGHT), WRONG, flags=NOT_A_NUMBER, by="medium", kills=("settled:3",)),
)  # fmt: skip

# -- about a file: the policy, or -m, or a plan settles how much of it is read

MINUTES = "\n\n".join(
    f"Item {n}: {SECRET}s were counted in the {n}th hall of the house; nobody objected." for n in range(900)
)
READ = (
    plain("about a file", RIGHT, RIGHT, file=MINUTES, by="small/passages", kills=ONCE),
    plain("about all of a file", RIGHT, RIGHT, file=MINUTES, flags=("--read", "whole"), by="small/whole", kills=("sent:1", "settled:1")),
    plain("about nothing of a file", RIGHT, RIGHT, file=MINUTES, flags=("--read", "none"), by="small/none"),
    plain("about a small file", RIGHT, RIGHT, file="Says the clerk: 42.", kills=("settling:1",)),
    plain("passages, then another arm", "400", RIGHT, file=MINUTES, flags=("--read", "passages"), by="medium/passages", calls=2),
    plain("passages again after a 500", ("500", RIGHT), RIGHT, file=MINUTES, flags=("--read", "passages"), by="small/passages", calls=2),
    plain("a file that is checked", WRONG, RIGHT, file=MINUTES, flags=(*NOT_A_NUMBER, "--read", "passages"), by="small/passages", ends="unfit", says="It is 41"),
)  # fmt: skip
READ_IN_PLANS = (
    made("passages, then the whole", "small/passages ? found > large/whole", 2, says("The text does not mention it."), "", RIGHT, file=MINUTES, by="large/whole"),
    made("passages suffice", "small/passages ? found > large/whole", 1, RIGHT, "", LOST, file=MINUTES, by="small/passages"),
    made("readings without a file", "small/passages ? found > large/whole", 2, says("Not given."), "", RIGHT),
    made("read in pieces", "small/split => large", 3, says("41 in this piece", "NOTHING"), "", RIGHT, file=MINUTES, by="large/none"),
    made("a piece is out", "small/split => large", 3, ("400", WRONG), "", RIGHT, file=MINUTES, by="large/none", kills=("settled:1",)),
    made("knocked out about a file", "small/passages + medium/whole knockout large", 3, RIGHT, WRONG, says("A"), file=MINUTES, by="small/passages"),
)  # fmt: skip
READ_BY_NAME = (
    replace(READ[0], name="about a file, by name", arm="small", kills=()),
    replace(READ[0], name="about a file, by name and reading", arm="small/whole", by="small/whole", kills=("sent:1",)),
)

UNLOGGED = (
    unlogged(OK, kills=("sent:1", "settling:1", "settled:1")),
    *map(unlogged, (AGAIN, EMPTY, NO_USAGE, BREACH, QUOTE, FALLBACKS[0], FALLBACKS[6], CHECKED[0], CHECKED[1])),
    *map(unlogged, (CHECKED[8], PLANNED[2], PLANNED[9])),
    *map(unlogged, MADE[:5]),
    unlogged(PLANNED[0], kills=("settled:1", "sent:2", "settling:2")),
    replace(OK, name="a profile that keeps no text", extra='[log]\nkeep = "features"\n', kills=()),
    replace(QUOTE, name="an error that quotes, in a profile that keeps money", extra='[log]\nkeep = "money"\n'),
    replace(QUOTE, name="an error that quotes, in a profile that keeps no text", extra='[log]\nkeep = "features"\n'),
)

WORLDS: tuple[World, ...] = (
    *ONE_CALL, *FALLBACKS, *CAPPED, *RISKY, *CHECKED, *PLANNED, *MADE, *READ, *READ_IN_PLANS, *READ_BY_NAME, *UNLOGGED,
    unlogged(READ[0], kills=("sent:1",)),
    *(by_name(world) for world in ONE_CALL if world is not BEST),
    *map(by_name, (CAPPED[1], CAPPED[2])),
    by_name(FALLBACKS[0], ends="failed", says=None, by=None, calls=1),
    *map(by_name, (CHECKED[0], CHECKED[1], CHECKED[8], CHECKED[12])),
)  # fmt: skip
