# SPDX-License-Identifier: Apache-2.0
"""Settings are exactly what was written or refused by line; locks and guesses follow their own clock."""

import pytest

from vaultd.core import policy
from vaultd.core.policy import LockSettings, Settings, Unlocked, guess_delay, lock_due, parse_settings
from vaultd.wire.errors import Usage

HOUR = 3_600


def test_an_empty_file_means_the_documented_defaults() -> None:
    settings = parse_settings("")
    assert Settings() == settings
    assert (HOUR, 12 * HOUR, "any") == (settings.lock.idle, settings.lock.max, settings.lock.extend)
    assert 4 * HOUR == settings.session.for_keys
    assert 90 * 86_400 == settings.rotation.max_age


def test_every_setting_of_the_design_can_be_set() -> None:
    settings = parse_settings(
        """
        [lock]
        idle = "30m"
        max = "0s"
        extend = "person"
        [serve]
        lease = "12h"
        [session]
        duration = "30m"
        mfa_duration = "36h"
        [rotation]
        max_age = "30d"
        remind_before = "7d"
        grace = "0s"
        soak = "0s"
        unused_after = "20d"
        [reminders]
        while_locked = false
        desktop = false
        [audit]
        fsync = false
        [aws]
        endpoint_url = "http://127.0.0.1:5000"
        proxy = "http://proxy.example:3128"
        ca_bundle = "/etc/ssl/corporate.pem"
        region = "us-gov-west-1"
        """
    )
    assert LockSettings(1_800, 0, "person") == settings.lock
    assert (0, 0) == (settings.rotation.grace, settings.rotation.soak)
    assert settings.aws.endpoint_url == "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[lock]\nidel = '5m'", "config.toml line 2: [lock] idel is no setting; there are idle, max, extend"),
        ("\n[lok]\nidle = '5m'", "config.toml line 2: there is no section [lok]"),
        ("idle = '5m'", "config.toml line 1: there is no section [idle]"),
        ("[lock]\nidle = 5", "config.toml line 2: [lock] idle must be a length of time like 15m, 12h or 90d"),
        ("[lock]\nidle = '59s'", "config.toml line 2: [lock] idle must be between 1 min and 3650 days"),
        ("[serve]\nlease = '29m'", "config.toml line 2: [serve] lease must be between 30 min and 12 h"),
        ("[serve]\nlease = '13h'", "config.toml line 2: [serve] lease must be between 30 min and 12 h"),
        ("[lock]\nextend = 'all'", 'config.toml line 2: [lock] extend must be "any" or "person"'),
        ("[reminders]\ndesktop = 1", "config.toml line 2: [reminders] desktop must be true or false"),
        (
            "[aws]\nregion = 'eu central'",
            'config.toml line 2: [aws] region must be a region like "eu-central-1"',
        ),
        ("[aws]\nca_bundle = 'a.pem'", "config.toml line 2: [aws] ca_bundle must be an absolute path"),
        ("[lock\n", "config.toml is not TOML (line 1)"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(Usage) as caught:
        parse_settings(text)
    assert message == caught.value.message


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://sts.example.com", True),
        ("http://127.0.0.1:5000", True),
        ("http://[::1]:5000", True),
        ("http://localhost:5000", True),
        ("http://sts.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost@example.com", False),
        ("ftp://127.0.0.1", False),
        ("https://", False),
    ],
)
def test_plain_http_goes_to_loopback_only(url: str, *, allowed: bool) -> None:
    if allowed:
        assert url == parse_settings(f"[aws]\nendpoint_url = '{url}'").aws.endpoint_url
        return
    with pytest.raises(Usage):
        parse_settings(f"[aws]\nendpoint_url = '{url}'")


def test_the_guarded_hash_moves_with_where_secrets_go_and_with_nothing_else() -> None:
    usual = Settings().guarded_hash()
    for guarded in ("[aws]\nregion = 'eu-west-1'", "[lock]\nidle = '2h'", "[audit]\nfsync = false"):
        assert usual != parse_settings(guarded).guarded_hash()
    for free in ("[serve]\nlease = '2h'", "[rotation]\nmax_age = '30d'", "[reminders]\ndesktop = false"):
        assert usual == parse_settings(free).guarded_hash()


def test_a_reload_leaves_the_guarded_sections_alone() -> None:
    """SIGHUP must not do what only a person may confirm."""
    now = parse_settings("[lock]\nidle = '5m'")
    written = parse_settings(
        "[lock]\nidle = '0s'\n[aws]\nendpoint_url = 'https://evil.example'\n[serve]\nlease = '2h'"
    )
    merged = now.with_unguarded(written)
    assert (now.lock, now.aws, 2 * HOUR) == (merged.lock, merged.aws, merged.serve.lease)


@pytest.mark.parametrize(
    ("unlocked", "settings", "due"),
    [
        (Unlocked(100, 100), LockSettings(), 100 + HOUR),
        (Unlocked(100, 4_000), LockSettings(), 4_000 + HOUR),
        (Unlocked(0, 12 * HOUR - 60), LockSettings(), 12 * HOUR),
        (Unlocked(0, 50 * HOUR), LockSettings(idle=0), 12 * HOUR),
        (Unlocked(0, 50 * HOUR), LockSettings(max=0), 51 * HOUR),
        (Unlocked(0, 50 * HOUR), LockSettings(idle=0, max=0), None),
        (Unlocked(0, 0, 1_800), LockSettings(), 1_800),
        (Unlocked(0, 7_000, 2 * HOUR), LockSettings(), 2 * HOUR),
        (Unlocked(0, 0, 60), LockSettings(idle=0, max=0), 60),
    ],
)
def test_the_lock_falls_at_the_first_of_its_limits(
    unlocked: Unlocked, settings: LockSettings, due: float | None
) -> None:
    assert due == lock_due(unlocked, settings)


@pytest.mark.parametrize(
    ("seconds", "fine"), [(59, False), (60, True), (12 * HOUR, True), (12 * HOUR + 1, False)]
)
def test_unlock_for_stays_within_the_maximum(seconds: int, *, fine: bool) -> None:
    if fine:
        policy.check_only_for(seconds, LockSettings())
        return
    with pytest.raises(Usage):
        policy.check_only_for(seconds, LockSettings())


def test_guesses_get_slower_up_to_ten_seconds() -> None:
    assert [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0] == [guess_delay(n) for n in range(8)]
    assert guess_delay(10**9) == 10.0
