# SPDX-License-Identifier: Apache-2.0
"""What IAM may be asked about a user: itself, its tags, and the policies on it."""

import re

from tests.fake_aws import policies
from tests.fake_aws.query import Ask, Handler, element, page, stamp, tags, xml
from tests.fake_aws.sigv4 import Rejected
from tests.fake_aws.world import User

MAX_TAGS = 50

_TAG_TEXT = re.compile(r"[\w\s.:/=+\-@]*\Z")
_POLICY_NAME = re.compile(r"[\w+=,.@-]{1,128}\Z", re.ASCII)


def get_user(ask: Ask) -> str:
    user = ask.subject()
    name = xml("UserName", user.name) if user.name else ""
    rest = xml("UserId", user.user_id) + xml("Arn", user.arn) + xml("CreateDate", stamp(user.created_at))
    return element("User", xml("Path", user.path) + name + rest)


def delete_user(ask: Ask) -> str:
    """Only a user with nothing left."""
    user = _named(ask)
    _conflict(bool(ask.world.keys_of(user)), "must delete access keys first")
    _conflict(bool(user.policies), "must delete policies first")
    _conflict(bool(user.attached), "must detach all policies first")
    _conflict(any(owner is user for _, owner in ask.world.devices.values()), "must delete MFA device first")
    ask.world.delete_user(user, ask.now)
    return ""


def list_user_tags(ask: Ask) -> str:
    told = [xml("Key", key) + xml("Value", value) for key, value in sorted(_named(ask).tags.items())]
    return page(ask, "Tags", told)


def tag_user(ask: Ask) -> str:
    user, given = _named(ask), tags(ask.parameters)
    for key, value in given:
        is_text = _TAG_TEXT.match(key) and _TAG_TEXT.match(value)
        if not (is_text and 1 <= len(key) <= 128 and len(value) <= 256) or key.lower().startswith("aws:"):
            raise Rejected(400, "InvalidInput", "A tag key or value is not valid.")
    if not given or len({key.lower() for key, _ in given}) < len(given):
        raise Rejected(400, "InvalidInput", "Tag keys must be given, each once.")
    after = {
        key: value for key, value in user.tags.items() if key.lower() not in {k.lower() for k, _ in given}
    }
    after |= dict(given)
    if len(after) > MAX_TAGS:
        raise Rejected(
            409, "LimitExceeded", f"The number of tags has reached the maximum limit of {MAX_TAGS}."
        )
    user.tags = after
    return ""


def put_user_policy(ask: Ask) -> str:
    user, name = _named(ask), ask.parameters.get("PolicyName", "")
    document = ask.parameters.get("PolicyDocument", "")
    if not _POLICY_NAME.match(name):
        raise Rejected(400, "ValidationError", "Value at 'policyName' failed to satisfy constraint.")
    policies.check(document)
    after = user.policies | {name: document}
    if sum(len("".join(text.split())) for text in after.values()) > policies.MAX_INLINE:
        size = f"Maximum policy size of {policies.MAX_INLINE} bytes exceeded for user {user.name}"
        raise Rejected(409, "LimitExceeded", size)
    user.policies = after
    return ""


def delete_user_policy(ask: Ask) -> str:
    user, name = _named(ask), ask.parameters.get("PolicyName", "")
    if name not in user.policies:
        raise Rejected(404, "NoSuchEntity", f"The user policy with name {name} cannot be found.")
    del user.policies[name]
    return ""


def list_attached_user_policies(ask: Ask) -> str:
    told = [
        xml("PolicyName", arn.rpartition("/")[2]) + xml("PolicyArn", arn)
        for arn in sorted(_named(ask).attached)
    ]
    return page(ask, "AttachedPolicies", told)


def _named(ask: Ask) -> User:
    """These calls must name their user."""
    if "UserName" not in ask.parameters:
        raise Rejected(400, "ValidationError", "Value null at 'userName' failed to satisfy constraint.")
    return ask.subject()


def _conflict(is_one: bool, what: str) -> None:
    if is_one:
        raise Rejected(409, "DeleteConflict", f"Cannot delete entity, {what}.")


ACTIONS: dict[str, Handler] = {
    "GetUser": get_user,
    "DeleteUser": delete_user,
    "ListUserTags": list_user_tags,
    "TagUser": tag_user,
    "PutUserPolicy": put_user_policy,
    "DeleteUserPolicy": delete_user_policy,
    "ListAttachedUserPolicies": list_attached_user_policies,
}
