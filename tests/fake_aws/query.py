# SPDX-License-Identifier: Apache-2.0
"""The Query protocol: an authenticated request as actions see it, its lists, and the XML that answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from xml.sax.saxutils import escape

from tests.fake_aws.sigv4 import Rejected
from tests.fake_aws.world import AccessKey, Signer, User, World

Service = Literal["sts", "iam", "cloudtrail"]
NAMESPACE = {
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One authenticated request: who asks, when, for what."""

    world: World
    now: datetime
    action: str
    signed_by: Signer
    parameters: Mapping[str, str]
    region: str
    made: list[AccessKey] = field(default_factory=list)  # keys that the call made, for the books

    def subject(self) -> User:
        """The user that UserName names; the caller when it is absent."""
        name = self.parameters.get("UserName")
        principal = self.signed_by.principal
        if name is None and isinstance(principal, User):
            return principal
        if name is None:
            raise Rejected(
                400, "ValidationError", "Must specify userName when calling with non-User credentials"
            )
        found = self.world.user_named(name, principal)
        if found is None:
            raise Rejected(404, "NoSuchEntity", f"The user with name {name} cannot be found.")
        return found

    def key(self) -> AccessKey:
        """The subject's key that AccessKeyId names."""
        wanted = self.parameters.get("AccessKeyId", "")
        found = self.world.keys.get(wanted)
        if found is None or found.user is not self.subject():
            raise Rejected(404, "NoSuchEntity", f"The Access Key with id {wanted} cannot be found.")
        return found


Handler = Callable[[Ask], str]


def page(ask: Ask, name: str, members: list[str]) -> str:
    """A part of a list as IAM gives it out, and where the next one begins."""
    begin, most = ask.parameters.get("Marker", "0"), ask.parameters.get("MaxItems", "100")
    if not (begin.isdecimal() and most.isdecimal() and 1 <= int(most) <= 1000):
        raise Rejected(400, "ValidationError", "Invalid Marker or MaxItems.")
    end = int(begin) + min(int(most), ask.world.pace.page_size)
    told = element(name, "".join(element("member", member) for member in members[int(begin) : end]))
    more = xml("Marker", str(end)) if end < len(members) else ""
    return told + xml("IsTruncated", "true" if more else "false") + more


def members(parameters: Mapping[str, str], name: str) -> list[str]:
    """The values of `NAME.member.1`, `NAME.member.2` and so on."""
    found: list[str] = []
    while (value := parameters.get(f"{name}.member.{len(found) + 1}")) is not None:
        found.append(value)
    return found


def tags(parameters: Mapping[str, str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while (key := parameters.get(f"Tags.member.{len(found) + 1}.Key")) is not None:
        found.append((key, parameters.get(f"Tags.member.{len(found) + 1}.Value", "")))
    return found


def policy_arns(parameters: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    while (arn := parameters.get(f"PolicyArns.member.{len(found) + 1}.arn")) is not None:
        found.append(arn)
    return found


def denial(ask: Ask, permission: str, resource: str, reason: str = "") -> Rejected:
    """AccessDenied, in AWS's words."""
    who = f"User: {ask.signed_by.arn} is not authorized to perform: {permission}"
    return Rejected(403, "AccessDenied", f"{who} on resource: {resource}{reason and f' {reason}'}")


def element(name: str, inside: str) -> str:
    return f"<{name}>{inside}</{name}>\n"


def xml(name: str, text: str) -> str:
    return element(name, escape(text))


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
