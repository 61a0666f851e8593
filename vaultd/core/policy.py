# SPDX-License-Identifier: Apache-2.0
"""Settings (config.toml) and the decisions that follow from them alone: when to lock, how long a guess must wait.

Unknown keys are refused: a misspelt `idel = "5m"` that is silently ignored leaves a vault open for hours.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from vaultd.wire import durations
from vaultd.wire.errors import Usage, printable

DAY = 86_400
HOUR = 3_600
MINUTE = 60


@dataclass(frozen=True, slots=True)
class LockSettings:
    idle: int = HOUR
    max: int = 12 * HOUR
    extend: str = "any"


@dataclass(frozen=True, slots=True)
class ServeSettings:
    lease: int = HOUR


@dataclass(frozen=True, slots=True)
class SessionSettings:
    duration: int | None = None
    mfa_duration: int = 12 * HOUR

    @property
    def for_keys(self) -> int:
        return self.duration or 4 * HOUR

    @property
    def for_roles(self) -> int:
        return self.duration or HOUR  # what a role allows unless somebody raised it


@dataclass(frozen=True, slots=True)
class RotationSettings:
    max_age: int = 90 * DAY
    remind_before: int = 14 * DAY
    grace: int = DAY
    soak: int = 7 * DAY
    unused_after: int = 45 * DAY


@dataclass(frozen=True, slots=True)
class ReminderSettings:
    while_locked: bool = True
    desktop: bool = True


@dataclass(frozen=True, slots=True)
class AuditSettings:
    fsync: bool = True


@dataclass(frozen=True, slots=True)
class AwsSettings:
    endpoint_url: str | None = None
    proxy: str | None = None
    ca_bundle: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    lock: LockSettings = field(default_factory=LockSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    rotation: RotationSettings = field(default_factory=RotationSettings)
    reminders: ReminderSettings = field(default_factory=ReminderSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    aws: AwsSettings = field(default_factory=AwsSettings)

    def guarded(self) -> dict[str, Any]:
        """What an attacker who can write config.toml would change: where secrets go, how long they stay, who is told."""
        return {"aws": asdict(self.aws), "lock": asdict(self.lock), "audit": asdict(self.audit)}

    def guarded_hash(self) -> str:
        """SHA-256 (hex) of the guarded sections; sealed in the vault and compared at every unlock."""
        return hashlib.sha256(json.dumps(self.guarded(), sort_keys=True).encode()).hexdigest()

    def with_unguarded(self, other: "Settings") -> "Settings":
        """These guarded sections with everything else from `other`: what SIGHUP may change."""
        return replace(other, aws=self.aws, lock=self.lock, audit=self.audit)

    def guarded_lines(self) -> list[str]:
        """The guarded settings that differ from the defaults, for a person to look at."""
        usual = Settings().guarded()
        return [
            f"[{section}] {key} = {printable(str(value))}"
            for section, values in self.guarded().items()
            for key, value in values.items()
            if value != usual[section][key]
        ] or ["everything at its default"]


def _duration(low: int, high: int, *, zero: bool = False) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        seconds = durations.parse(value if isinstance(value, str) else "")
        if not (low <= seconds <= high or (zero and seconds == 0)):
            raise Usage(f"must be between {durations.show(low)} and {durations.show(high)}")
        return seconds

    return convert


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Usage("must be true or false")
    return value


def _extend(value: Any) -> str:
    if value not in ("any", "person"):
        raise Usage('must be "any" or "person"')
    return str(value)


def _endpoint(value: Any) -> str:
    """https anywhere; plain http only on loopback, where nobody else can listen in."""
    parts = urlsplit(_text(value))
    if parts.scheme == "https" and parts.hostname:
        return str(value)
    if parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"):
        return str(value)
    raise Usage("must be https, or http on loopback")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or printable(value) != value:
        raise Usage("must be plain text")
    return value


def _region(value: Any) -> str:
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d{1,2}", _text(value)):
        raise Usage('must be a region like "eu-central-1"')
    return str(value)


def _absolute(value: Any) -> str:
    if not _text(value).startswith("/"):
        raise Usage("must be an absolute path")
    return str(value)


_FOREVER = 3_650 * DAY
_SECTIONS: dict[str, tuple[type, dict[str, Callable[[Any], Any]]]] = {
    "lock": (
        LockSettings,
        {
            "idle": _duration(MINUTE, _FOREVER, zero=True),
            "max": _duration(MINUTE, _FOREVER, zero=True),
            "extend": _extend,
        },
    ),
    "serve": (ServeSettings, {"lease": _duration(30 * MINUTE, 12 * HOUR)}),
    "session": (
        SessionSettings,
        {"duration": _duration(30 * MINUTE, 12 * HOUR), "mfa_duration": _duration(HOUR, 36 * HOUR)},
    ),
    "rotation": (
        RotationSettings,
        {
            "max_age": _duration(DAY, _FOREVER),
            "remind_before": _duration(0, _FOREVER),
            "grace": _duration(0, 30 * DAY),
            "soak": _duration(0, 90 * DAY),
            "unused_after": _duration(DAY, _FOREVER),
        },
    ),
    "reminders": (ReminderSettings, {"while_locked": _boolean, "desktop": _boolean}),
    "audit": (AuditSettings, {"fsync": _boolean}),
    "aws": (
        AwsSettings,
        {"endpoint_url": _endpoint, "proxy": _text, "ca_bundle": _absolute, "region": _region},
    ),
}


def parse_settings(text: str) -> Settings:
    """The settings in a config.toml. Raises Usage naming section, key and line."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"line \d+", str(error))
        raise Usage(f"config.toml is not TOML ({where[0] if where else 'at its end'})") from None
    chosen: dict[str, Any] = {}
    for section, values in document.items():
        if section not in _SECTIONS or not isinstance(values, dict):
            raise Usage(
                f"config.toml{_line_of(text, section)}: there is no section [{printable(section)[:40]}]"
            )
        cls, converters = _SECTIONS[section]
        chosen[section] = cls(
            **{key: _convert(text, section, key, value, converters) for key, value in values.items()}
        )
    return Settings(**chosen)


