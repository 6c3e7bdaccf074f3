"""What a `Scrimp` has open: the ledger, the router, the embedder, the keys; each opened when it is first needed."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from scrimp.profiles.errors import UsageError
from scrimp.profiles.keys import Keys
from scrimp.profiles.load import load_profile, override
from scrimp.profiles.paths import paths, working_folder
from scrimp.routing.asking.home import Home, make_decider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scrimp.profiles.schema import Profile
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.scribe import Scribe, Work
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Opened", "logger"]

logger = logging.getLogger("scrimp")
logger.addHandler(logging.NullHandler())  # else Python prints warnings that nobody asked for


class Opened:
    """What all requests of one `Scrimp` share. Any thread may ask for any of it.

    Parameters
    ----------
    profile, home, seed
        As of `Scrimp`.

    Attributes
    ----------
    loaded, paths
        The profile and where it comes from, and the user's folders.
    rng
        Draws what is explored.
    """

    def __init__(self, profile: str | None, *, home: str | None, seed: int | None) -> None:
        self.paths = paths(None if home is None else {"SCRIMP_HOME": home})
        self.loaded = load_profile(profile, env=os.environ, cwd=working_folder(), paths=self.paths)
        if self.loaded.profile.plans:
            from scrimp.routing.asking.named_plans import check_plans

            check_plans(self.loaded.profile, self.loaded.tree.at)
        self.rng = random.Random(seed)  # noqa: S311 - exploration, not secrets
        self.closed = False
        self._pid = os.getpid()
        self._turn = threading.RLock()
        self._telling = threading.Lock()
        self._n_users = 0
        self._home = Home(self.paths)
        self._ledger: Ledger | None = None
        self._decider: Decider | None = None
        self._more: dict[tuple[str, ...], Decider] = {}
        self._space: Workspace | None = None
        self._scribe: Scribe[Work] | None = None

    @contextlib.contextmanager
    def use(self) -> Iterator[Self]:
        """Keep it all open during a block, even where it is closed meanwhile.

        Raises
        ------
        UsageError
            If it is closed, or was opened by another process.
        """
        if os.getpid() != self._pid:
            raise UsageError(
                "this Scrimp was opened before the process was forked",
                hint="Open one in each process: locks and connections do not survive a fork.",
            )
        with self._turn:
            if self.closed:
                raise UsageError("this Scrimp is closed")
            self._n_users += 1
        try:
            yield self
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._turn:
            self._n_users -= 1
            if self.closed and not self._n_users:
                self._shut()

    def under(
        self,
        prefer: str | None,
        wtp_usd: float | None,
        min_quality: float | None,
        max_seconds: float | None = None,
        private: str | None = None,
        *,
        arm: str | None = None,
    ) -> tuple[Profile, str | None]:
        """Return the profile with another policy and guard laid over it; None leaves a key as it is.

        With it the arm that is asked for, which joins the others where it is a model (`named_arm.arm_of`).

        Raises
        ------
        UsageError
            If a value is none that its key takes, or there is nothing of the arm's name.
        """
        laid: dict[str, Any] = {
            "prefer": prefer, "wtp_usd": wtp_usd, "min_quality": min_quality, "max_seconds": max_seconds,
            "private": private,
        }  # fmt: skip
        loaded = self.loaded
        if any(value is not None for value in laid.values()):
            loaded = override(loaded, **laid)
        if arm is not None:
            from scrimp.routing.asking.named_arm import arm_of

            loaded, arm = arm_of(loaded, arm, paths=self.paths, keys=Keys(os.environ, self.paths))
        return loaded.profile, arm

    def decider(self, profile: Profile | None = None) -> Decider:
        """Return what decides by the profile's own policy, or by another that `under` returned."""
        with self._turn:
            if self._decider is None:
                self._decider = make_decider(self.loaded.profile, self.paths, say=logger.info)
            if profile is None or profile.arms == self.loaded.profile.arms:
                return self._decider if profile is None else self._decider.under(profile)
            names = tuple(f"{arm.name} {arm.model}" for arm in profile.arms)
            if names not in self._more:
                self._more[names] = make_decider(profile, self.paths, say=logger.info)
            return self._more[names].under(profile)

    def tell(self, ledger: Ledger) -> None:
        """Deliver alerts and export spans in a thread, where the profile asks for that; what fails is tried later."""
        profile = self.loaded.profile
        if (profile.alerts.wanted or profile.otel is not None) and self._telling.acquire(blocking=False):
            threading.Thread(target=self._tell, args=(ledger, profile), name="scrimp-tell", daemon=True).start()

    def _tell(self, ledger: Ledger, profile: Profile) -> None:
        from scrimp.routing.asking.outbox import send_out

        try:
            with self.use():
                for line in send_out(ledger, profile):
                    logger.info(line)
        except UsageError:
            pass  # it was closed meanwhile: a later process does it
        finally:
            self._telling.release()

    def workspace(self, profile: Profile, say: Callable[[str], None]) -> Workspace:
        """Return what one request is asked with.

        Parameters
        ----------
        profile
            As `under` returned it.
        say
            Takes what is said while it goes on.
        """
        from scrimp.routing.asking.workspace import Workspace

        with self._turn:
            if self._space is None:
                self._ledger = self._home.ledger()
                self._space = Workspace.open(
                    self.loaded.profile,
                    self.paths,
                    self._ledger,
                    Keys(os.environ, self.paths),
                    decider=self.decider(),
                    say=logger.info,
                    rng=self.rng,
                    reader=self._home.ledger_to_read(),
                )
            return replace(self._space, decider=self.decider(profile), say=say)

    def ledger_to_read(self) -> Ledger | None:
        """Return the ledger; None where there is none yet (reading never makes one)."""
        with self._turn:
            if self._ledger is None:
                self._ledger = self._home.ledger_to_read()
            return self._ledger

    def scribe(self, ledger: Ledger) -> Scribe[Work]:
        """Return the thread that writes the ledger for tasks that await."""
        from scrimp.routing.asking.awaiting import begin_scribe

        with self._turn:
            if self._scribe is None:
                self._scribe = begin_scribe(ledger)
            return self._scribe

    def close(self) -> None:
        """Take nothing more, and close it all once the last request is over. A forked process closes nothing."""
        if os.getpid() != self._pid:
            return
        with self._turn:
            was, self.closed = self.closed, True
            if not (was or self._n_users):
                self._shut()

    def _shut(self) -> None:
        if self._scribe is not None:
            self._scribe.close()
        self._home.close()
