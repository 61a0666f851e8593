# SPDX-License-Identifier: Apache-2.0
"""vaultd: one of it, of this version, where the hooks look for it, with a way to AWS and a clock that is right."""

from collections.abc import Iterator

from awsvault.doctor.findings import Check, Finding, problem, warning
from awsvault.doctor.machine import Machine, Unit

RESTART = "run: awsvault daemon restart"
#: AWS refuses signatures that are 5 minutes off (some services 15); what drifts that far has passed this before.
CLOCK_S = 60
CLOCK_REFUSED_S = 240


def socket(machine: Machine) -> Iterator[Finding]:
    if machine.socket_trouble:
        yield problem(machine.socket_trouble, "choose a shorter AWSVAULT_HOME")


def single(machine: Machine) -> Iterator[Finding]:
    """The lock's holder and whoever answers on the sockets are one process."""
    daemon = machine.daemon
    pids = {it.status["pid"]: it.directory for it in daemon.answerers if it.status}
    for pid, directory in list(pids.items())[1:]:
        yield problem(
            f"a second vaultd (pid {pid}) answers in {directory}", f"run: kill {pid}", file=directory
        )
    if pids and daemon.holder not in (None, *pids):
        yield problem(
            f"pid {next(iter(pids))} answers, and pid {daemon.holder} holds the vault's lock",
            f"run: kill {daemon.holder}",
        )
    if not pids and daemon.holder is not None:
        yield problem(f"vaultd (pid {daemon.holder}) holds the vault and answers nobody", RESTART)


def reachable(machine: Machine) -> Iterator[Finding]:
    """It listens in the place that is looked at first, and nothing keeps clients from it."""
    answerers = machine.daemon.answerers
    for answerer in answerers:
        if answerer.code in ("refused", "daemon-hung"):
            yield problem(answerer.line, RESTART, file=answerer.directory)
    first = next((it for it in answerers if it.status), None)
    if first and first is not answerers[0]:
        yield warning(
            f"vaultd listens in {first.directory}, and every request looks into {answerers[0].directory} first",
            RESTART,
        )


def version(machine: Machine) -> Iterator[Finding]:
    for answerer in machine.daemon.answerers:
        if answerer.code == "protocol-mismatch":
            yield problem(answerer.line, RESTART)
        elif answerer.status and answerer.status["version"] != machine.daemon.version:
            ours = machine.daemon.version
            yield warning(f"vaultd is version {answerer.status['version']}, and this command {ours}", RESTART)


def warnings(machine: Machine) -> Iterator[Finding]:
    for text in machine.daemon.status["warnings"] if machine.daemon.status else ():
        yield problem(str(text), "run: awsvault status")


def aws(machine: Machine) -> Iterator[Finding]:
    if machine.probe and machine.probe.line:
        yield problem(machine.probe.line, "mend the network, or [aws] in config.toml")


def clock(machine: Machine) -> Iterator[Finding]:
    probe = machine.probe
    if probe is None or probe.line or abs(probe.clock_error_s) <= CLOCK_S:
        return
    by = f"{abs(probe.clock_error_s)} s {'ahead of' if probe.clock_error_s > 0 else 'behind'} {probe.host}"
    is_refused = abs(probe.clock_error_s) > CLOCK_REFUSED_S
    make = problem if is_refused else warning
    yield make(f"this machine's clock is {by}; AWS refuses signatures that are off by 300 s", "set the clock")


def units(machine: Machine) -> Iterator[Finding]:
    installed = [unit for unit in machine.units if unit.is_installed]
    for unit in machine.units:
        if installed and not unit.is_installed:
            yield problem(_missing(unit), "run: awsvault daemon install", file=unit.path)
        elif unit.is_installed and not unit.is_as_rendered:
            yield warning(
                "it is not what this version installs: another program, or older settings",
                "run: awsvault daemon install",
                file=unit.path,
            )


def _missing(unit: Unit) -> str:
    return f"{unit.path.rpartition('/')[2]} is missing, and its other half is installed"


CHECKS = (
    Check("daemon-socket", "can the socket have its path", socket),
    Check("daemon-single", "is there one vaultd", single),
    Check("daemon-reachable", "do the hooks find it", reachable),
    Check("daemon-version", "are vaultd and this command of one version", version),
    Check("daemon-warnings", "does vaultd warn of anything", warnings),
    Check("daemon-units", "are the systemd units those of this version", units),
    Check("aws-reachable", "does AWS's STS answer", aws, wants_vault=True),
    Check("clock", "does this machine's clock agree with AWS's", clock, wants_vault=True),
)
