# SPDX-License-Identifier: Apache-2.0
"""`awsvault rotate PROFILE...`: a new key in place of the old one, without a moment in which no key works."""

import sys
import time
from typing import Annotated, Any

import typer

from awsvault import codes, completion, output, prompts, rotating
from awsvault.commands import home_of, new_app
from vaultd.wire import client, protocol
from vaultd.wire.errors import AwsFailed, Found, Locked, Usage, VaultError
from vaultd.wire.protocol import Frame

app = new_app()

#: A new key that AWS does not take for two minutes is given up; each try is a line of progress.
TIMEOUT_S = 120.0
POLL_S = 1.0
_DENIED = ("AccessDenied", "AccessDeniedException")


@app.command("rotate", epilog="Example: awsvault rotate dev")
def command(  # noqa: PLR0913 - one parameter for each flag
    ctx: typer.Context,
    profiles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROFILE]...",
            autocompletion=completion.profile_names,
            show_default=False,
            help="Whose keys.",
        ),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every key in the vault.")] = False,
    due: Annotated[bool, typer.Option("--due", help="Those that `awsvault due` names.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, and which rights there are.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="For a key that leaked: the old one is deleted at once.")
    ] = False,
    sessions: Annotated[
        bool, typer.Option("--sessions", help="With --now: end the sessions that were made before.")
    ] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to the old key.")] = False,
    replace: Annotated[
        str | None,
        typer.Option("--replace", metavar="KEYID", help="Delete this other key of the user to make room."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Although something still uses the old key, or another host rotates."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the old key is gone.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the rotations that are open.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON array, one object for each profile.")
    ] = False,
) -> None:
    """Rotate keys. It returns when the new key is served; vaultd sees the rest through by itself.

    The old key stays active for a day (its grace), then inactive for a week, then it is deleted; nothing is done
    to it while something still uses it. Until then --rollback goes back to it.
    """
    home = home_of(ctx)
    if status:
        _status(home, profiles or [], as_json=as_json)
        return
    names = _names(home, profiles or [], everything=everything, due=due)
    wanted = {"now": now, "sessions": sessions, "rollback": rollback, "replace": replace, "force": force}
    if replace and len(names) > 1:
        raise Usage("--replace is about the key of one profile")
    if dry_run:
        _dry_run(home, names, wanted, as_json=as_json)
        return
    if not yes:
        wanted["sessions"] = _confirm(home, names, wanted)
    _Rotations(home, wanted, wait=wait, as_json=as_json).run(names)


def begin(home: str | None, names: list[str]) -> None:
    """As `awsvault rotate NAME...`; for those who offer it."""
    wanted = {"now": False, "sessions": False, "rollback": False, "replace": None, "force": False}
    _Rotations(home, wanted, wait=False, as_json=False).run(names)


def _names(home: str | None, given: list[str], *, everything: bool, due: bool) -> list[str]:
    """Whose keys; of profiles that share a key, one is enough."""
    if sum((bool(given), everything, due)) != 1:
        raise Usage("say whose keys", hint="name profiles, or use --all or --due")
    if given:
        return list(dict.fromkeys(given))
    if due:
        items = client.call("due", home=home)["items"]
        given = [item["profile"] for item in items if item["what"] in ("rotate-due", "rotate-overdue")]
    keys: dict[str, str] = {}
    for profile in client.call("list", home=home)["profiles"]:
        if profile["kind"] != "key" or not (everything or profile["profile"] in given):
            continue
        if profile["rotation"] or profile["access_key_id"] not in keys:  # as whose it rotates already
            keys[profile["access_key_id"]] = str(profile["profile"])
    if not keys:
        output.say("There is no key to rotate." if everything else "No key is due.")
    return list(keys.values())


def _confirm(home: str | None, names: list[str], wanted: dict[str, Any]) -> bool:
    """What destroys asks for the name; whether sessions are ended is asked with it."""
    if not (wanted["now"] or wanted["replace"]):
        return bool(wanted["sessions"])
    if not prompts.available():
        raise Usage("no terminal to confirm on", hint="use --yes")
    for name in names:
        if wanted["replace"]:
            plan = client.call("rotate", home=home, profile=name, dry_run=True, replace=wanted["replace"])[
                "plan"
            ]
            if plan["refusal"]:
                protocol.raise_error({"error": plan["refusal"]})
            prompts.tell("".join(f"{line}\n" for line in rotating.plan_lines(name, plan)))
            prompts.must_type(name, f"Type {name} to delete the key {wanted['replace']}:")
        if wanted["now"]:
            prompts.tell("The old key is deleted as soon as the new one works. What still uses it fails.\n")
            prompts.must_type(name, f"Type {name} to rotate without a grace:")
    if wanted["now"] and not wanted["sessions"]:
        return prompts.confirm("End the sessions that were made with it, too?", default=True)
    return bool(wanted["sessions"])


