# SPDX-License-Identifier: Apache-2.0
"""One request to AWS by botocore, with nothing ambient in it.

The only importer of boto3 and botocore, inside functions: a locked daemon does not pay their 30 MiB and 0.2 s. Every
request blocks, so callers run it in a thread. Must not know which calls there are (that is edge/aws.py), profiles, the
vault or the socket.

Nothing of the environment or of ~/.aws reaches a call: a profile with our own hook in it would make the daemon call
itself, and a planted AWS_ENDPOINT_URL would send signed requests elsewhere (R16). So every botocore variable is cut off
from its environment variable and file key, and the one source of credentials that botocore can find is the call's own.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from vaultd import __version__
from vaultd.core.partitions import HOME_REGION, partition_of
from vaultd.core.policy import AwsSettings
from vaultd.core.refusals import Refusal, explain, is_definite
from vaultd.core.sessions import Credentials
from vaultd.edge.signing import CallersOwn
from vaultd.wire.errors import AwsFailed

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 10
ATTEMPTS = 3  # botocore's standard mode: the first and two retries
UNREACHABLE = "unreachable"  # beside AWS's own codes in details["aws_code"]

#: IAM is one place in a partition and takes signatures for it only, which botocore forgets with an endpoint_url;
#: CloudTrail has IAM's events there and nowhere else.
_AT_HOME = frozenset({"iam", "cloudtrail"})

_Value = TypeVar("_Value")

#: Read by botocore and its parts straight from the environment, with no setting to turn them off.
_UNGOVERNED = ("BOTOCORE_EXPERIMENTAL__PLUGINS", "AWS_EXECUTION_ENV", "_X_AMZN_TRACE_ID", "SSLKEYLOGFILE")


class Boto:
    """Blocking and thread-safe. Every failure is an AwsFailed that says what AWS said and what helps."""

    def __init__(
        self,
        settings: AwsSettings,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        attempts: int = ATTEMPTS,
    ) -> None:
        self._settings = settings
        self._timeouts = (connect_timeout_s, read_timeout_s)
        self._attempts = attempts
        self._nonce: str | None = None
        self._signer = CallersOwn()
        self._lock = threading.RLock()  # botocore's sessions are not thread-safe, its clients are
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}

    def warm_up(self, service: str, region: str) -> None:
        """Import boto3 and build the client that the first call will need; makes no call."""
        self._client(service, region)

    def region(self, partition: str, wanted: str | None) -> str:
        """Where to ask: as wanted, else as configured, when that lies in the partition; else the partition's home."""
        for region in (wanted, self._settings.region):
            if region and partition_of(region) == partition:
                return region
        return HOME_REGION[partition]

    @contextmanager
    def sending_once(self, nonce: str) -> Iterator["Boto"]:
        """The same way out for a call that must not be repeated: no retries, and the nonce in its user agent.

        What is refused then has details["definite"]: was it certainly not done?
        """
        with self._lock:
            self._core()  # built now, so that both have the same one
        once = copy(self)
        clients: dict[tuple[str, str], Any] = {}
        once._attempts, once._nonce, once._clients = 1, nonce, clients  # noqa: SLF001  of its own class
        try:
            yield once
        finally:
            for client in clients.values():
                client.close()

    def call(
        self,
        service: str,
        action: str,
        credentials: Credentials,
        read: Callable[[Any], _Value],
        region: str,
        **parameters: object,
    ) -> _Value:
        """One call, signed with these credentials, and what `read` makes of the reply."""
        from botocore import exceptions, parsers, xform_name

        partition = partition_of(region)  # first: what is no region must not become part of a host name
        client = self._client(service, HOME_REGION[partition] if service in _AT_HOME else region)
        host = client.meta.endpoint_url.split("//", 1)[-1]
        name = f"{service}:{action}"
        try:
            with _unreachable(host, name), self._signer.signing_as(credentials):
                return read(getattr(client, xform_name(action))(**parameters))
        except exceptions.ClientError as error:
            refusal = _refusal(name, error.response, parameters, region)
            failed = explain(refusal, credentials, where=self._settings.endpoint_url or partition)
            if self._nonce:
                failed.details["definite"] = is_definite(refusal)
            raise failed from None
        except (parsers.ResponseParserError, LookupError, TypeError, ValueError):
            raise _not_aws(host) from None

    def fetch(
        self, method: str, url: str, fields: dict[str, str], read: Callable[[int, bytes], _Value], name: str
    ) -> _Value:
        """One unsigned request for a form's answer, by the same way out: proxy, certificates and time limits."""
        from botocore.awsrequest import AWSRequest

        form = urlencode(fields)
        request = (
            AWSRequest("GET", f"{url}?{form}")
            if method == "GET"
            else AWSRequest(method, url, {"Content-Type": "application/x-www-form-urlencoded"}, form)
        )
        return self._send(request, lambda answer: read(answer.status_code, answer.content), name)

    def time(self, service: str, region: str) -> tuple[str, datetime]:
        """The host that answers for a service, and its clock, cut to the second: one unsigned request.

        What else it answers does not matter: a refusal has a date, too.
        """
        from botocore.awsrequest import AWSRequest

        partition_of(region)  # what is no region must not become part of a host name
        url = self._client(service, region).meta.endpoint_url

        def read(answer: Any) -> datetime:
            moment = _moment(answer.headers["date"])
            if moment is None:
                raise ValueError(url)
            return moment

        return urlsplit(url).netloc, self._send(AWSRequest("GET", url), read, "the probe")

    def _send(self, request: Any, read: Callable[[Any], _Value], name: str) -> _Value:
        from botocore.httpsession import URLLib3Session

        with self._lock:
            self._core()  # shuts out the environment, which TLS reads too
        request.headers["User-Agent"] = f"awsvault/{__version__}"
        http = URLLib3Session(
            verify=self._settings.ca_bundle or True, proxies=self._proxies(), timeout=self._timeouts
        )
        host = urlsplit(request.url).netloc
        try:
            with _unreachable(host, name):
                return read(http.send(request.prepare()))
        except (LookupError, TypeError, ValueError, RecursionError):
            raise _not_aws(host) from None
        finally:
            http.close()

    def _client(self, service: str, region: str) -> Any:
        with self._lock:
            found = self._clients.get((service, region))
            if found is None:
                found = self._clients[service, region] = self._build(service, region)
            return found

    def _build(self, service: str, region: str) -> Any:
        import boto3.session
        from botocore.config import Config

        connect_s, read_s = self._timeouts
        config = Config(
            connect_timeout=connect_s,
            read_timeout=read_s,
            retries={"mode": "standard", "total_max_attempts": self._attempts},
            proxies=self._proxies(),
            ignore_configured_endpoint_urls=True,
            user_agent_extra=" ".join(f"awsvault/{word}" for word in (__version__, self._nonce) if word),
        )
        return boto3.session.Session(botocore_session=self._core()).client(
            service,
            region_name=region,
            endpoint_url=self._settings.endpoint_url,
            verify=self._settings.ca_bundle or True,
            config=config,
        )

    def _proxies(self) -> dict[str, str]:
        """Plain http is loopback only (config.toml's reader sees to it) and no proxy's business. {} means none."""
        return {"https": self._settings.proxy} if self._settings.proxy else {}

    def _core(self) -> Any:
        """botocore's session with nothing ambient in it; built once. The lock is held."""
        if self._session is None:
            self._session = _isolated(self._signer)
        return self._session


