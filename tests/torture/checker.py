# SPDX-License-Identifier: Apache-2.0
"""What must hold at every instant, by the books of the stand-in for AWS and by what stands on the disk."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.fake_aws.world import KEYS_PER_USER, LastUse

if TYPE_CHECKING:
    from tests.torture.host import Client, Host
    from tests.torture.play import Play

#: A key that a person ends while programs hold it: vaultd sees it by then, and serves the other one.
HEALS_WITHIN = timedelta(hours=3)
_ENDS_KEYS = ("UpdateAccessKey", "DeleteAccessKey")


@dataclass
class Checker:
    """Called after everything that happens, on whatever thread it does. Complaints are kept: nobody hears them there."""

    play: "Play"
    complaints: list[str] = field(default_factory=list)
    persons: set[str] = field(default_factory=set)  # keys that a person made
    named: set[str] = field(default_factory=set)  # keys that a person told us to delete
    made_by: dict[str, "Host"] = field(default_factory=dict)
    ended: dict[str, datetime] = field(default_factory=dict)  # keys that a person ended, and when
    seen_since: bool = True  # did we look at IAM's list since a person ended a key?
    excused: bool = False  # a person ended the last key that worked
    creating: "Host | None" = None
    looks: int = 0
    is_looking: bool = True

    def complain(self, what: str) -> None:
        if what not in self.complaints:
            self.complaints.append(what)

    # --- what a person does

    def person_ends(self, key_id: str) -> None:
        self.ended[key_id] = self.play.fake.clock.now()
        self.seen_since = False
        if not self._working():
            self.excused = True
        self.play.needs_person = True

    def was_meddled_with(self) -> bool:
        """Did a person end a key a while ago?"""
        return any(self.play.fake.clock.now() - at < HEALS_WITHIN for at in self.ended.values())

    # --- at every instant

    def look(self, event: str) -> None:
        """`event` is what has just happened."""
        if not (self.is_looking and self.play.hosts):
            return
        try:
            self._look(event)
        except Exception as error:  # in a thread of the server it would pass for a broken connection
            self.complain(f"after {event} the check itself failed: {error!r}")
            raise

    def _look(self, event: str) -> None:
        with self.play.fake._lock:
            self.looks += 1
            if event == "ListAccessKeys":
                self.seen_since = True
            if event == "CreateAccessKey" and self.creating:
                self.made_by[str(self.play.fake._calls[-1].target)] = self.creating
            self._check_some_key_works(event)
            if len(self.play.fake.world.keys_of(self.play.alice)) > KEYS_PER_USER:
                self.complain(f"after {event}: alice has more than two keys")
            for host in self.play.hosts:
                self._check_served(host, event)
                for client in host.clients:
                    self._check_client(host, client, event)

    def _check_some_key_works(self, event: str) -> None:
        if self._working():
            self.excused = False
            return
        if self.excused or not self.seen_since:
            self.excused = True
            return
        self.complain(f"after {event}: no key that we hold works")

    def _check_served(self, host: "Host", event: str) -> None:
        """Somebody new who asks at this moment gets what works."""
        key_id = host.served() if host.clients else None
        if key_id is None or self._works(key_id) or self._is_excused(key_id):
            return
        self.complain(f"after {event}: {self._role(key_id)} is served and does not work")

    def _check_client(self, host: "Host", client: "Client", event: str) -> None:
        now = self.play.fake.clock.now()
        if not client.key_id or host.skew or client.expires_at <= now:
            return
        if client.key_id in self.play.fake.world.sessions:
            return  # it lives on whatever becomes of its key
        self._use(client.key_id)
        # `rotate --now` is for a key that leaked: who holds it is cut off on purpose.
        if not (self._works(client.key_id) or self._is_excused(client.key_id) or self.play.is_hurry):
            self.complain(f"after {event}: a client fails with {self._role(client.key_id)}")

    def _use(self, key_id: str) -> None:
        """As GetCallerIdentity by the client would be counted, without the way there."""
        key = self.play.fake.world.keys.get(key_id)
        if key and self._works(key_id):
            key.uses.append(LastUse("sts", "us-east-1", self.play.fake.clock.now()))

    def _is_excused(self, key_id: str) -> bool:
        if self.excused:
            return True
        at = self.ended.get(key_id)
        return at is not None and self.play.fake.clock.now() - at < HEALS_WITHIN

    def is_done_to(self, host: "Host", action: str, key_id: str) -> None:
        """A host is about to do this to a key; the harmless questions about rights name none that exists."""
        if action == "CreateAccessKey":
            self.creating = host
        if action not in _ENDS_KEYS or key_id not in self.play.fake.world.keys or key_id in self.named:
            return
        if key_id in self.persons:
            self.complain(f"{action} of a key that a person made")
        if key_id not in host.held() and self.made_by.get(key_id) is not host:
            self.complain(f"{action} of a key that this host neither made nor holds")

    # --- at the end

    def at_the_end(self) -> None:
        held = {key_id for host in self.play.hosts for key_id in host.held()}
        listed = {key.access_key_id for key in self.play.fake.world.keys_of(self.play.alice)}
        orphans = listed - held - self.persons
        can_be_settled = self._working() and not self.play.may_leave_orphan
        if orphans and can_be_settled:
            self.complain("a key that was made is held by nobody at the end")
        for host in self.play.hosts:
            run = host.run
            if run and not run.waits:
                self.complain(f"at the end the rotation stands in {run.state} and says nothing")
            if run and run.waits and not self.play.needs_person:
                self.complain(f"at the end it waits for a person for no reason: {run.waits}")

    # --- words

    def _working(self) -> list[str]:
        return [key_id for host in self.play.hosts for key_id in host.held() if self._works(key_id)]

    def _works(self, key_id: str) -> bool:
        key = self.play.fake.world.keys.get(key_id)
        now = self.play.fake.clock.now()
        return key is not None and key.status == "Active" and (key.works_at is None or key.works_at <= now)

    def _role(self, key_id: str) -> str:
        return "the old key" if key_id == self.play.key.access_key_id else "a new key"