def _convert(
    text: str, section: str, key: str, value: Any, converters: dict[str, Callable[[Any], Any]]
) -> Any:
    where = f"config.toml{_line_of(text, key)}: [{section}] {printable(key)[:40]}"
    if key not in converters:
        raise Usage(f"{where} is no setting; there are {', '.join(converters)}")
    try:
        return converters[key](value)
    except Usage as error:
        raise Usage(f"{where} {error.message}") from None


def _line_of(text: str, word: str) -> str:
    """` line N` of the first line that mentions `word` as a key or a section; tomllib does not tell."""
    pattern = re.compile(rf"^\s*(\[\s*)?[\"']?{re.escape(word)}[\"']?\s*[\].=]")
    numbers = (number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line))
    number = next(numbers, None)
    return f" line {number}" if number else ""


@dataclass(frozen=True, slots=True)
class Unlocked:
    """When the vault was unlocked and last used, in seconds of a clock that counts sleep (CLOCK_BOOTTIME)."""

    since: float
    last_use: float
    only_for: int | None = None  # `unlock --for`: exactly this long, used or not


def lock_due(unlocked: Unlocked, settings: LockSettings) -> float | None:
    """The moment at which the vault locks itself; None for never."""
    if unlocked.only_for is not None:
        return unlocked.since + unlocked.only_for
    limits = []
    if settings.idle:
        limits.append(unlocked.last_use + settings.idle)
    if settings.max:
        limits.append(unlocked.since + settings.max)
    return min(limits, default=None)


def check_only_for(seconds: int, settings: LockSettings) -> None:
    """Raise Usage when `unlock --for` asks for longer than [lock] max allows."""
    if seconds < MINUTE:
        raise Usage("--for must be at least 1 min")
    if settings.max and seconds > settings.max:
        raise Usage(f"--for is longer than [lock] max ({durations.show(settings.max)})")


def guess_delay(failures: int) -> float:
    """Seconds that the next passphrase must wait after `failures` wrong ones: 0.5, 1, 2, 4, 8, then 10.

    The first is free of delay; OpenSSH's agent steps to 10 s as well (ssh-agent.c).
    """
    return 0.0 if failures == 0 else min(10.0, 0.5 * 2 ** (min(failures, 10) - 1))