def _dry_run(home: str | None, names: list[str], wanted: dict[str, Any], *, as_json: bool) -> None:
    plans = [
        {"profile": name, **client.call("rotate", home=home, profile=name, dry_run=True, **wanted)["plan"]}
        for name in names
    ]
    if as_json:
        output.answer_json(plans)
    else:
        for plan in plans:
            for line in rotating.plan_lines(plan["profile"], plan):
                output.answer(line)
    if any(plan["refusal"] for plan in plans):
        raise typer.Exit(Found.exit_status)


def _status(home: str | None, names: list[str], *, as_json: bool) -> None:
    profiles = client.call("list", home=home)["profiles"]
    found = [p for p in profiles if p["rotation"] and (not names or p["profile"] in names)]
    if as_json:
        output.answer_json([{"profile": p["profile"], **p["rotation"]} for p in found])
    elif found:
        rotating.table(found)
    else:
        output.say("No rotation is open.")


class _Rotations:
    """One after another, past those that fail; the exit status is that of the first failure."""

    def __init__(self, home: str | None, wanted: dict[str, Any], *, wait: bool, as_json: bool) -> None:
        self._home = home
        self._wanted = wanted
        self._wait = wait
        self._as_json = as_json

    def run(self, names: list[str]) -> None:
        done: list[Frame] = []
        failures: list[VaultError] = []
        for number, name in enumerate(names):
            try:
                done.append(self._one(name))
            except VaultError as error:
                if len(names) == 1:
                    raise
                failures.append(error)
                done.append({"profile": name, "error": {"code": error.code, "line": error.line}})
                output.say(f"{name}: {error.line}")
            except KeyboardInterrupt:
                rest = f" Not begun: {', '.join(names[number + 1 :])}." if names[number + 1 :] else ""
                output.say("")  # the terminal shows ^C
                output.say(f"vaultd goes on with {name}; how far it is: awsvault rotate --status.{rest}")
                raise
        if self._as_json:
            output.answer_json(done)
        if failures:
            raise typer.Exit(failures[0].exit_status)

    def _one(self, name: str) -> Frame:
        reply = self._ask(name)
        for note in reply["notes"]:
            output.say(f"{name}: {note}")
        run = self._awaited(name, reply["rotation"]) if self._wait else reply["rotation"]
        output.say(
            rotating.told(name, run) if run else rotating.over(name, reply["profile"]["access_key_id"])
        )
        return {"profile": name, "rotation": run}

    def _ask(self, name: str) -> Frame:
        """Once more with an MFA session, if that is what AWS wants."""

        def ask() -> Frame:
            return client.call(
                "rotate",
                home=self._home,
                on_progress=output.progress,
                timeout_s=TIMEOUT_S,
                profile=name,
                **self._wanted,
            )

        try:
            return ask()
        except AwsFailed as error:
            if error.details.get("aws_code") not in _DENIED or not self._has_code(name):
                raise
        return ask()

    def _has_code(self, name: str) -> bool:
        """Start an MFA session, when the profile has a device and somebody or something has its code."""
        shown = client.call("show", home=self._home, profile=name)["profile"]
        if (
            not shown["mfa_serial"]
            or shown["mfa_expires_at"]
            or not (shown["mfa_process"] or prompts.available())
        ):
            return False
        code = codes.code_for(name, shown["mfa_process"], pinentry=False, stdin=sys.stdin)
        client.call("mfa", home=self._home, on_progress=output.progress, profile=name, code=code.text)
        return True

    def _awaited(self, name: str, run: Frame | None) -> Frame | None:
        """Until the old key is gone. Raises AwsFailed with what it waits for, if that is a person; Locked, for so is that."""
        last = ""
        while run is not None:
            if run["waits"]:
                raise AwsFailed(f"the rotation waits: {run['waits']}")
            if last != (last := run["state"]):
                output.progress(rotating.told(name, run).rstrip("."))
            time.sleep(POLL_S)
            try:
                run = client.call("rotation", home=self._home, profile=name)["rotation"]
            except Locked:
                raise Locked(
                    f"the vault was locked; the rotation of {name} goes on when it is open"
                ) from None
        return None
