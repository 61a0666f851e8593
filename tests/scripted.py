# SPDX-License-Identifier: Apache-2.0
"""The daemon's end of the socket with answers that a test wrote: for what a real daemon does once in a thousand times."""

import contextlib
import socket
import threading
from pathlib import Path

SESSION = (
    b'{"Version":1,"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"s","SessionToken":"t",'
    b'"Expiration":"2030-01-01T00:00:00Z"}\n'
)


class ScriptedDaemon:
    """The daemon's end: `answers` are given one a connection; b"" hangs up, None says nothing."""

    def __init__(self, home: Path, answers: list[bytes | None]) -> None:
        self._answers = answers
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(home / "vaultd.sock"))
        self._listener.listen(64)
        self._kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                if not sock.recv(65536):
                    sock.close()
                    continue
                self.asked += 1
                self.may_answer.wait(10)
                answer = self._answers[min(self.asked, len(self._answers)) - 1]
                if answer is None:
                    self._kept.append(sock)
                    continue
                with sock:
                    sock.sendall(answer)

    def close(self) -> None:
        self.may_answer.set()
        with contextlib.suppress(OSError):  # closed by the test already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for sock in self._kept:
            sock.close()
