# SPDX-License-Identifier: Apache-2.0
"""All that may be asked, of which service, and by whose credentials at all; the envelope of an answer."""

from tests.fake_aws import iam, sts
from tests.fake_aws.query import NAMESPACE, Ask, Handler, Service, denial, element, xml
from tests.fake_aws.sigv4 import Rejected
from tests.fake_aws.world import IssuedSession

TABLE: dict[str, tuple[Service, Handler]] = {
    **{name: ("sts", handler) for name, handler in sts.ACTIONS.items()},
    **{name: ("iam", handler) for name, handler in iam.ACTIONS.items()},
}


def perform(ask: Ask) -> str:
    """The result's XML. Raises Rejected for what this caller may not do."""
    service, handler = TABLE[ask.action]
    if isinstance(ask.signed_by, IssuedSession):
        _check_session(service, ask, ask.signed_by)
    name = f"{service}:{ask.action}"
    if name in ask.signed_by.principal.denied:
        raise denial(
            ask, name, _resource(service, ask), f"because no identity-based policy allows the {name} action"
        )
    return handler(ask)


def _check_session(service: Service, ask: Ask, session: IssuedSession) -> None:
    """What is closed to a session whatever its rights: IAM without MFA, and most of STS. A role's may ask anything."""
    if session.kind == "role":
        return
    if service == "iam":
        if not session.mfa:
            raise invalid_token()
    elif session.kind == "federated" and ask.action != "GetCallerIdentity":
        raise denial(ask, f"sts:{ask.action}", _resource(service, ask))


def invalid_token() -> Rejected:
    return Rejected(403, "InvalidClientTokenId", "The security token included in the request is invalid.")


def _resource(service: Service, ask: Ask) -> str:
    if service == "iam":
        return f"user {ask.signed_by.user.name}"
    return ask.parameters.get("RoleArn", ask.signed_by.arn)


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
