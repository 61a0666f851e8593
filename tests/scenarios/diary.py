# SPDX-License-Identifier: Apache-2.0
"""A vault at AWS whose days the test passes, on all three clocks, while keys are rotated."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.daemons import until
from tests.fake_aws import AccessKey
from tests.scenarios.calendar import DAY_S, NEVER_LOCKS, PREAMBLE
from tests.scenarios.person import at_terminal
from tests.scenarios.vault_at_aws import Stage, open_stage
from tests.terminal import Terminal

QUICK = """
from vaultd.edge import rotation_steps
rotation_steps.VERIFY_PAUSE_S = 0.02
"""


@dataclass
class Diary:
    """A vault at AWS whose days the test passes."""

    stage: Stage
    days: float = 0.0
    keys: dict[str, AccessKey] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)

    def begin(self, *names: str) -> None:
        """Nothing is left of the test before; each name has a user, a key and a profile."""
        for profile in self.stage.daemon.call("list")["profiles"]:
            self.stage.daemon.call("remove", profile=profile["profile"])
        self.remember()
        self.stage.aws.start_over()
        self.pass_days(0)
        self.keys = {name: self.stage.add_key(name, serve="session") for name in names}

    def remember(self) -> None:
        """The secrets that AWS gave out; none of them may be found anywhere."""
        world = self.stage.aws.world
        self.secrets |= {key.secret for key in (*world.keys.values(), *(key for key, _ in world.deleted))}

    def pass_days(self, days: float) -> None:
        self.days += days
        self.stage.aws.clock.offset = timedelta(days=self.days)
        shift = self.stage.daemon.home.parent / "shift"
        fresh = shift.with_suffix(".new")
        fresh.write_text(str(round(self.days * DAY_S)), "ascii")
        fresh.replace(shift)

    def until_state(self, name: str, state: str | None) -> None:
        until(lambda: self.state(name) == state, f"{name} comes to {state}")

    def state(self, name: str) -> str | None:
        run = self.show(name)["rotation"]
        return run and str(run["state"])

    def show(self, name: str) -> Any:
        return self.stage.daemon.call("show", profile=name)["profile"]

    def typed(self, *words: str, columns: int = 120) -> tuple[int, str]:
        """Exit status and screen of a command that asks nothing."""
        with at_terminal(self.stage.daemon, *words, columns=columns) as terminal:
            return terminal.end(), self.screen(terminal)

    def screen(self, terminal: Terminal) -> str:
        """What differs from run to run by its name: each key by its part in the rotation, and times."""
        assert not [secret for secret in self.secrets if secret in terminal.screen]
        return self.named(terminal.screen)

    def named(self, text: str) -> str:
        shown = [profile["rotation"] for profile in self.stage.daemon.call("list")["profiles"]]
        ids = {run["old_key"]: "OLD" for run in shown if run}
        ids |= {run["new_key"]: "NEW" for run in shown if run and run["new_key"]}
        ids = {key.access_key_id: name.upper() for name, key in self.keys.items()} | ids
        for key_id, name in ids.items():
            text = text.replace(key_id, name).replace(f"...{key_id[-4:]}", f"...{name}")
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
        return re.sub(r" +\n", "\n", re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?", "DATE", text))


@contextlib.contextmanager
def open_diary() -> Iterator[Diary]:
    """At its end nothing on the disk holds a secret that AWS gave out."""
    with open_stage(NEVER_LOCKS, preamble=PREAMBLE + QUICK) as stage:
        stage.aws.tolerates_skew = True  # botocore signs with the real clock
        diary = Diary(stage)
        yield diary
        stage.daemon.stop()
        diary.remember()
        files = [path.read_bytes() for path in stage.daemon.home.parent.rglob("*") if path.is_file()]
        assert not [secret for secret in diary.secrets if any(secret.encode() in data for data in files)]
