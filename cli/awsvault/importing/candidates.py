# SPDX-License-Identifier: Apache-2.0
"""What would become of each key that was found: its name in the vault, whose it is, how it would be served, or why not.

AWS is asked through the daemon, which keeps nothing yet. Nothing is changed here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from awsvault import output
from awsvault.importing.sources import AwsFiles, Source
from vaultd.core import plaintext, slugs
from vaultd.core.awsfiles import PROCESS, AwsFile, hook_in, profile_in
from vaultd.core.plaintext import Found
from vaultd.wire import client
from vaultd.wire.errors import AwsFailed, Conflict, NoSuchProfile, Refused, Undecided, Usage
from vaultd.wire.protocol import Frame

#: Served as they lie in the file, the programs that use them go on doing all that they do today.
AS_TODAY = "key"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says of all of them."""

    verify: bool = True
    allow_root: bool = False
    serve: str | None = None


@dataclass(slots=True)
class Candidate:
    source: Source
    name: str
    why_not: str = ""  # it stays where it is
    held: bool = False  # the vault has this very key by this name already
    dead: str = ""  # AWS does not know it: kept all the same, and marked
    undecided: str = ""  # the evidence points both ways: a person chooses, else it is served as today
    serve: str | None = None
    facts: Frame = field(default_factory=dict)  # the profile as the vault would show it
    imported: bool = False
    twin: "Candidate | None" = None  # the same key by the same name, in an earlier place

    @property
    def found(self) -> Found:
        return self.source.found

    @property
    def asked_by(self) -> str:
        """The profile of the config that is to ask for it: its own, or for what had none a new one."""
        if self.twin:
            return self.twin.asked_by
        has_own = self.source.kind in ("aws", "ini", "tool") and not self.found.shadowed
        return self.found.profile if has_own else self.name

    @property
    def status(self) -> str:
        if self.imported:
            return "imported"
        if self.why_not:
            return "temporary" if self.found.obstacle == plaintext.TEMPORARY else "refused"
        return "held" if self.held else "dead" if self.dead else "ready"

    def request(self, *, keep: bool, wanted: Wanted) -> dict[str, Any]:
        """The fields of `add`."""
        return {
            "profile": self.name,
            "access_key_id": self.found.access_key_id,
            "secret_access_key": self.found.secret.reveal(),
            "serve": self.serve,
            "region": self.found.region,
            "verify": wanted.verify and not self.dead,
            "allow_root": wanted.allow_root,
            "keep": keep,
            "same": True,
        }


def named(home: str | None, found: Sequence[Source], config: AwsFile) -> list[Candidate]:
    """A candidate for each, by the name that it has or gets. Of a key that was found twice the first place counts."""
    held = {
        str(shown["profile"]): set(_key_ids(shown)) for shown in client.call("list", home=home)["profiles"]
    }
    names = slugs.names([source.found for source in found], hooked(config, home), held)
    made = [
        Candidate(source, name, why_not=source.found.obstacle)
        for source, name in zip(found, names, strict=True)
    ]
    first: dict[str, Candidate] = {}
    for candidate in made:
        twin = first.setdefault(candidate.name, candidate)
        if twin is not candidate and not candidate.why_not:
            same = twin.found.same_key(candidate.found)
            if same and candidate.source.kind != "aws":
                candidate.twin = twin
            else:
                candidate.why_not = (
                    f"{'the same' if same else 'another'} key by this name is in {twin.found.line}"
                )
    return made


def check_room(candidates: Sequence[Candidate], files: AwsFiles, home: str | None) -> None:
    """What comes under a name that is new to the config must not meet a profile there that has other credentials."""
    asks = hooked(files.config, home)
    for candidate in candidates:
        asking = candidate.asked_by
        there = files.profiles.get(asking)
        is_own = candidate.source.kind in ("aws", "tool") and asking == candidate.found.profile
        if candidate.why_not or candidate.twin or there is None or is_own:
            continue
        rival = plaintext.obstacle_to(there, files.config, files.credentials, home)
        other = asks.get(asking, candidate.name) != candidate.name
        if rival or there.has_keys or other or "role_arn" in there.settings():
            candidate.why_not = f"there is a profile {asking} already, which has other credentials"


def hooked(config: AwsFile, home: str | None) -> dict[str, str]:
    """Whom each profile of the file asks already, of this home's vault."""
    asks: dict[str, str] = {}
    for section in config.sections:
        process, profile = section.option(PROCESS), profile_in(section.header)
        hook = hook_in(process.value) if process else None
        if profile and hook and hook.home == home:
            asks[profile] = hook.name
    return asks


def _key_ids(shown: Frame) -> Iterator[str]:
    run = shown["rotation"] or {}
    return (
        str(key_id) for key_id in (shown["access_key_id"], run.get("old_key"), run.get("new_key")) if key_id
    )


def vet(home: str | None, candidates: Sequence[Candidate], wanted: Wanted) -> None:
    """Ask AWS about each that may move. Raises what says nothing about a key: AWS is down, the vault was locked."""
    for candidate in candidates:
        if candidate.twin:
            _follow(candidate, candidate.twin)
        elif not candidate.why_not:
            output.progress(f"asking AWS about {candidate.name}") if wanted.verify else None
            candidate.serve = wanted.serve or (None if wanted.verify else AS_TODAY)
            _vet(home, candidate, wanted)


def _follow(candidate: Candidate, twin: Candidate) -> None:
    candidate.why_not, candidate.serve, candidate.facts = twin.why_not, twin.serve, twin.facts
    candidate.held = not twin.why_not  # by the time that its turn comes


def _vet(home: str | None, candidate: Candidate, wanted: Wanted) -> None:
    try:
        reply = client.call("add", home=home, **candidate.request(keep=False, wanted=wanted))
        candidate.facts, candidate.held = reply["profile"], reply["held"]
        candidate.serve = candidate.serve or str(reply["profile"]["serve"])
    except Undecided as error:
        candidate.undecided = error.message
        candidate.serve = str(error.details.get("proposal", AS_TODAY))
        _vet(home, candidate, wanted)
    except AwsFailed as error:
        if error.details.get("aws_code") not in plaintext.DEAD:
            raise type(error)(
                f"{error.message} (asked about {candidate.name}); nothing was changed",
                hint="try again, or import without asking: --no-verify",
            ) from None
        candidate.dead, candidate.serve = error.message, candidate.serve or AS_TODAY
    except Conflict:
        candidate.why_not = f"the vault's {candidate.name} has another key: to exchange it, awsvault add {candidate.name} --replace"
    except Refused as error:
        is_root = wanted.verify and not wanted.allow_root and "root key" in error.message
        candidate.why_not = f"{error.message}: --allow-root takes it" if is_root else error.line
    except Usage as error:
        candidate.why_not = error.message


def chosen(candidates: Sequence[Candidate], names: Sequence[str]) -> list[Candidate]:
    """Those that were named, by the file's name or the vault's. Raises NoSuchProfile, Refused saying why not."""
    picked = []
    for name in names:
        here = [it for it in candidates if name in (it.name, it.found.profile)]
        if not here:
            raise NoSuchProfile("no key in plain text has that name", hint="run: awsvault import --dry-run")
        free = [it for it in here if not it.why_not]
        if not free:
            raise Refused(f"{here[0].name} stays where it is: {here[0].why_not}", hint="")
        picked += [it for it in free if it not in picked]
    return picked
