# SPDX-License-Identifier: Apache-2.0
"""Entry: `get` takes the short way (no typer, no json), everything else goes to the app."""

import sys


def main() -> None:
    match sys.argv[1:]:
        case ["get", name] if not name.startswith("-"):
            _get(None, name)
        case ["--home", home, "get", name] if not name.startswith("-"):
            _get(home, name)
        case _:
            pass
    try:
        from awsvault.app import main as app
    except KeyboardInterrupt:  # within the tenth of a second that typer takes to load
        sys.exit(130)
    app()


def _get(home: str | None, name: str) -> None:
    from awsvault.get import main as get

    get(home, name)


if __name__ == "__main__":
    main()
