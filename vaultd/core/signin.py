# SPDX-License-Identifier: Apache-2.0
"""The way from a session to a page of AWS's console: what AWS's sign-in endpoint is told, and the URL that comes of it.

Pure: the request itself is made at the edge. Facts: IAM User Guide, "Enable custom identity broker access to the AWS
console". The URL signs in whoever opens it within 15 minutes, so it is as secret as the session.
"""

import json
import re
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from vaultd.core.partitions import HOME_REGION
from vaultd.core.sessions import Credentials
from vaultd.wire.errors import AwsFailed, Usage

ACTION = "signin:getSigninToken"  # how errors name the request, as they name calls
DURATIONS_S = range(900, 43_201)

_ENDPOINT: Final = {
    "aws": "https://signin.aws.amazon.com/federation",
    "aws-cn": "https://signin.amazonaws.cn/federation",
    "aws-us-gov": "https://signin.amazonaws-us-gov.com/federation",
}
#: The console's hosts; a region or a service may stand before them as further labels. The first one is home.
_CONSOLE: Final = {
    "aws": ("console.aws.amazon.com",),
    "aws-cn": ("console.amazonaws.cn", "console.amazonaws.com.cn"),
    "aws-us-gov": ("console.amazonaws-us-gov.com",),
}
_URL = re.compile(r"[!-~]{1,2048}\Z")
_LABELS = r"(?:[a-z0-9-]{1,63}\.){0,3}"
_TOKEN = re.compile(r"[!-~]{1,32768}\Z")


def endpoint(partition: str, endpoint_url: str | None) -> str:
    """Where to ask: the partition's own, or beside the STS that the owner configured."""
    return f"{endpoint_url.rstrip('/')}/federation" if endpoint_url else _ENDPOINT[partition]


def method(partition: str) -> str:
    """POST keeps the secret out of the URL, and so out of logs on the way; GovCloud's endpoint takes GET only."""
    return "GET" if partition == "aws-us-gov" else "POST"


def question(credentials: Credentials, duration_s: int | None) -> dict[str, str]:
    """The form to send. `duration_s` is for roles assumed with a long-term key: AWS refuses it for all others."""
    if duration_s is not None and duration_s not in DURATIONS_S:
        raise Usage("a console session lasts between 15 min and 12 h")
    if credentials.session_token is None:
        raise Usage("the console is opened with a session, not with a key")
    session = {
        "sessionId": credentials.access_key_id,
        "sessionKey": credentials.secret.reveal(),
        "sessionToken": credentials.session_token.reveal(),
    }
    length = {} if duration_s is None else {"SessionDuration": str(duration_s)}
    return {"Action": "getSigninToken", **length, "Session": json.dumps(session)}


def read_token(status: int, body: bytes) -> str:
    """The token in the answer. Raises AwsFailed for a refusal, and what a stranger's answer raises (ValueError, ...)."""
    details: dict[str, object] = {"aws_code": str(status), "aws_action": ACTION}
    if status >= 500:  # noqa: PLR2004  HTTP's own border between theirs and ours
        raise AwsFailed(f"AWS failed at {ACTION} ({status})", hint="try again", details=details)
    if status >= 400:  # noqa: PLR2004
        raise AwsFailed(
            "AWS gives this session no console: it has expired, asks for too long, or is of no role and not narrowed",
            hint="try again without --duration",
            details=details,
        )
    token = json.loads(body)["SigninToken"]
    if status != 200 or not _TOKEN.match(token):  # noqa: PLR2004
        raise ValueError("not a sign-in token")
    return str(token)


def url(federation: str, token: str, destination: str, issuer: str) -> str:
    """What a browser opens. `issuer` is where AWS sends people whose session is over."""
    fields = {"Action": "login", "Issuer": issuer, "Destination": destination, "SigninToken": token}
    return f"{federation}?{urlencode(fields)}"


def destination(wanted: str | None, *, partition: str, region: str | None) -> str:
    """The console page to open: `wanted` is a whole URL or a path, else the region's home. Raises Usage.

    The URL signs in first and goes there then, so it must be AWS's: a link from a chat could name any site.
    """
    home = f"https://{_CONSOLE[partition][0]}"
    if wanted is None:
        return f"{home}/console/home?region={region or HOME_REGION[partition]}"
    refused = Usage(f"the destination is not a page of the console of {partition}", hint=f"use {home}/...")
    if not _URL.match(wanted) or "\\" in wanted:  # some browsers read \ as /
        raise refused
    if wanted.startswith("/") and not wanted.startswith("//"):
        return home + wanted
    if not _is_console(_parts(wanted, refused), partition):
        raise refused
    return wanted


def _parts(text: str, refused: Usage) -> Any:
    try:
        return urlsplit(text)
    except ValueError:
        raise refused from None


def _is_console(parts: Any, partition: str) -> bool:
    hosts = "|".join(map(re.escape, _CONSOLE[partition]))
    return parts.scheme == "https" and re.fullmatch(f"{_LABELS}(?:{hosts})", parts.netloc) is not None
