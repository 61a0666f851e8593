# SPDX-License-Identifier: Apache-2.0
"""A hundred clients go on asking while the vault is locked and unlocked again and again.

Each gets the right credentials or hears "locked": never another profile's, never half an answer, never a broken
connection, never "vaultd is not running".
"""

import json
import multiprocessing
import multiprocessing.process
import os
import random
import threading
import time
from collections import Counter
from multiprocessing.synchronize import Event
from queue import SimpleQueue
from typing import Any

from awsvault import get
from tests import canary
from tests.campaign import times
from tests.conftest import DaemonFactory
from tests.daemons import WARM, Daemon
from vaultd.wire.errors import Locked, VaultError

LOCKS = times(50, 15)
PROCESSES = 4
THREADS = 25  # in each process: the daemon grants one process 64 connections
PAUSE_S = (0.1, 0.7)  # without one, two cores do nothing but ask, and the test takes minutes
OPEN_S = 0.05  # about as long as an exec takes: half of the clients find the vault so
PATIENCE_S = (
    30.0  # how soon is not asked here: on a busy machine a hundred clients wait longer than `get` does
)
COMMANDS = 1  # besides: whole `awsvault get` processes, one after the other
PROFILES = [f"profile{number}" for number in range(10)]


def test_a_hundred_clients_get_the_right_answer_or_locked(daemons: DaemonFactory) -> None:
    daemon = daemons(entry=[str(WARM)]).start()
    daemon.init()
    for name in PROFILES:
        daemon.add(name)
    fork = multiprocessing.get_context("fork")
    over = fork.Event()
    results = fork.SimpleQueue()
    crowd = [
        fork.Process(target=ask_in_threads, args=(str(daemon.home), seed, over, results))
        for seed in range(PROCESSES)
    ]
    commands: SimpleQueue[Counter[str]] = SimpleQueue()
    shells = [threading.Thread(target=run_commands, args=(daemon, over, commands)) for _ in range(COMMANDS)]
    workers: list[multiprocessing.process.BaseProcess | threading.Thread] = [*crowd, *shells]
    for worker in workers:
        worker.start()
    try:
        for _ in range(LOCKS):
            assert "locked" == daemon.lock_and_wait()["state"]
            assert not daemon.unlock()["already"]
            time.sleep(OPEN_S)
    finally:
        over.set()
        heard: Counter[str] = sum((results.get() for _ in crowd), Counter())
        for worker in workers:
            worker.join()
    shown: Counter[str] = sum((commands.get() for _ in shells), Counter())

    assert {"right", "locked"} == set(heard), heard
    assert {"right", "locked"} == set(shown), shown
    assert min(heard.values()) > LOCKS, "the control: they met both states all the time"


def ask_in_threads(
    home: str, seed: int, over: Event, results: "multiprocessing.SimpleQueue[Counter[str]]"
) -> None:
    """What each of THREADS clients heard, by the code of `awsvault get` itself."""
    get.DEADLINE_S = get.CONNECT_S = PATIENCE_S
    heard: list[Counter[str]] = [Counter() for _ in range(THREADS)]

    def ask_on(number: int) -> None:
        chance = random.Random(seed * THREADS + number)
        while not over.is_set():
            heard[number][ask_once(home, chance.choice(PROFILES))] += 1
            time.sleep(chance.uniform(*PAUSE_S))

    threads = [threading.Thread(target=ask_on, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(sum(heard, Counter()))
    os._exit(0)


def ask_once(home: str, profile: str) -> str:
    try:
        reply = get._ask(home, profile)
    except VaultError as error:
        return (
            "locked" if error.exit_status == Locked.exit_status else f"{type(error).__name__}: {error.line}"
        )
    return judged(profile, json.loads(reply))


def judged(profile: str, answer: dict[str, Any]) -> str:
    expected = (1, canary.access_key_id(profile), canary.secret(profile))
    return (
        "right"
        if expected == (answer["Version"], answer["AccessKeyId"], answer["SecretAccessKey"])
        else "wrong"
    )


def run_commands(daemon: Daemon, over: Event, results: "SimpleQueue[Counter[str]]") -> None:
    shown: Counter[str] = Counter()
    while not over.is_set():
        done = daemon.get("profile7")
        if (done.returncode, done.stderr) == (0, b""):
            shown[judged("profile7", json.loads(done.stdout))] += 1
        elif (done.returncode, done.stdout) == (Locked.exit_status, b""):
            shown["locked"] += 1
        else:
            shown[f"{done.returncode}: {done.stderr!r}"] += 1
        time.sleep(PAUSE_S[0])
    results.put(shown)
