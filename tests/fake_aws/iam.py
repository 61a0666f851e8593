# SPDX-License-Identifier: Apache-2.0
"""What IAM may be asked about the life of keys. The users are in `users`."""

from tests.fake_aws.query import Ask, Handler, element, page, stamp, xml
from tests.fake_aws.sigv4 import Rejected
from tests.fake_aws.world import KEYS_PER_USER, AccessKey


def list_access_keys(ask: Ask) -> str:
    listed = ask.world.listed(ask.subject(), ask.now)
    return page(ask, "AccessKeyMetadata", [_metadata(key) for key in listed])


def get_access_key_last_used(ask: Ask) -> str:
    wanted = ask.parameters.get("AccessKeyId", "")
    key, here = ask.world.keys.get(wanted), ask.signed_by.principal
    if key is None or (key.user.account, key.user.partition) != (here.account, here.partition):
        raise Rejected(404, "NoSuchEntity", f"The Access Key with id {wanted} cannot be found.")
    use = ask.world.known_use(key, ask.now)
    told = xml("ServiceName", use.service if use else "N/A") + xml("Region", use.region if use else "N/A")
    when = xml("LastUsedDate", stamp(use.at)) if use else ""  # never used: absent, not null
    return xml("UserName", key.user.name or "") + element("AccessKeyLastUsed", when + told)


def create_access_key(ask: Ask) -> str:
    user = ask.subject()
    if len(ask.world.keys_of(user)) >= KEYS_PER_USER:
        raise Rejected(409, "LimitExceeded", f"Cannot exceed quota for AccessKeysPerUser: {KEYS_PER_USER}")
    key = ask.world.add_key(user, ask.now, access_key_id=None, secret=None)
    key.works_at, key.listed_at = ask.now + ask.world.pace.new_key, ask.now + ask.world.pace.key_list
    ask.made.append(key)
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
    ask.world.delete_key(ask.key(), ask.now)
    return ""


def _metadata(key: AccessKey) -> str:
    return (
        xml("UserName", key.user.name or "")
        + xml("AccessKeyId", key.access_key_id)
        + xml("Status", key.status)
        + xml("CreateDate", stamp(key.created_at))
    )


ACTIONS: dict[str, Handler] = {
    "ListAccessKeys": list_access_keys,
    "GetAccessKeyLastUsed": get_access_key_last_used,
    "CreateAccessKey": create_access_key,
    "UpdateAccessKey": update_access_key,
    "DeleteAccessKey": delete_access_key,
}
