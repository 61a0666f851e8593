# SPDX-License-Identifier: Apache-2.0
"""What a program's environment says about AWS: the credentials of one profile, and nothing that would beat them.

Names and values only: it must not know where they come from (lending.py) or who gets them (commands exec and env).
"""

from collections.abc import Mapping

#: Set in what `exec` runs, so that a second `exec` inside is noticed.
MARKER = "AWSVAULT_PROFILE"

#: Each of these makes some SDK take other credentials, or these with a wrong token, date or account.
CONFLICTING = tuple(
    "AWS_PROFILE AWS_DEFAULT_PROFILE AWS_ACCESS_KEY_ID AWS_ACCESS_KEY AWS_SECRET_ACCESS_KEY AWS_SECRET_KEY "
    "AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_CREDENTIAL_EXPIRATION AWS_SESSION_EXPIRATION AWS_ACCOUNT_ID "
    "AWS_CREDENTIAL_SCOPE AWS_CREDENTIAL_FILE AWS_WEB_IDENTITY_TOKEN_FILE AWS_CONTAINER_CREDENTIALS_RELATIVE_URI "
    "AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_AUTHORIZATION_TOKEN "
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE".split()
)
_PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
_NO_PROXY = ("no_proxy", "NO_PROXY")
_LOOPBACK = ("127.0.0.1", "localhost")


def of_credentials(document: Mapping[str, str], region: str | None) -> dict[str, str]:
    """The variables for credentials as `get` answers them.

    A key that is handed out itself gets no end: botocore would stop at it, and the key goes on working.
    """
    found = {
        "AWS_ACCESS_KEY_ID": document["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": document["SecretAccessKey"],
    }
    if "SessionToken" in document:
        found["AWS_SESSION_TOKEN"] = document["SessionToken"]
        found["AWS_CREDENTIAL_EXPIRATION"] = document["Expiration"]
    if "AccountId" in document:
        found["AWS_ACCOUNT_ID"] = document["AccountId"]
    return found | of_region(region)


def of_endpoint(url: str, token: str, region: str | None) -> dict[str, str]:
    """The variables for the container endpoint (C3, C4). Without IMDS, a failure does not end in its time-outs."""
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": url,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
        "AWS_EC2_METADATA_DISABLED": "true",
    } | of_region(region)


def of_region(region: str | None) -> dict[str, str]:
    """Both names: each is the only one that some SDK reads."""
    return {"AWS_REGION": region, "AWS_DEFAULT_REGION": region} if region else {}


def for_program(inherited: Mapping[str, str], profile: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a program that runs with `variables`."""
    kept = {name: value for name, value in inherited.items() if name not in CONFLICTING}
    if "AWS_CONTAINER_CREDENTIALS_FULL_URI" in variables:
        kept |= _past_proxies(inherited)
    return {**kept, **variables, MARKER: profile}


def _past_proxies(inherited: Mapping[str, str]) -> dict[str, str]:
    """Some HTTP libraries would ask a proxy for 127.0.0.1 (C8). Both spellings: programs differ in which one they read."""
    if not any(inherited.get(name) for name in _PROXIES):
        return {}
    present = next((inherited[name] for name in _NO_PROXY if inherited.get(name)), "")
    hosts = [host for host in present.replace(" ", ",").split(",") if host]
    if "*" in hosts:
        return {}
    hosts += [host for host in _LOOPBACK if host not in hosts]
    return dict.fromkeys(_NO_PROXY, ",".join(hosts))
