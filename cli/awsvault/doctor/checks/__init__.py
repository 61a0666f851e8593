# SPDX-License-Identifier: Apache-2.0
"""All checks, in the order in which a person should hear of them: what breaks everything first."""

from awsvault.doctor.checks import (
    answers,
    daemon,
    files,
    hooks,
    places,
    remains,
    rivals,
    surroundings,
    vault,
)

CHECKS = (
    *daemon.CHECKS,
    *files.CHECKS,
    *rivals.CHECKS,
    *hooks.CHECKS,
    *surroundings.CHECKS,
    *vault.CHECKS,
    *answers.CHECKS,
    *places.CHECKS,
    *remains.CHECKS,
)
