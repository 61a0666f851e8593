# SPDX-License-Identifier: Apache-2.0
"""`awsvault doctor`: every way in which a hook is silently beaten or broken, with what mends it."""

import sys
from collections import Counter
from typing import Annotated, Any

import typer

from awsvault import completion, output, prompts
from awsvault.commands import home_of, new_app
from awsvault.doctor import mending, proving
from awsvault.doctor.checks import CHECKS
from awsvault.doctor.findings import Check, Finding, judge
from awsvault.doctor.gather import look
from awsvault.doctor.machine import Machine
from vaultd.wire.errors import Found, NoSuchProfile, Usage, VaultError, printable

app = new_app()

Findings = list[tuple[Check, Finding]]


@app.command("doctor", epilog="Example: awsvault doctor --fix")
def command(
    ctx: typer.Context,
    profiles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROFILE]...", help="Only these.", autocompletion=completion.profile_names),
    ] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON array, one object for each check and finding.")
    ] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Do the safe cures, each after a question.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Find what beats or breaks the hooks, or exposes keys.

    It changes nothing without --fix, prints nothing when all is well, and ends with status 9 when something is not.
    With an open vault it tries the hooks, too, as boto3 and the aws command do.
    """
    if yes and not fix:
        raise Usage("--yes belongs to --fix")
    if fix and not yes and not prompts.available():
        raise Usage("no terminal to ask on", hint="use --yes")
    home, wanted = home_of(ctx), frozenset(profiles or ())
    findings = _examine(home, wanted)
    if fix and _mend(home, findings, ask=not yes):
        findings = _examine(home, wanted)
    if as_json:
        output.answer_json([_row(check, finding) for check, finding in findings])
    else:
        _tell(findings)
    if any(finding.verdict in ("warning", "problem") for _, finding in findings):
        raise typer.Exit(Found.exit_status)


def _examine(home: str | None, wanted: frozenset[str]) -> Findings:
    machine = look(home, output.progress)
    wanted = _by_file(machine, wanted)
    if machine.vault is not None:
        machine = proving.prove(machine, wanted, output.progress)
    return list(judge(CHECKS, machine, wanted))


def _by_file(machine: Machine, wanted: frozenset[str]) -> frozenset[str]:
    """The profiles as AWS's files name them, too, for those that were named as the vault does."""
    known = machine.profiles.keys() | (machine.vault or {}).keys()
    asking = {profile.name: hook.name for profile, hook in machine.hooked() if hook.home == machine.home}
    if wanted - known - set(asking.values()):
        raise NoSuchProfile("neither ~/.aws nor the vault has such a profile")
    return wanted | {profile for profile, name in asking.items() if name in wanted}


def _mend(home: str | None, findings: Findings, *, ask: bool) -> bool:
    """Was anything done?"""
    done = False
    for fix in dict.fromkeys(finding.fix for _, finding in findings if finding.fix):
        if ask and not prompts.confirm(fix.question, default=True):
            continue
        try:
            output.say(mending.mend(home, fix))
            done = True
        except VaultError as error:
            output.say(f"Not done: {error.line}")
    return done


def _tell(findings: Findings) -> None:
    """What was found is the answer; what could not be looked at, and how much was, is for people."""
    for verdict in ("problem", "warning"):
        for _, finding in (it for it in findings if it[1].verdict == verdict):
            where = f"{finding.place}: " if finding.place else ""
            output.answer(printable(f"{verdict:<8} {where}{finding.evidence}"))
            if finding.mend:
                output.answer(printable(f"{'':<8} {finding.mend}"))
    skipped = Counter(finding.evidence for _, finding in findings if finding.verdict == "unchecked")
    for why, count in skipped.items():
        output.say(f"{count} checks were not made: {why}" if count > 1 else f"Not checked: {why}")
    if sys.stderr and sys.stderr.isatty():
        bad = sum(finding.verdict in ("problem", "warning") for _, finding in findings)
        checks = len({check.name for check, _ in findings})
        output.say(f"{checks} checks, {bad or 'nothing'} found.")


def _row(check: Check, finding: Finding) -> dict[str, Any]:
    """Its names are part of what the README promises."""
    return {
        "check": check.name,
        "looks_at": check.looks_at,
        "verdict": finding.verdict,
        "profile": finding.profile,
        "file": finding.file,
        "line": finding.line,
        "evidence": finding.evidence or None,
        "mend": finding.mend or None,
        "fixable": finding.fix is not None,
    }
