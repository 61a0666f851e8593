# SPDX-License-Identifier: Apache-2.0
"""Takes a role profile of ~/.aws/config over into the vault: which profile assumes it, and whose MFA device it names.

What stands in the file is vaultd.core.adopt's business, writing it hook.py's.
"""

from awsvault import chains, output, prompts
from vaultd.core import adopt
from vaultd.core.adopt import Found
from vaultd.core.awsfiles import AwsFile
from vaultd.wire import client
from vaultd.wire.errors import Conflict, NoSuchProfile, Usage, VaultError
from vaultd.wire.protocol import Frame


def settings(found: Found, given: Frame) -> Frame:
    """The fields of `add_role`: the file's, but where the command line says otherwise."""
    of_file: Frame = {
        "source": None,  # a name in the file, not yet one in the vault
        "role_arn": found.role_arn,
        "external_id": found.external_id,
        "session_name": found.session_name,
        "duration_s": found.duration_s,
        "tags": found.tags or None,
        "transitive_tags": list(found.transitive_tags) or None,
        "source_identity": found.source_identity,
        "region": found.region,
    }
    return {**of_file, **{name: value for name, value in given.items() if value is not None}}


def source(home: str | None, config: AwsFile, name: str, found: Found) -> str:
    """The vault's profile that the file's source_profile stands for. Raises what has to be done first."""
    if found.source is None:
        raise Usage(f"{name} of {config.where} has no source_profile", hint="choose one with --source")
    fitting = adopt.fit_name(found.source)
    if found.source == name:
        raise Usage(
            f"{name} of {config.where} is assumed with keys of its own section",
            hint=f"add them: awsvault add {fitting}-key, then use --source {fitting}-key",
        )
    wanted = adopt.vault_name(config, found.source, home)
    if wanted in client.call("names", home=home)["names"]:
        return wanted
    if adopt.is_role(config, found.source):
        first = f"awsvault add-role {fitting} --from-config {found.source}"
    else:
        first = f"awsvault add {fitting}"
    also = "" if fitting == wanted else f", then use --source {fitting}"
    raise NoSuchProfile(
        f"{name} is assumed from {found.source}, which is not in the vault", hint=f"first run: {first}{also}"
    )


class Device:
    """The MFA device that the file names for the role: it belongs to the key at the end of the chain."""

    def __init__(self, home: str | None, serial: str, first: str) -> None:
        self._home = home
        self._serial = serial
        self._key = chains.key_behind(home, first)

    @property
    def is_settled(self) -> bool:
        return bool(self._key["mfa_serial"] == self._serial)

    def settle(self, *, yes: bool) -> bool:
        """Give it to the key, if a person agrees; False when the key has it already. Raises Usage, Conflict."""
        name, present = self._key["profile"], self._key["mfa_serial"]
        if self.is_settled:
            return False
        if present:
            raise Conflict(
                f"{name} has the MFA device {present}, and the role names {self._serial}",
                hint=f"run: awsvault edit {name} --mfa-serial ARN",
            )
        question = (
            f"Give {name} the MFA device {self._serial}? From then on {name} is served after a code only."
        )
        if not yes:
            if not prompts.available():
                raise Usage(
                    f"the role names an MFA device, which {name} would get", hint="to agree, use --yes"
                )
            if not prompts.confirm(question, default=True):
                raise Usage("not confirmed; nothing was changed", hint="")
        self._change(self._serial)
        output.say(f"{name} has the MFA device {self._serial} now. Next: awsvault mfa {name}")
        return True

    def take_back(self) -> None:
        """The role was not taken over after all."""
        self._change(None)
        output.say(f"{self._key['profile']} is without an MFA device again.")

    def _change(self, serial: str | None) -> None:
        client.call("edit", home=self._home, profile=self._key["profile"], changes={"mfa_serial": serial})


def add(home: str | None, profile: str, fields: Frame, device: Device | None, *, yes: bool) -> Frame:
    """`add_role`, with the device settled before it: the trial needs it. What fails leaves the key as it was."""
    settled = device.settle(yes=yes) if device else False
    try:
        return client.call("add_role", home=home, on_progress=output.progress, profile=profile, **fields)
    except (VaultError, KeyboardInterrupt):
        if device and settled:
            device.take_back()
        raise
