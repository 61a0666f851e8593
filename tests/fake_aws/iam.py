# SPDX-License-Identifier: Apache-2.0
"""What IAM may be asked: a user, and the life of keys."""

from tests.fake_aws.query import Ask, Handler, element, stamp, xml
from tests.fake_aws.sigv4 import Rejected
from tests.fake_aws.world import KEYS_PER_USER, AccessKey


def get_user(ask: Ask) -> str:
    user = ask.subject()
    name = xml("UserName", user.name) if user.name else ""
    rest = xml("UserId", user.user_id) + xml("Arn", user.arn) + xml("CreateDate", stamp(user.created_at))
    return element("User", xml("Path", user.path) + name + rest)


def list_access_keys(ask: Ask) -> str:
    user = ask.subject()
    members = "".join(element("member", _metadata(key)) for key in ask.world.keys_of(user))
    return element("AccessKeyMetadata", members) + xml("IsTruncated", "false")


def get_access_key_last_used(ask: Ask) -> str:
    wanted = ask.parameters.get("AccessKeyId", "")
    key, here = ask.world.keys.get(wanted), ask.signed_by.principal
    if key is None or (key.user.account, key.user.partition) != (here.account, here.partition):
        raise Rejected(404, "NoSuchEntity", f"The Access Key with id {wanted} cannot be found.")
    use = key.last_use
    told = xml("ServiceName", use.service if use else "N/A") + xml("Region", use.region if use else "N/A")
    when = xml("LastUsedDate", stamp(use.at)) if use else ""  # never used: absent, not null
    return xml("UserName", key.user.name or "") + element("AccessKeyLastUsed", when + told)


def create_access_key(ask: Ask) -> str:
    user = ask.subject()
    if len(ask.world.keys_of(user)) >= KEYS_PER_USER:
        raise Rejected(409, "LimitExceeded", f"Cannot exceed quota for AccessKeysPerUser: {KEYS_PER_USER}")
    key = ask.world.add_key(user, ask.now, access_key_id=None, secret=None)
    return element("AccessKey", _metadata(key) + xml("SecretAccessKey", key.secret))


def update_access_key(ask: Ask) -> str:
    status = ask.parameters.get("Status", "")
    if status not in ("Active", "Inactive"):
        raise Rejected(
            400, "ValidationError", "Value at 'status' failed to satisfy constraint: [Active, Inactive]"
        )
    ask.key().status = status
    return ""


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


ACTIONS: dict[str, Handler] = {
    "GetUser": get_user,
    "ListAccessKeys": list_access_keys,
    "GetAccessKeyLastUsed": get_access_key_last_used,
    "CreateAccessKey": create_access_key,
    "UpdateAccessKey": update_access_key,
    "DeleteAccessKey": delete_access_key,
}
