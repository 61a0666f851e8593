# SPDX-License-Identifier: Apache-2.0
"""`python -I -m awsvault.endpoint [--home DIR] PROFILE`, started by start.py only: hardened first, then a server.

Descriptor 3 is the listener, 4 a handle on the program to serve, 5 the way to the client: the token comes from there,
after this process can no longer be looked into, and "ready" goes back.
"""

from vaultd.edge import harden

harden.harden()

import os  # noqa: E402 - hardened first
import socket  # noqa: E402
import sys  # noqa: E402

from awsvault.endpoint import LISTENER, PROGRAM, STARTER, TOKEN_SIZE, program  # noqa: E402
from awsvault.endpoint.messages import Place  # noqa: E402
from awsvault.endpoint.server import Question, Server  # noqa: E402


def main() -> None:
    *option, profile = sys.argv[1:]
    home = option[1] if option else None
    token = b""
    while len(token) < TOKEN_SIZE:
        chunk = os.read(STARTER, TOKEN_SIZE - len(token))
        if not chunk:
            sys.exit(1)  # the client gave up
        token += chunk
    with socket.socket(fileno=LISTENER) as listener:
        place = Place(listener.getsockname()[1], profile, token)
        server = Server(listener, program.watch(PROGRAM), place, lambda: Question(home, profile))
        os.write(STARTER, b"r")
        os.close(STARTER)
        server.run()


if __name__ == "__main__":
    main()
