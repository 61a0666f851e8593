# SPDX-License-Identifier: Apache-2.0
"""A file port that can be interrupted: every operation is announced before the disk is asked for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vaultd.edge.files import Files

OPERATIONS = [name for name in vars(Files) if not name.startswith("_")]

Announce = Callable[[str, tuple[Any, ...]], None]


def announced(announce: Announce) -> Files:
    """The real file system, calling `announce(operation, arguments)` before each of its operations."""
    files = Files()

    def wrap(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def announced_operation(*arguments: Any) -> Any:
            announce(name, arguments)
            return operation(*arguments)

        return announced_operation

    for name in OPERATIONS:
        setattr(files, name, wrap(name, getattr(files, name)))
    return files


def content(directory: Path) -> dict[str, bytes]:
    """Every file below `directory` by its relative path."""
    return {
        str(f.relative_to(directory)): f.read_bytes() for f in sorted(directory.rglob("*")) if f.is_file()
    }
