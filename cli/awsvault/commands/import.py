# SPDX-License-Identifier: Apache-2.0
"""`awsvault import`: the keys that lie in plain text move into the vault, and every tool goes on using their names."""

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from awsvault import hook, output, prompts, rewriting, serving
from awsvault.commands import home_of, new_app, unlock
from awsvault.importing import candidates, ending, files, keeping, sources, telling, undoing
from awsvault.importing.candidates import Candidate, Wanted
from awsvault.importing.keeping import Kept, Role
from awsvault.importing.sources import AwsFiles, Source
from vaultd.wire import client
from vaultd.wire.errors import Refused, Usage

app = new_app()


@app.command("import", epilog="Example: awsvault import --dry-run")
def command(  # noqa: PLR0913 - one parameter for each flag
    ctx: typer.Context,
    profiles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROFILE]...", show_default=False, help="Only these."),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every key that can move.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")
    ] = False,
    file: Annotated[
        list[str] | None,
        typer.Option(
            "--file", metavar="FILE", help="Look here, too: a .env, a shell's rc, a console's CSV, a copy."
        ),
    ] = None,
    tool: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TOOL", help="Ask aws-vault or granted for the profiles that are named."
        ),
    ] = None,
    roles: Annotated[
        bool | None,
        typer.Option(
            "--roles/--no-roles", help="Take over the role profiles that are assumed from these keys."
        ),
    ] = None,
    serve: Annotated[
        str | None,
        typer.Option(
            "--serve", metavar="session|key", help="What `get` hands out. Default: by what AWS says."
        ),
    ] = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Don't ask AWS whether the keys work.")
    ] = False,
    allow_root: Annotated[bool, typer.Option("--allow-root", help="Take a root user's key.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last import back; for a week.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON array, one object for each key that was found.")
    ] = False,
) -> None:
    """Move keys in plain text into the vault.

    They are looked for in ~/.aws/credentials and ~/.aws/config. AWS is asked about each before anything is changed. Then the vault has it, the files lose the secret, and a line
    in ~/.aws/config makes every AWS tool ask awsvault for the profile. Nothing in plain text is kept. More: awsvault help import
    """
    home = home_of(ctx)
    if undo:
        undoing.undo(home, yes=yes)
        return
    _check_words(profiles or [], tool, everything=everything)
    wanted = Wanted(verify=not no_verify, allow_root=allow_root, serve=serving.checked(serve))
    with rewriting.alone(hook.config_path()):
        _Import(home, wanted, roles=roles, yes=yes, as_json=as_json).run(
            profiles or [], file or [], tool, everything=everything, dry_run=dry_run
        )


def _check_words(names: Sequence[str], tool: str | None, *, everything: bool) -> None:
    if tool and tool not in sources.TOOLS:
        raise Usage(
            "--from takes the name of a tool that holds keys", hint=f"one of {', '.join(sources.TOOLS)}"
        )
    if tool and not names:
        raise Usage(f"name the profiles of {tool}", hint=f"awsvault import --from {tool} PROFILE...")
    if names and everything:
        raise Usage("use one of --all or names")


