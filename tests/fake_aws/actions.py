# SPDX-License-Identifier: Apache-2.0
"""What may be asked, of whom, and the XML that answers. One function an action, in one table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from xml.sax.saxutils import escape

from tests.fake_aws.sigv4 import Rejected
from tests.fake_aws.world import KEYS_PER_USER, AccessKey, IssuedSession, User, World

Service = Literal["sts", "iam"]
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
    user: User
    signed_by: AccessKey | IssuedSession
    parameters: Mapping[str, str]

    def subject(self) -> User:
        """The user that UserName names; the caller when it is absent."""
        name = self.parameters.get("UserName")
        if name is None:
            return self.user
        found = self.world.user_named(name, self.user)
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
TABLE: dict[str, tuple[Service, Handler]] = {}


def action(service: Service, name: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        TABLE[name] = (service, handler)
        return handler

    return register


def perform(ask: Ask) -> str:
    """The result's XML. Raises Rejected for what this caller may not do."""
    service, handler = TABLE[ask.action]
    _check_session(ask)
    name = f"{service}:{ask.action}"
    if name in ask.user.denied:
        raise Rejected(
            403,
            "AccessDenied",
            f"User: {ask.user.arn} is not authorized to perform: {name} on resource: {_resource(ask)} "
            f"because no identity-based policy allows the {name} action",
        )
    return handler(ask)


def _check_session(ask: Ask) -> None:
    """A session without MFA is unknown to IAM, and to all of STS but these."""
    if isinstance(ask.signed_by, AccessKey) or ask.signed_by.mfa:
        return
    if ask.action not in ("GetCallerIdentity", "AssumeRole", "GetSessionToken"):
        raise invalid_token()


def invalid_token() -> Rejected:
    return Rejected(403, "InvalidClientTokenId", "The security token included in the request is invalid.")


def _resource(ask: Ask) -> str:
    return f"user {ask.user.name}" if ask.action in TABLE and TABLE[ask.action][0] == "iam" else ask.user.arn


@action("sts", "GetCallerIdentity")
def get_caller_identity(ask: Ask) -> str:
    return xml("Arn", ask.user.arn) + xml("UserId", ask.user.user_id) + xml("Account", ask.user.account)


@action("sts", "GetSessionToken")
def get_session_token(ask: Ask) -> str:
    if not isinstance(ask.signed_by, AccessKey):
        raise Rejected(403, "AccessDenied", "Cannot call GetSessionToken with session credentials")
    if "SerialNumber" in ask.parameters or "TokenCode" in ask.parameters:
        raise Rejected(
            403, "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code. "
        )
    seconds = int(ask.parameters.get("DurationSeconds", 43200))
    if not 900 <= seconds <= 129600:
        bound = "greater than or equal to 900" if seconds < 900 else "less than or equal to 129600"
        raise Rejected(
            400,
            "ValidationError",
            f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: "
            f"Member must have value {bound}",
        )
    if ask.user.name is None:
        seconds = min(seconds, 3600)  # root sessions live an hour, whatever was asked
    made = ask.world.add_session(ask.signed_by, ask.now, length=timedelta(seconds=seconds), mfa=False)
    return element("Credentials", _credentials(made))


def _credentials(made: IssuedSession) -> str:
    return (
        xml("AccessKeyId", made.access_key_id)
        + xml("SecretAccessKey", made.secret)
        + xml("SessionToken", made.token)
        + xml("Expiration", stamp(made.expires_at))
    )


@action("iam", "GetUser")
def get_user(ask: Ask) -> str:
    user = ask.subject()
    name = xml("UserName", user.name) if user.name else ""
    rest = xml("UserId", user.user_id) + xml("Arn", user.arn) + xml("CreateDate", stamp(user.created_at))
    return element("User", xml("Path", user.path) + name + rest)


@action("iam", "ListAccessKeys")
def list_access_keys(ask: Ask) -> str:
    user = ask.subject()
    members = "".join(element("member", _metadata(key)) for key in ask.world.keys_of(user))
    return element("AccessKeyMetadata", members) + xml("IsTruncated", "false")


@action("iam", "GetAccessKeyLastUsed")
def get_access_key_last_used(ask: Ask) -> str:
    wanted = ask.parameters.get("AccessKeyId", "")
    key = ask.world.keys.get(wanted)
    if key is None or (key.user.account, key.user.partition) != (ask.user.account, ask.user.partition):
        raise Rejected(404, "NoSuchEntity", f"The Access Key with id {wanted} cannot be found.")
    use = key.last_use
    told = xml("ServiceName", use.service if use else "N/A") + xml("Region", use.region if use else "N/A")
    when = xml("LastUsedDate", stamp(use.at)) if use else ""  # never used: absent, not null
    return xml("UserName", key.user.name or "") + element("AccessKeyLastUsed", when + told)


@action("iam", "CreateAccessKey")
def create_access_key(ask: Ask) -> str:
    user = ask.subject()
    if len(ask.world.keys_of(user)) >= KEYS_PER_USER:
        raise Rejected(409, "LimitExceeded", f"Cannot exceed quota for AccessKeysPerUser: {KEYS_PER_USER}")
    key = ask.world.add_key(user, ask.now, access_key_id=None, secret=None)
    return element("AccessKey", _metadata(key) + xml("SecretAccessKey", key.secret))


@action("iam", "UpdateAccessKey")
def update_access_key(ask: Ask) -> str:
    status = ask.parameters.get("Status", "")
    if status not in ("Active", "Inactive"):
        raise Rejected(
            400, "ValidationError", "Value at 'status' failed to satisfy constraint: [Active, Inactive]"
        )
    ask.key().status = status
    return ""


@action("iam", "DeleteAccessKey")
def delete_access_key(ask: Ask) -> str:
    del ask.world.keys[ask.key().access_key_id]
    return ""


def _metadata(key: AccessKey) -> str:
    return (
        xml("UserName", key.user.name or "")
        + xml("AccessKeyId", key.access_key_id)
        + xml("Status", key.status)
        + xml("CreateDate", stamp(key.created_at))
    )


def reply(name: str, result: str, request_id: str) -> str:
    service = TABLE[name][0]
    inside = f"<{name}Result>{result}</{name}Result>" if result else ""
    metadata = element("ResponseMetadata", xml("RequestId", request_id))
    return f'<{name}Response xmlns="{NAMESPACE[service]}">\n{inside}{metadata}</{name}Response>\n'


def error_reply(service: str, error: Rejected, request_id: str) -> str:
    kind = "Sender" if error.status < 500 else "Receiver"
    inside = element("Error", xml("Type", kind) + xml("Code", error.code) + xml("Message", error.message))
    namespace = NAMESPACE.get(service, NAMESPACE["sts"])
    return f'<ErrorResponse xmlns="{namespace}">\n{inside}{xml("RequestId", request_id)}</ErrorResponse>\n'


def element(name: str, inside: str) -> str:
    return f"<{name}>{inside}</{name}>\n"


def xml(name: str, text: str) -> str:
    return element(name, escape(text))


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
