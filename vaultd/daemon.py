# SPDX-License-Identifier: Apache-2.0
"""The daemon: the only place that wires things together. Loop, signals, timers, shutdown, exec of itself."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

from vaultd.core import envelope
from vaultd.core.envelope import KdfBounds, KdfCost
from vaultd.core.policy import Settings
from vaultd.edge import import_ops, listen, log, sdnotify, successor
from vaultd.edge.audit import Audit, tells_of_an_opening
from vaultd.edge.aws import Aws
from vaultd.edge.clock import Clock
from vaultd.edge.handlers import Handlers
from vaultd.edge.keeper import Keeper
from vaultd.edge.notify import Notifier
from vaultd.edge.places import Places, make_private, places
from vaultd.edge.server import Server
from vaultd.edge.service import Guesses, Service
from vaultd.edge.store import HighWater, LocalStore
from vaultd.wire.errors import VaultError

TICK_S = (
    5.0  # the lock's clock (also asked at every request; a loop's timers don't count sleep) and the renewals
)
SOCKET_CHECK_S = 3.0
WATCH_S = 3.0  # how late at most something in ~/.aws is noticed where no event tells of it
#: CreateAccessKey's reply is awaited and saved before a lock: its secret is shown once (design section 5).
SEALING_S = 25.0
LOCK_PATIENCE_S = 2.0  # AWS calls and answers under way get this long
SIGNAL_TURN_S = 0.001  # two turns of the event loop
THREADS = 16


def run(
    home: str | None,
    *,
    bounds: KdfBounds = envelope.STRICT,
    cost: KdfCost | None = None,
    argv: list[str] | None = None,
    environment: dict[str, str] | None = None,
) -> int:
    """Serve the vault of `home` until SIGTERM; a lock replaces the process by `argv`, which must come back here.

    `bounds` and `cost` are weaker in tests only, whose entry point passes itself as `argv`.
    """
    own = [sys.executable, "-I", "-m", "vaultd", *(["--home", home] if home else [])]
    daemon = Daemon(places(home), bounds, cost, argv or own, environment or dict(os.environ))
    return asyncio.run(daemon.serve())


class Daemon:
    def __init__(
        self,
        where: Places,
        bounds: KdfBounds,
        cost: KdfCost | None,
        argv: list[str],
        environment: dict[str, str],
    ) -> None:
        self._places = where
        self._argv = argv
        self._environment = environment
        inherited = listen.inherited()
        carry = successor.read_carry(inherited.pop(listen.CARRY, -1))
        make_private(where)
        self._lock_fd = inherited.pop(listen.LOCK, 0) or listen.take_lock(where.lock)
        self._listener = self._listen(inherited, ours=bool(carry.get("ours")))
        self._service = self._build(bounds, cost, carry)
        self._tasks: set[asyncio.Task[Any]] = set()

    def _listen(self, inherited: dict[str, int], *, ours: bool) -> listen.Listener:
        if not inherited:
            return listen.bind(self._places.socket)
        fd = inherited.get(listen.LISTENER, listen.FIRST_FD)
        return listen.adopt(fd, ours=ours)

    def _build(self, bounds: KdfBounds, cost: KdfCost | None, carry: dict[str, Any]) -> Service:
        clock = Clock()
        store = LocalStore(self._places.vault, self._places.backups)
        keeper = Keeper(
            store,
            HighWater(self._places.high_water),
            bounds=bounds,
            now=clock.now,
            history_exists=self._history_exists,
        )
        service = Service(
            places=self._places,
            clock=clock,
            keeper=keeper,
            audit=Audit(self._places.audit, fsync=True),
            settings=Settings(),
            make_aws=lambda settings: Aws(settings.aws),
            cost=cost,
            succeed=self._replace_soon,
            notifier=Notifier(clock.boottime, enabled=lambda: self._service.settings.reminders.desktop),
            guesses=Guesses(**carry.get("guesses", {})),
            started=clock.boottime(),
        )
        service.refusals.extend(carry.get("refusals", []))
        service.reminding.resume(carry.get("reminding", {}))
        service.watcher.resume(carry.get("watch", {}))
        self._load_settings(service)
        return service

    def _history_exists(self) -> bool:
        """Did this machine see this vault before? Then its high-water mark cannot be missing."""
        return any(self._places.backups.iterdir()) or tells_of_an_opening(self._places.audit)

    def _load_settings(self, service: Service, *, guarded: bool = True) -> None:
        try:
            settings = service.read_settings()
        except VaultError as error:
            service.warnings["settings"] = error.line
            log.say(error.line)
            return
        service.warnings.pop("settings", None)
        service.use_settings(settings if guarded else service.settings.with_unguarded(settings))

    # --- running

    async def serve(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log.say_unexpected)
        loop.set_default_executor(successor.threads(THREADS, "vaultd"))
        self._server = Server(self._listener, Handlers(self._service).answer)
        self._stopping = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_soon)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the image before this one blocked them for its exec
        self._server.start()
        sdnotify.notify("READY=1", f"STATUS={self._service.keeper.state()}", f"MAINPID={os.getpid()}")
        log.move_to_file(self._places.log)
        self._spawn(self._tick())
        self._spawn(self._dispensable(self._remind(), "no more reminders until a restart"))
        self._spawn(self._dispensable(self._watch_aws(), "~/.aws is not watched any more"))
        self._spawn(self._watch_socket())
        self._spawn(self._feed_watchdog())
        await self._stopping
        await self._stop()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            # A lost timer would be a vault that never locks: end, and let the service manager start anew.
            log.say(f"unexpected {type(task.exception()).__name__} in {task.get_coro()}; ending")
            os._exit(1)

    async def _tick(self) -> None:
        status = ""
        while True:
            await asyncio.sleep(TICK_S)
            self._service.lock_if_due()
            broker = self._service.broker_if_used
            if not self._service.draining and not self._service.panicking:
                self._service.revoker.look()
                self._service.rotator.tick()
                if broker:
                    await broker.refresh_due()
            if status != (status := self._service.keeper.state()):
                sdnotify.notify(f"STATUS={status}")

    async def _remind(self) -> None:
        """Apart from the lock's timer: no disk that hangs may keep a vault open."""
        while True:
            await asyncio.sleep(TICK_S)
            # Not of a step that was due while the vault was locked, and is being done at this moment.
            if not self._service.draining and not self._service.rotator.is_working:
                await self._service.reminding.tick()
                await import_ops.drop_old(self._service)

    async def _watch_aws(self) -> None:
        while True:
            await self._service.watcher.look()
            if self._service.watcher.has_changed(self._places.vault):
                await self._service.check_vault_file()
            await asyncio.sleep(WATCH_S)

    async def _dispensable(self, work: Coroutine[Any, Any, None], without: str) -> None:
        """No trouble in it ends the agent."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - the outermost loop: an agent without this is still one
            log.say(f"unexpected {type(error).__name__} at {log.place(error)}; {without}")

    async def _watch_socket(self) -> None:
        """logind removes /run/user/<uid> at the last logout; a daemon that nobody can find serves nobody."""
        while True:
            await asyncio.sleep(SOCKET_CHECK_S)
            if not self._server.listener.vanished() or self._service.draining:
                continue
            try:
                self._server.move(listen.bind(self._places.socket))
                self._service.warnings.pop("socket", None)
                log.say("the socket had vanished; listening again")
            except (OSError, VaultError) as error:
                self._service.warnings["socket"] = "the socket has vanished and cannot be made again"
                log.say(f"the socket has vanished and cannot be made again ({type(error).__name__})")

    async def _feed_watchdog(self) -> None:
        period = sdnotify.watchdog_period_s()
        while period:
            sdnotify.notify("WATCHDOG=1")
            await asyncio.sleep(period)

    def _reload(self) -> None:
        """SIGHUP. What decides where secrets go waits for an unlock, where a person confirms it."""
        self._load_settings(self._service, guarded=False)
        log.say("settings read again; [aws], [lock] and [audit] count from the next unlock")

    # --- ending

    def _stop_soon(self) -> None:
        if not self._stopping.done():
            self._stopping.set_result(None)

    async def _stop(self) -> NoReturn:
        sdnotify.notify("STOPPING=1", "STATUS=stopping")
        self._service.close()
        await self._finish_work()
        self._server.listener.remove()
        os._exit(0)  # past any thread that still waits for AWS

    def _replace_soon(self, reason: str) -> None:
        log.say(f"locking ({reason})")
        self._spawn(self._replace())

    async def _replace(self) -> None:
        await self._finish_work()
        successor.hold_signals()
        await asyncio.sleep(SIGNAL_TURN_S)  # one that came before it was held is acted on now or never
        if self._stopping.done():
            return  # SIGTERM came first; the end of the process is a lock too
        carry = {
            "ours": self._server.listener.ours,
            "guesses": {"failures": self._service.guesses.failures, "last_at": self._service.guesses.last_at},
            "refusals": list(self._service.refusals),
            "reminding": self._service.reminding.carry(),
            "watch": self._service.watcher.carry(),
        }
        fds = {listen.LISTENER: self._server.listener.sock.fileno(), listen.LOCK: self._lock_fd}
        successor.exec_self(self._argv, self._environment, fds, carry)

    async def _finish_work(self) -> None:
        """Stop accepting, let what is under way end, put the audit down; never longer than a lock may take."""
        with contextlib.suppress(TimeoutError):  # meanwhile everybody is told that it is being locked
            async with asyncio.timeout(SEALING_S):
                await self._service.rotator.start.sealed()
        self._service.keeper.close()
        self._server.drain()
        self._service.notifier.close()
        try:
            async with asyncio.timeout(LOCK_PATIENCE_S):
                broker = self._service.broker_if_used
                if broker:
                    await broker.settle()
                await self._server.quiet(LOCK_PATIENCE_S)
                await self._service.audit.sync()
                await self._service.reminding.settle()
        except (TimeoutError, VaultError):
            pass  # neither a hanging AWS nor a full disk stops a lock
