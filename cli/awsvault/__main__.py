# SPDX-License-Identifier: Apache-2.0
"""Entry: `get` takes the short way (no typer, no json), everything else goes to the app."""

import sys


def main() -> None:
    args = sys.argv[1:]
    home = None
    if len(args) > 2 and args[0] == "--home":
        home, args = args[1], args[2:]
    if len(args) == 2 and args[0] == "get" and args[1][:1] != "-":
        from awsvault.get import main as get

        get(home, args[1])
    from awsvault.app import main as app

    app()


if __name__ == "__main__":
    main()
