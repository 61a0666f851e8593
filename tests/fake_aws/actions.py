# SPDX-License-Identifier: Apache-2.0
"""All that may be asked, of which service; the envelope of an answer."""

from tests.fake_aws import iam, rights, rpc, sts, trail, users
from tests.fake_aws.query import NAMESPACE, Ask, Handler, Service, element, xml
from tests.fake_aws.sigv4 import Rejected


def perform(ask: Ask) -> str:
    """The result's XML, or CloudTrail's JSON. Raises Rejected for what this caller may not do."""
    service, handler = TABLE[ask.action]
    rights.check(ask, service)
    return handler(ask)


def lookup_events(ask: Ask) -> str:
    """Of the region that was asked: where IAM is not, there are none of its events."""
    here, pace = ask.signed_by.principal, ask.world.pace
    seen = [
        event
        for event in ask.world.events
        if (event.account, event.partition, event.region) == (here.account, here.partition, ask.region)
        and event.at + pace.trail <= ask.now
    ]
    try:
        return trail.lookup(seen, ask.parameters, ask.now, pace.page_size)
    except trail.BadLookup as error:
        raise Rejected(400, error.code, str(error)) from None


TABLE: dict[str, tuple[Service, Handler]] = {
    **{name: ("sts", handler) for name, handler in sts.ACTIONS.items()},
    **{name: ("iam", handler) for name, handler in (iam.ACTIONS | users.ACTIONS).items()},
    "LookupEvents": ("cloudtrail", lookup_events),
}


def reply(name: str, result: str, request_id: str) -> str:
    service = TABLE[name][0]
    if service == "cloudtrail":
        return result
    inside = f"<{name}Result>{result}</{name}Result>" if result else ""
    metadata = element("ResponseMetadata", xml("RequestId", request_id))
    return f'<{name}Response xmlns="{NAMESPACE[service]}">\n{inside}{metadata}</{name}Response>\n'


def error_reply(service: str, error: Rejected, request_id: str) -> str:
    if service == "cloudtrail":
        return rpc.error(error)
    kind = "Sender" if error.status < 500 else "Receiver"
    inside = element("Error", xml("Type", kind) + xml("Code", error.code) + xml("Message", error.message))
    namespace = NAMESPACE.get(service, NAMESPACE["sts"])
    return f'<ErrorResponse xmlns="{namespace}">\n{inside}{xml("RequestId", request_id)}</ErrorResponse>\n'
