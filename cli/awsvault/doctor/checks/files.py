# SPDX-License-Identifier: Apache-2.0
"""~/.aws/config and ~/.aws/credentials as files: can they be read, by us and by those that are strict?"""

from collections.abc import Iterator

from awsvault.doctor.findings import Check, Finding, problem, shown
from awsvault.doctor.machine import AwsText, Machine
from awsvault.doctor.survey import Defect

DEFECTS_SHOWN = 20  # of one file: a picture in its place has thousands


def _both(machine: Machine) -> tuple[AwsText, AwsText]:
    return machine.config, machine.credentials


def readable(machine: Machine) -> Iterator[Finding]:
    for file in _both(machine):
        if file.trouble:
            mend = f"look at it: ls -ld {file.path}"
            yield problem(f"it {file.trouble}: every tool goes without it", mend, file=file.path)


def encoding(machine: Machine) -> Iterator[Finding]:
    for file in _both(machine):
        if file.not_utf8 is not None:
            yield problem(
                "bytes that are not UTF-8: boto3 and the aws command then refuse the whole file",
                "write that line in UTF-8",
                file=file.path,
                line=file.not_utf8,
            )


def well_formed(machine: Machine) -> Iterator[Finding]:
    for file in _both(machine):
        found = [it for it in file.survey.defects if it.fault in ("no setting", "byte order mark")]
        for defect in found[:DEFECTS_SHOWN]:
            yield problem(_malformed(defect), _mend_malformed(defect), file=file.path, line=defect.line)
        if len(found) > DEFECTS_SHOWN:
            more = f"and {len(found) - DEFECTS_SHOWN} more lines like that"
            yield problem(more, "see whether this is the file that it should be", file=file.path)


def _malformed(defect: Defect) -> str:
    if defect.fault == "byte order mark":
        return "it begins with a byte order mark, for which boto3 and the aws command refuse the whole file"
    return "neither a [section] nor a setting: boto3 and the aws command refuse the whole file for it"


def _mend_malformed(defect: Defect) -> str:
    return "save it as UTF-8 without one" if defect.fault == "byte order mark" else "mend or remove that line"


def unique(machine: Machine) -> Iterator[Finding]:
    for file in _both(machine):
        found = [it for it in file.survey.defects if it.fault in ("second section", "second setting")]
        for defect in found[:DEFECTS_SHOWN]:
            thing = f"[{shown(defect.name)}]" if defect.fault == "second section" else shown(defect.name)
            yield problem(
                f"a second {thing}: boto3 and the aws command refuse the whole file, every profile of it",
                "remove one of the two",
                file=file.path,
                line=defect.line,
            )
        if len(found) > DEFECTS_SHOWN:
            yield problem(f"and {len(found) - DEFECTS_SHOWN} more", "remove one of each two", file=file.path)


CHECKS = (
    Check("files-readable", "can the files of AWS be read", readable),
    Check("files-encoding", "are they text in UTF-8", encoding),
    Check("files-form", "is every line of them a section or a setting", well_formed),
    Check("files-duplicates", "does every section and setting stand there once", unique),
)
