# SPDX-License-Identifier: Apache-2.0
"""What came of trying the hooks: by a shell as most SDKs do, by botocore, by the aws command."""

from collections.abc import Iterator, Mapping

from awsvault.doctor.findings import Check, Finding, problem, shown, together, unchecked, warning
from awsvault.doctor.machine import Machine, Proof, Resolved, Run

SLOW_S = 1.0  # R13; the tightest SDK waits 5 s, and others hold up the whole program meanwhile
LONG = 1000  # bytes: R3, Java 1
#: A person has to do something first: the hook is as it should be.
_WAITS = frozenset({"locked", "mfa-needed", "no-vault", "daemon-unreachable"})
OURS = "custom-process"  # what botocore calls credential_process


def served(machine: Machine) -> Iterator[Finding]:
    """Does the vault hand out credentials for it?"""
    for name, proof in machine.proofs.items():
        if proof.code in _WAITS:
            yield unchecked(f"the hook of {shown(name)} was not tried: {proof.line}", profile=name)
        elif proof.code:
            yield problem(f"the vault hands out nothing for {shown(name)}: {proof.line}", profile=name)
    yield from together(_untried(machine), "tried: ")
    if machine.not_proven:
        names = f"{len(machine.not_proven)} more hooks, {shown(machine.not_proven[0])} and so on"
        yield unchecked(f"not tried: {names}; name those that matter: awsvault doctor PROFILE")


def _untried(machine: Machine) -> Iterator[tuple[str, str]]:
    for profile, hook in machine.hooked():
        if hook.home != machine.home:
            continue  # told by itself
        if machine.is_revoked(hook.name):
            yield profile.name, f"{hook.name} is revoked"
        elif not machine.calls_us(profile):
            yield profile.name, "another program than this installation"


def _tried(machine: Machine) -> Iterator[tuple[str, Proof, Run]]:
    for name, proof in machine.proofs.items():
        if proof.run:
            yield name, proof, proof.run


def runs(machine: Machine) -> Iterator[Finding]:
    for name, proof, run in _tried(machine):
        if run.status or run.key_id is None:
            said = f": {shown(run.stderr, 200)}" if run.stderr else ""
            yield problem(
                f"the hook line of {shown(name)} fails here with status {run.status}{said}", profile=name
            )
        elif run.stderr:
            yield warning(
                f"the hook line of {shown(name)} works, but something writes to stderr, which some SDKs take for the "
                f"answer: {shown(run.stderr, 100)}",
                "look at the environment: what is set that Python or the loader reads?",
                profile=name,
            )
        elif proof.key_id and run.key_id != proof.key_id:
            yield problem(
                f"the hook line of {shown(name)} answers with the key ...{run.key_id[-4:]}, and the vault has "
                f"...{proof.key_id[-4:]} for it",
                profile=name,
            )


def quick(machine: Machine) -> Iterator[Finding]:
    slow = [(run.took_s, name) for name, _, run in _tried(machine) if run.took_s > SLOW_S]
    if slow:
        seconds, name = max(slow)
        yield warning(
            f"the hook takes {seconds:.1f} s: {shown(name)} ({len(slow)} of {len(machine.proofs)} hooks over {SLOW_S:.0f} s)",
            "look for a shim, a slow disk, or a virus scanner that reads Python's files",
            profile=name,
        )


def short(machine: Machine) -> Iterator[Finding]:
    for name, _, run in _tried(machine):
        if run.key_id and run.size > LONG:
            yield warning(
                f"the answer for {shown(name)} has {run.size} bytes: the SDK for Java 1 takes {LONG} unless told otherwise",
                "drop session tags or policies that the role does not need",
                profile=name,
            )


def botocore(machine: Machine) -> Iterator[Finding]:
    yield from _of_clients(machine, "boto3", {name: proof.botocore for name, proof in machine.proofs.items()})


def aws(machine: Machine) -> Iterator[Finding]:
    yield from _of_clients(
        machine, "the aws command", {name: proof.aws for name, proof in machine.proofs.items()}
    )


def _of_clients(machine: Machine, client: str, tried: Mapping[str, Resolved | None]) -> Iterator[Finding]:
    if machine.is_broken:
        yield unchecked("boto3 and the aws command cannot be tried before the files of AWS are mended")
    elif any(machine.proofs[name].run and found is None for name, found in tried.items()):
        yield unchecked(f"{client} is not here to be tried")
    for name, found in tried.items():
        if found:
            yield from _of_client(name, client, found, machine.proofs[name])


def _of_client(name: str, client: str, found: Resolved, proof: Proof) -> Iterator[Finding]:
    if found.error:
        yield problem(
            f"{client} gets no credentials for {shown(name)}: {shown(found.error, 200)}", profile=name
        )
    elif found.provider != OURS:
        yield problem(
            f"{client} takes the credentials of {shown(name)} from {shown(found.provider) or 'nowhere'}, not from the hook",
            f"see where they come from: aws configure list --profile {shown(name)}",
            profile=name,
        )
    elif proof.key_id and found.key_tail != proof.key_id[-4:]:
        yield problem(
            f"{client} gets the key ...{shown(found.key_tail)} for {shown(name)}, and the vault has "
            f"...{proof.key_id[-4:]} for it",
            profile=name,
        )


CHECKS = (
    Check("hook-served", "does the vault hand out credentials for each hook", served, wants_vault=True),
    Check("hook-runs", "do the hook lines answer when a shell runs them here", runs, wants_vault=True),
    Check("hook-quick", "do they answer within a second", quick, wants_vault=True),
    Check("hook-short", "are the answers short enough for every SDK", short, wants_vault=True),
    Check("hook-boto3", "does boto3 come to the hook, in a clean environment", botocore, wants_vault=True),
    Check("hook-aws", "does the aws command, too", aws, wants_vault=True),
)
