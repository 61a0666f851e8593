# SPDX-License-Identifier: Apache-2.0
"""The one tree of errors, shared by both ends of the socket.

    VaultError                     1   failure
      Usage                        2   the request makes no sense as written
        Undecided                  2   a person has to choose `serve`; the evidence is in `details`
      Locked                       3   the vault is locked
      NoVault                      3   there is no vault yet
      NoSuchProfile                4
      DaemonUnreachable            5   nothing (or nothing sane) answers on the socket
        ProtocolMismatch           5   the daemon speaks another version of PROTOCOL.md
        DaemonHung                 5   it accepted and then stayed silent
      Refused                      6   policy says no: another uid, an unsafe directory, a root key
        SettingsChanged            6   config.toml differs from what was confirmed at the last unlock
      AwsFailed                    7   AWS refused or cannot be reached
        AwsPending                 7   AWS has not answered yet; the daemon goes on asking
        ClientClockSkewed          7   AWS says that this machine's clock is wrong
        MfaNeeded                  7   only a person, or a stored seed, has the code that AWS wants
        MfaRefused                 7   AWS did not take the code: mistyped, too old or used before
      VaultDamaged                 8   the file is not what was written
        FormatTooNew               8   a newer awsvault wrote it
        RolledBack                 8   older than, or a fork of, what this machine last saw
      Found                        9   a check found something (doctor, due)
      WrongPassphrase              1   nothing opened: wrong passphrase or code, or a damaged slot
      Conflict                     1   the vault changed between read and write
      StorageFailed                1   the disk said no; nothing was changed
      NoMemory                     1   the key derivation needs more memory than there is

Each class has a stable `code`, an `exit_status` (design section 13) and, for most, a `hint`: the command that helps.
A message is lower case without a full stop, names the thing and the fact, and never carries a secret or raw input.
"""

MAX_LINE = 300  # bytes on stderr: R10, what every SDK shows in full


class VaultError(Exception):
    """Never raised itself; catch it at the outermost loop."""

    code = "failed"
    exit_status = 1
    hint = ""

    def __init__(
        self, message: str = "", *, hint: str | None = None, details: dict[str, object] | None = None
    ) -> None:
        super().__init__(message or self.default())
        if hint is not None:
            self.hint = hint
        #: Facts for programs (JSON-safe, no secret); the message is for people.
        self.details: dict[str, object] = details or {}

    def default(self) -> str:
        return "it failed"

    @property
    def message(self) -> str:
        return str(self.args[0])

    @property
    def line(self) -> str:
        """What happened and what to do next, in one printable line of at most MAX_LINE bytes."""
        return self.line_within(MAX_LINE - len("awsvault: \n"))

    def line_within(self, room: int) -> str:
        """Of a long one the end of what happened is cut: what to do next is of no use in part."""
        end = cut(printable(f"; {self.hint}"), room * 2 // 3) if self.hint else ""
        return f"{cut(printable(self.message), room - len(end))}{end}"


def printable(text: str) -> str:
    """Plain ASCII on one line: what a terminal, a log or an SDK's error can show without obeying it."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def cut(text: str, length: int) -> str:
    """The text, or as much of it as there is room for, which shows that it was cut."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


class Usage(VaultError):
    code = "usage"
    exit_status = 2


class Undecided(Usage):
    code = "serve-undecided"
    hint = "choose with --serve session or --serve key"


class Locked(VaultError):
    code = "locked"
    exit_status = 3
    hint = "run: awsvault unlock"

    def default(self) -> str:
        return "vault is locked"


class NoVault(VaultError):
    code = "no-vault"
    exit_status = 3
    hint = "run: awsvault init"

    def default(self) -> str:
        return "no vault yet"


class NoSuchProfile(VaultError):
    code = "no-such-profile"
    exit_status = 4
    hint = "run: awsvault list"


class DaemonUnreachable(VaultError):
    code = "daemon-unreachable"
    exit_status = 5
    hint = "run: awsvault unlock"

    def default(self) -> str:
        return "vault is locked (vaultd is not running)"


class ProtocolMismatch(DaemonUnreachable):
    code = "protocol-mismatch"
    hint = "run: awsvault daemon restart"

    def default(self) -> str:
        return "the running vaultd is of another version"


class DaemonHung(DaemonUnreachable):
    code = "daemon-hung"
    hint = "run: awsvault daemon restart"

    def default(self) -> str:
        return "vaultd does not answer"


class Refused(VaultError):
    code = "refused"
    exit_status = 6


class SettingsChanged(Refused):
    code = "settings-changed"
    hint = "look at it, then run: awsvault unlock --accept-settings"


class AwsFailed(VaultError):
    code = "aws-failed"
    exit_status = 7


class AwsPending(AwsFailed):
    code = "aws-pending"

    def default(self) -> str:
        return "still waiting for AWS; try again"


class ClientClockSkewed(AwsFailed):
    code = "clock-skewed"


class MfaNeeded(AwsFailed):
    code = "mfa-needed"

    def default(self) -> str:
        return "an MFA code is needed"


class MfaRefused(AwsFailed):
    code = "mfa-refused"
    hint = "wait for the next code, then try again"

    def default(self) -> str:
        return "the MFA code was refused"


class VaultDamaged(VaultError):
    code = "vault-damaged"
    exit_status = 8
    hint = "run: awsvault help damaged"

    def default(self) -> str:
        return "the vault file is damaged"


class FormatTooNew(VaultDamaged):
    code = "format-too-new"
    hint = "upgrade awsvault; the file was not touched"


class RolledBack(VaultDamaged):
    code = "rolled-back"
    hint = "run: awsvault unlock --accept-older-vault"


class Found(VaultError):
    code = "found"
    exit_status = 9


class WrongPassphrase(VaultError):
    code = "wrong-passphrase"
    hint = "try again, or run: awsvault recover"

    def default(self) -> str:
        return "wrong passphrase"


class Conflict(VaultError):
    code = "conflict"
    hint = "run: awsvault lock && awsvault unlock"

    def default(self) -> str:
        return "the vault was changed by something else; nothing was saved"


class StorageFailed(VaultError):
    code = "storage-failed"
    hint = "free some space or mend the disk; nothing was changed"


class NoMemory(VaultError):
    code = "no-memory"
    hint = "free some memory and try again"


def tree() -> dict[str, type[VaultError]]:
    """Every concrete class by its code: how the client turns a reply back into an error."""
    found: dict[str, type[VaultError]] = {}
    queue: list[type[VaultError]] = [VaultError]
    while queue:
        cls = queue.pop()
        found[cls.code] = cls
        queue.extend(cls.__subclasses__())
    return found
