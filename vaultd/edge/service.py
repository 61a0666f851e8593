# SPDX-License-Identifier: Apache-2.0
"""What the handlers work with: the neighbours, and the little that this process remembers between requests."""

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from vaultd.core import adopt, chain, policy, revocation
from vaultd.core import rotation_terms as terms
from vaultd.core.chain import Durations
from vaultd.core.envelope import KdfCost
from vaultd.core.exposure import Exposure
from vaultd.core.policy import Settings
from vaultd.core.records import Body, Profile
from vaultd.core.uses import latest
from vaultd.edge import log
from vaultd.edge.audit import Audit
from vaultd.edge.aws import Aws
from vaultd.edge.broker import Broker
from vaultd.edge.clock import Clock
from vaultd.edge.inspector import Inspector
from vaultd.edge.keeper import Keeper
from vaultd.edge.links import Links
from vaultd.edge.mfa import Mfa
from vaultd.edge.notify import Notifier
from vaultd.edge.places import Places, this_host
from vaultd.edge.reminding import Reminding
from vaultd.edge.revoker import Revoker
from vaultd.edge.rotation_runs import Runs
from vaultd.edge.rotation_start import Start
from vaultd.edge.rotation_steps import Steps
from vaultd.edge.rotator import Rotator
from vaultd.edge.watch import Watcher
from vaultd.wire.errors import Locked, StorageFailed, Usage

REFUSALS_KEPT = 20


@dataclass(slots=True)
class Guesses:
    """Wrong passphrases so far, and when the last one was (CLOCK_BOOTTIME). Survives the exec of a lock."""

    failures: int = 0
    last_at: float = 0.0

    def wait_s(self, now: float) -> float:
        return max(0.0, self.last_at + policy.guess_delay(self.failures) - now)

    def wrong(self, now: float) -> None:
        self.failures += 1
        self.last_at = now

    def right(self) -> None:
        self.failures = 0


