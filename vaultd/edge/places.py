# SPDX-License-Identifier: Apache-2.0
"""Every path that the daemon uses (design section 14), and making the directories private.

With a home (AWSVAULT_HOME or --home) all of them lie in it under the same names.
"""

import hashlib
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from vaultd.wire import paths


@dataclass(frozen=True, slots=True)
class Places:
    vault: Path
    lock: Path
    backups: Path
    audit: Path
    high_water: Path
    agenda: Path
    settings: Path
    log: Path
    socket: Path
    aws: Path  # ~/.aws, which is only looked at

    @property
    def directories(self) -> tuple[Path, ...]:
        """Those that must be ours alone, parents first."""
        return tuple(dict.fromkeys((self.vault.parent, self.audit.parent, self.socket.parent, self.backups)))


def places(home: str | None) -> Places:
    """The paths for `home` (absolute) or, when None, for this user."""
    socket_path = Path(paths.socket_path(paths.socket_dirs(home)[0]))
    if home:
        data = state = config = Path(home)
    else:
        dirs = platformdirs.PlatformDirs("awsvault", appauthor=False)
        data, state, config = dirs.user_data_path, dirs.user_state_path, dirs.user_config_path
    return Places(
        vault=data / "vault",
        lock=data / "vault.lock",
        backups=data / "backups",
        audit=state / "audit.jsonl",
        high_water=state / "highwater",
        agenda=state / "agenda.json",
        settings=config / "config.toml",
        log=state / "vaultd.log",
        socket=socket_path,
        aws=Path(os.path.expanduser("~/.aws")),
    )


def this_host(vault: Path) -> str:
    """How rotations name this daemon to others: the machine, and which vault on it (core/rotation.py, HOST)."""
    machine = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:63] or "unnamed"
    return f"{machine}:{hashlib.sha256(os.fsencode(vault)).hexdigest()[:8]}"


def make_private(places: Places) -> None:
    """Create what is missing (0700) and raise Refused when one is somebody else's or open to others."""
    for directory in places.directories:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        paths.check_private_dir(str(directory))
