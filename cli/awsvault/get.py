# SPDX-License-Identifier: Apache-2.0
"""`awsvault get PROFILE`: the credential_process answer, and nothing else.

Every AWS command starts this program once, so its start-up time is everybody's: only builtins, `sys`, `os` and the
raw socket module are loaded (a test counts them). The daemon's reply is the answer itself, copied to stdout unparsed.
It never prompts, never reads stdin or a terminal, never starts the daemon, and leaves by `os._exit` so that nothing
(PYTHONINSPECT, atexit hooks, malloc statistics) can put a byte on stdout or stderr after it. Rules R1-R18: on success
one line on stdout and an empty stderr; on failure nothing on stdout and one line on stderr.
"""

import os
import sys
import time
from _socket import AF_UNIX, SOCK_STREAM, SOL_SOCKET, socket

from vaultd.wire import errors, paths

# PROTOCOL, GET_ANSWER, CLIENT_DEADLINE_S and MAX_FRAME of vaultd.wire.protocol, which imports json; a test compares them.
PROTOCOL = 1
ANSWER = b'{"Version":1,'
DEADLINE_S = 3.0
CONNECT_S = 0.5
MAX_FRAME = 64 * 1024
MAX_NAME = 64
FIRST_FREE_FD = 3

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_REST = _LETTERS + "0123456789_-"


def main(home_option: str | None, name: str) -> None:
    """Answer and leave the process; never returns."""
    try:
        _keep_standard_fds()
        _write(1, _ask(paths.home_override(home_option), name))
        status = 0
    except errors.VaultError as error:
        status = _fail(error)
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        status = 1
    except BaseException as error:  # noqa: BLE001 - R12: a traceback may hold secrets, and SDKs log our stderr
        status = _fail(errors.VaultError(f"unexpected {type(error).__name__}; run: awsvault status"))
    os._exit(status)


def _keep_standard_fds() -> None:
    """Occupy a closed fd 0 or 2: the socket would take its number, and an error line would go to the daemon."""
    os.fstat(1)  # with nowhere to answer there is nothing to ask
    while (fd := os.open("/dev/null", os.O_RDWR)) < FIRST_FREE_FD:
        pass
    os.close(fd)


def _ask(home: str | None, name: str) -> bytes:
    """The daemon's answer line. A daemon that locks replaces itself: EOF before the first byte is asked once more."""
    _check_name(name)
    request = b'{"v":%d,"op":"get","profile":"%b"}\n' % (PROTOCOL, name.encode())
    deadline = time.monotonic() + DEADLINE_S
    for _attempt in (1, 2):
        reply = _exchange(_connect(home), request, deadline)
        if reply:
            break
    else:
        raise errors.DaemonUnreachable("vaultd ended before it answered", hint="try again")
    if reply.startswith(ANSWER):
        return reply
    raise _error_of(reply)


def _check_name(name: str) -> None:
    """The alphabet of every name (records.NAME); inside it the request needs no escaping."""
    if not (0 < len(name) <= MAX_NAME and name[0] in _LETTERS and all(c in _REST for c in name)):
        raise errors.Usage(
            "a profile name is a letter, then letters, digits, - and _, at most 64", hint="run: awsvault list"
        )


def _connect(home: str | None) -> socket:
    paths.need_home(home)
    for directory in paths.socket_dirs(home):
        path = paths.socket_path(directory)
        try:
            paths.check_private_dir(directory)
        except FileNotFoundError:
            continue
        sock = socket(AF_UNIX, SOCK_STREAM)
        sock.settimeout(CONNECT_S)
        try:
            sock.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            continue
        except OSError:
            raise errors.DaemonHung from None
        if _peer_uid(sock) != os.getuid():
            raise errors.Refused(
                f"{path} is served by another user", hint="remove it, then run: awsvault unlock"
            )
        return sock
    raise paths.unreachable(home)


def _peer_uid(sock: socket) -> int:
    """As vaultd.wire.client.peer_uid, without struct."""
    if sys.platform != "linux":  # LOCAL_PEERCRED: cr_uid. Not run on macOS
        return int.from_bytes(sock.getsockopt(0, 1, 76)[4:8], sys.byteorder)
    from _socket import SO_PEERCRED

    return int.from_bytes(sock.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)[4:8], sys.byteorder)


def _exchange(sock: socket, request: bytes, deadline: float) -> bytes:
    """One line for one line; b"" when the daemon ended before the first byte of its answer."""
    reply = b""
    try:
        sock.settimeout(max(deadline - time.monotonic(), 0.01))
        sock.sendall(request)
        while not reply.endswith(b"\n"):
            sock.settimeout(max(deadline - time.monotonic(), 0.01))
            chunk = sock.recv(MAX_FRAME)
            if not chunk:
                break
            reply += chunk
            if len(reply) > MAX_FRAME:
                raise errors.ProtocolMismatch
    except TimeoutError:
        raise errors.DaemonHung from None
    except ConnectionError:
        reply = b""
    finally:
        sock.close()
    if reply and not reply.endswith(b"\n"):
        raise errors.DaemonUnreachable("vaultd ended in the middle of its answer", hint="try again")
    return reply


def _error_of(reply: bytes) -> errors.VaultError:
    """The error in a reply of the form {"error":{"exit":N,"line":"...",...}} (protocol.error_frame keeps that order)."""
    head, found, rest = reply.partition(b'{"error":{"exit":')
    digits, comma, rest = rest.partition(b',"line":"')
    if head or not found or not comma or not digits.isdigit():
        return errors.ProtocolMismatch()
    text = bytearray()
    escaped = False
    for byte in rest:
        if escaped or byte not in b'"\\':
            text.append(byte)
            escaped = False
        elif byte == ord("\\"):
            escaped = True
        else:
            break
    error = errors.VaultError(text.decode("ascii", "replace"))
    error.exit_status = min(max(int(digits), 1), 125)
    return error


def _fail(error: errors.VaultError) -> int:
    try:  # noqa: SIM105 - contextlib would be one more module to load
        _write(2, b"awsvault: %b\n" % error.line.encode())
    except OSError:
        pass
    return error.exit_status


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