@dataclass(slots=True)
class Service:
    places: Places
    clock: Clock
    keeper: Keeper
    audit: Audit
    settings: Settings
    make_aws: Callable[[Settings], Aws]
    cost: KdfCost | None  # None: calibrated at `init`
    succeed: Callable[[str], None]  # end this image and start the next: the lock
    notifier: Notifier
    guesses: Guesses = field(default_factory=Guesses)
    refusals: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=REFUSALS_KEPT))
    unlocked: policy.Unlocked | None = None
    draining: bool = False
    #: `panic` is at work: it ends in a lock, and until then nothing is handed out or kept.
    panicking: bool = False
    #: When each profile was last handed out; goes into the vault with the next save (a `get` itself never writes).
    last_used: dict[str, datetime] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    #: A new one for every process image: how a client sees that a lock is complete.
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    started: float = 0.0
    #: Between two questions to AWS; tests have no time.
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    watcher: Watcher = field(init=False)
    links: Links = field(init=False)
    reminding: Reminding = field(init=False)
    rotator: Rotator = field(init=False)
    revoker: Revoker = field(init=False)
    _replaced_by: str | None = None
    _warming: "asyncio.Task[None] | None" = None  # held, or the loop may drop it half done

    def __post_init__(self) -> None:
        host = this_host(self.places.vault)
        self.links = Links(
            self.make_aws,
            lambda: self.settings,
            lambda: self.durations,
            lambda: self.keeper.body,
            self._save_aside,
            self.clock,
            self.notifier,
        )
        self.watcher = Watcher(self.places.aws, self.clock.now, self._exposed)
        self.reminding = Reminding(
            keeper=self.keeper,
            clock=self.clock,
            path=self.places.agenda,
            notifier=self.notifier,
            inspector=Inspector(
                self.clock, lambda: self.aws, lambda: self.keeper.epoch, host, self._save_aside
            ),
            settings=lambda: self.settings,
            uses=self.last_used,
            watched=self.watcher.entries,
        )
        steps = Steps(
            host=host,
            iam=lambda: self.aws.iam,
            sign=self.links.signer,
            now=self.clock.now,
            boottime=self.clock.boottime,
            regions=lambda p: terms.regions(self.keeper.body, p, self.settings.aws.region),
            handed_out_for=lambda: timedelta(seconds=self.settings.serve.lease),
            waking=self._waking,
            pause=self.pause,
        )
        runs = Runs(
            self.keeper, self.clock, self._journal, self.links.forget, self.keep, lambda: self.panicking
        )
        self.rotator = Rotator(
            runs,
            steps,
            Start(runs, steps, host),
            periods=lambda p: terms.periods(p, self.settings, self.durations),
            is_due=lambda p: (
                p.name not in self.keeper.body.revocations
                and terms.is_due(self.keeper.body, p, self.settings, self.clock.now())
            ),
        )
        self.revoker = Revoker(
            self.keeper, self.clock, lambda: self.aws, self.links.kept_session, self.links.forget
        )

    @property
    def aws(self) -> Aws:
        return self.links.aws

    @property
    def mfa(self) -> Mfa:
        return self.links.mfa

    @property
    def broker(self) -> Broker:
        return self.links.broker

    @property
    def broker_if_used(self) -> Broker | None:
        return self.links.broker_if_used

    async def check_vault_file(self) -> None:
        """Somebody else may write where the vault lies: a person is told, and nothing is loaded."""
        found = await self.keeper.replaced_by()
        if found == self._replaced_by:
            return
        self._replaced_by = found
        if found is None:
            self.warnings.pop("vault", None)
            return
        self.warnings["vault"] = f"{found}; nothing of it was loaded, and nothing is saved over it"
        log.say(self.warnings["vault"])
        self._record("watch", "", "vault-replaced")

    def _exposed(self, found: Exposure) -> None:
        """Something in ~/.aws that was not there before."""
        where = f"{self.places.aws / found.file} line {found.line}"
        log.say(f"{found.thing}: {where}")
        self._record("watch", adopt.fit_name(found.profile), found.thing, where=where)
        self.reminding.look_again()

    def _journal(self, profile: str, event: str, **facts: object) -> None:
        """What a rotation did, whether a person asked for it or time: in the audit and in the log."""
        log.say(f"rotation of {profile}: {event}")
        self._record("rotation", profile, event, **facts)

    def _record(self, op: str, profile: str, verdict: str, **facts: object) -> None:
        line = {"at": self.clock.stamp(), "op": op, "profile": profile, "verdict": verdict, **facts}
        with contextlib.suppress(StorageFailed):  # it goes on; status says that the audit fails
            self.audit.append(line)
            self.audit.sync_soon()

    def check_served(self, profile: Profile) -> None:
        """Raise Refused when the key behind it is revoked. What waits for AWS then is dropped by the broker, or asks again."""
        if self.panicking:
            raise Locked("keys are being revoked; the vault locks then")
        revoked = self.keeper.body.revocations
        if revoked:
            base = chain.base_of(chain.session_of(self.keeper.body, profile, self.durations))
            revocation.check_served(revoked, base.profile, base.access_key_id)

    @contextlib.asynccontextmanager
    async def _waking(self, profile: Profile, key_id: str) -> AsyncIterator[None]:
        self.check_served(profile)
        async with self.revoker.waking(key_id):
            yield

    async def _save_aside(self, change: Callable[[Body], Body]) -> None:
        """Without a backup: ten codes would push ten real generations out."""
        await self.keeper.save(lambda body: change(self._with_uses(body)), backup=False)

    # --- settings

    @property
    def durations(self) -> Durations:
        session = self.settings.session
        return Durations(key=session.for_keys, role=session.for_roles, mfa=session.mfa_duration)

    def read_settings(self) -> Settings:
        """config.toml as it is now. Raises Usage, StorageFailed."""
        try:
            text = self.places.settings.read_text("utf-8")
        except FileNotFoundError:
            return Settings()
        except UnicodeDecodeError:
            raise Usage("config.toml is not UTF-8") from None
        except OSError as error:
            raise StorageFailed(f"config.toml cannot be read ({error.strerror})", hint="mend it") from None
        return policy.parse_settings(text)

    def use_settings(self, settings: Settings) -> None:
        self.settings = settings
        self.audit.fsync = settings.audit.fsync
        self.links.reset()

    async def save(self, change: Callable[[Body], Body]) -> None:
        """Change the vault; the times of use that gathered meanwhile go along, an undo whose time is over goes out."""
        if self.panicking:
            raise Locked("keys are being revoked; the vault locks then")
        await self.keep(change)

    async def keep(self, change: Callable[[Body], Body]) -> None:
        """`save` for what must not be lost even then: a new key's secret, and what is being revoked."""
        now = self.clock.now()
        await self.keeper.save(lambda body: change(self._with_uses(body.without_old_undo(now))))

    def _with_uses(self, body: Body) -> Body:
        used = {
            name: replace(body.profiles[name], last_used_at=latest(at, body.profiles[name].last_used_at))
            for name, at in self.last_used.items()
            if name in body.profiles
        }
        return replace(body, profiles={**body.profiles, **used}) if used else body

    # --- the lock

    def opened(self, only_for: int | None = None) -> None:
        """The vault was unlocked just now: start the lock's clock and load the AWS library ahead of the first `get`."""
        now = self.clock.boottime()
        self.unlocked = policy.Unlocked(now, now, only_for)
        self.guesses.right()
        self._warming = asyncio.get_running_loop().create_task(asyncio.to_thread(self.aws.warm_up))
        self.revoker.look()

    def extend(self) -> None:
        if self.unlocked:
            self.unlocked = policy.Unlocked(
                self.unlocked.since, self.clock.boottime(), self.unlocked.only_for
            )

    def locks_in_s(self) -> float | None:
        """Seconds until the vault locks itself; None when it is locked, or never does."""
        due = policy.lock_due(self.unlocked, self.settings.lock) if self.unlocked else None
        return None if due is None else due - self.clock.boottime()

    def lock(self, reason: str) -> None:
        """Serve nothing from this moment on; the image is replaced as soon as the answers under way are out."""
        if not self.draining and not self.panicking:
            self.close()
            self.succeed(reason)

    def close(self) -> None:
        """Hand out nothing from this moment on."""
        self.draining = True
        if self.rotator.start.creating:
            self.keeper.begin_to_close()  # daemon.py closes it once the new key is sealed
        else:
            self.keeper.close()

    def lock_if_due(self) -> None:
        left = self.locks_in_s()
        if self.keeper.is_unlocked and left is not None and left <= 0:
            self.lock("time")