class _Import:
    def __init__(
        self, home: str | None, wanted: Wanted, *, roles: bool | None, yes: bool, as_json: bool
    ) -> None:
        self._home = home
        self._wanted = wanted
        self._roles = roles
        self._yes = yes
        self._as_json = as_json

    def run(
        self, names: Sequence[str], paths: Sequence[str], tool: str | None, *, everything: bool, dry_run: bool
    ) -> None:
        aws = AwsFiles.read()
        found = _found(aws, names, paths, tool, self._home)
        if not found:
            self._nothing()
            return
        self._check_answers(names, everything=everything, dry_run=dry_run)
        unlock.make_ready(self._home)
        known = candidates.named(self._home, found, aws.config)
        candidates.check_room(known, aws, self._home)
        candidates.vet(self._home, known, self._wanted)
        if dry_run or not self._as_json:
            self._show(known)
        if dry_run:
            return
        picked = self._pick(known, names, everything=everything)
        if picked:
            self._move(picked, aws)
        if self._as_json:
            self._show(known)
        left = [it for it in known if it.status == "refused" and not (names or it.found.is_harmless)]
        if left:
            more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
            raise Refused(f"still in plain text: {left[0].found.profile}{more}: {left[0].why_not}", hint="")

    def _nothing(self) -> None:
        if self._as_json:
            output.answer_json([])
        places = f"{telling.short(hook.credentials_path())} or {telling.short(hook.config_path())}"
        output.say(f"There is no key in plain text in {places}.")

    def _check_answers(self, names: Sequence[str], *, everything: bool, dry_run: bool) -> None:
        if dry_run or prompts.available():
            return
        if not (self._yes and (names or everything)):
            raise Usage(
                "no terminal to ask on", hint="name profiles or use --all, and --yes; or look: --dry-run"
            )

    def _show(self, known: Sequence[Candidate]) -> None:
        if self._as_json:
            output.answer_json(telling.as_json(known))
        else:
            telling.show(known)

    def _pick(self, known: Sequence[Candidate], names: Sequence[str], *, everything: bool) -> list[Candidate]:
        free = [it for it in known if not it.why_not]
        if names:
            return candidates.chosen(known, names)
        if everything or self._yes or len({it.name for it in free}) < 2:  # noqa: PLR2004 - of one there is nothing to choose
            return free
        typed = prompts.ask("Which ones? Names, or Return for all that can move: ").replace(",", " ").split()
        return candidates.chosen(known, typed) if typed else free

    def _move(self, picked: Sequence[Candidate], aws: AwsFiles) -> None:
        hook.check_home(self._home)
        program = hook.find_program()
        roles = self._offered(picked, aws)
        self._settle(picked)
        going = Kept(self._home, keys=[*picked])
        files.check_writable(files.paths(going))
        if not self._yes and not prompts.confirm(self._question(picked, files.paths(going)), default=True):
            raise Usage("not confirmed; nothing was changed", hint="")
        with keeping.all_or_nothing(self._home) as kept:
            keeping.keep(kept, picked, self._wanted)
            own = keeping.own_roles(aws.config, picked, self._home)
            verify, agreed = self._wanted.verify, self._roles is True
            keeping.take_over(
                kept, aws.config, [*own, *roles], verify=verify, yes=self._yes, with_devices=agreed
            )
            _leave_halves(kept)
        changed = files.rewrite(kept, program, aws)
        ending.tell(kept, changed, yes=self._yes)

    def _offered(self, picked: Sequence[Candidate], aws: AwsFiles) -> list[Role]:
        """A source that is a process is one that several SDKs cannot use."""
        vault = {shown["profile"]: shown for shown in client.call("list", home=self._home)["profiles"]}
        found = keeping.roles_from(aws, picked, self._home, vault)
        if not found or self._roles is not None or self._yes:
            return found if self._roles is not False else []
        listed = ", ".join(role.profile for role in found)
        question = (
            f"These roles are assumed from them: {listed}. Several SDKs cannot do that through awsvault.\n"
            "Take them over, too, so that they work in every tool?"
        )
        return found if prompts.confirm(question, default=True) else []

    def _settle(self, picked: Sequence[Candidate]) -> None:
        """Ask a person about what the evidence leaves open."""
        for it in picked:
            if it.undecided and self._wanted.serve is None and not self._yes:
                it.serve = serving.choose(it.undecided, str(it.serve), it.name)

    def _question(self, picked: Sequence[Candidate], paths: Sequence[str]) -> str:
        count = len([it for it in picked if it.twin is None])
        those = "this key" if count == 1 else f"these {count} keys"
        places = " and ".join(telling.short(path) for path in paths if os.path.exists(path))
        return f"Move {those} into the vault, and rewrite {places or telling.short(hook.config_path())}?"


def _found(
    aws: AwsFiles, names: Sequence[str], paths: Sequence[str], tool: str | None, home: str | None
) -> list[Source]:
    if tool:
        return [sources.of_tool(tool, name, aws, home) for name in names]
    return [*sources.of_aws(aws, home), *(source for path in paths for source in sources.of_file(path))]


def _leave_halves(kept: Kept) -> None:
    for it in keeping.without_halves(kept):
        it.why_not = "its role could not be taken over"
        output.say(f"{it.found.profile} stays as it is in the files; its key is in the vault as {it.name}.")
