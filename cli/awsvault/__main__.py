# SPDX-License-Identifier: Apache-2.0
"""Entry: `get` takes the short way (no typer, no json), `exec` without options and `due --quiet` a shorter one, the rest goes to the app."""

import sys


def main() -> None:
    match sys.argv[1:]:
        case ["get", name] if not name.startswith("-"):
            _get(None, name)
        case ["--home", home, "get", name] if not name.startswith("-"):
            _get(home, name)
        case ["exec", name, "--", *words] if not name.startswith("-"):
            _exec(None, name, words)
        case ["--home", home, "exec", name, "--", *words] if not name.startswith("-"):
            _exec(home, name, words)
        case ["due", "--quiet" | "-q"]:
            _due(None)
        case ["--home", home, "due", "--quiet" | "-q"]:
            _due(home)
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


def _exec(home: str | None, name: str, words: list[str]) -> None:
    from awsvault.running import Wish, main

    main(home, Wish(name, tuple(words)))


def _due(home: str | None) -> None:
    from awsvault.reminding import quiet

    quiet(home)


if __name__ == "__main__":
    main()
