# SPDX-License-Identifier: Apache-2.0
"""What the kernel shows of a process from outside: memory, descriptors, size. Of our daemon only root sees all of it."""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterator

import pytest

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="looking into an undumpable process takes root")


def memory(pid: int) -> Iterator[bytes]:
    """Every readable map of the process, one after the other."""
    with (
        open(f"/proc/{pid}/maps", encoding="utf-8") as maps,
        open(f"/proc/{pid}/mem", "rb", buffering=0) as mem,
    ):
        for line in maps:
            span, mode = line.split()[:2]
            if not mode.startswith("r"):
                continue
            start, end = (int(number, 16) for number in span.split("-"))
            with contextlib.suppress(OSError, ValueError):  # [vvar] and the like cannot be read by anybody
                mem.seek(start)
                yield mem.read(end - start)


def holds(pid: int, needle: bytes) -> bool:
    return any(needle in piece for piece in memory(pid))


def status_field(pid: int, name: str) -> int:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{name}:"))


def has_ended(pid: int) -> bool:
    """Gone, or dead and not yet collected by init, which may take its time."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def resident_kib(pid: int) -> int:
    return status_field(pid, "VmRSS")


def descriptors(pid: int) -> Counter[str]:
    """What the process has open, without the numbers that differ from socket to socket."""
    found: Counter[str] = Counter()
    directory = f"/proc/{pid}/fd"
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            found[re.sub(r":\[\d+\]$", "", os.readlink(f"{directory}/{name}"))] += 1
    return found


def environment(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/environ", encoding="utf-8") as file:
        return dict(entry.split("=", 1) for entry in file.read().split("\0") if "=" in entry)