def _isolated(signer: CallersOwn) -> Any:
    import botocore.loaders
    import botocore.session

    for name in _UNGOVERNED:
        os.environ.pop(name, None)
    # At DEBUG botocore logs whole replies, new secrets included. What fails is told by AwsFailed, and only there.
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    variables = {
        name: (None, None, default, convert)
        for name, (_key, _env, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
    }
    for file in ("config_file", "credentials_file"):
        variables[file] = (None, None, os.devnull, None)
    # Older botocore: "legacy", the global endpoint, whose tokens do not work in every region.
    variables["sts_regional_endpoints"] = (None, None, "regional", None)
    session = botocore.session.Session(session_vars=variables)
    session.register_component("credential_provider", signer)
    # ~/.aws/models would be searched first, and a service model says where and how to call.
    built_in = botocore.loaders.Loader(
        extra_search_paths=[botocore.loaders.Loader.BUILTIN_DATA_PATH], include_default_search_paths=False
    )
    session.register_component("data_loader", built_in)
    return session


@contextmanager
def _unreachable(host: str, name: str) -> Iterator[None]:
    """What kept a request from being answered, as an AwsFailed.

    `from None`: botocore's exceptions carry AWS's text and the request, and a traceback would show both.
    """
    from botocore import exceptions

    try:
        yield
    except exceptions.SSLError:
        raise _no_way(host, "no trusted TLS connection", hint="check [aws] ca_bundle") from None
    except exceptions.ProxyConnectionError:
        raise _no_way(host, "the proxy does not answer", hint="check [aws] proxy") from None
    except (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError):
        raise _no_way(host, "no answer in time") from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError, OSError):
        raise _no_way(host, "the connection failed") from None
    except exceptions.BotoCoreError as error:
        raise AwsFailed(f"{name} could not be sent ({type(error).__name__})") from None


def _no_way(host: str, fact: str, *, hint: str = "check the network, then try again") -> AwsFailed:
    return AwsFailed(f"cannot reach {host}: {fact}", hint=hint, details={"aws_code": UNREACHABLE})


def _not_aws(host: str) -> AwsFailed:
    return AwsFailed(f"{host} did not answer as AWS does", hint="check the network")


def _refusal(name: str, response: Any, parameters: Mapping[str, Any], region: str) -> Refusal:
    error, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
    theirs = _moment(metadata.get("HTTPHeaders", {}).get("date", ""))
    return Refusal(
        action=name,
        code=str(error.get("Code") or ""),
        said=str(error.get("Message") or ""),
        status=int(metadata.get("HTTPStatusCode", 0)),
        clock_error=datetime.now(UTC) - theirs if theirs else None,
        role=parameters.get("RoleArn"),
        device=parameters.get("SerialNumber"),
        duration_s=parameters.get("DurationSeconds"),
        region=region,
    )


def _moment(date: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        found = parsedate_to_datetime(date)
    except ValueError:
        return None
    return found if found.tzinfo else None
