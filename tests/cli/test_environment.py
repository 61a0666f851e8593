# SPDX-License-Identifier: Apache-2.0
"""What a program finds in its environment: one profile's credentials, whole, and nothing that beats them."""

import pytest

from awsvault import environment

SESSION = {
    "AccessKeyId": "ASIAEXAMPLE",
    "SecretAccessKey": "s",
    "SessionToken": "t",
    "Expiration": "2030-01-01T00:00:00Z",
    "AccountId": "123456789012",
}
KEY = {"AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "s", "Expiration": "2030-01-01T00:00:00Z"}
URL = "http://127.0.0.1:1234/creds/dev"


def test_a_session_comes_whole() -> None:
    assert {
        "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
        "AWS_CREDENTIAL_EXPIRATION": "2030-01-01T00:00:00Z",
        "AWS_ACCOUNT_ID": "123456789012",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
    } == environment.of_credentials(SESSION, "eu-central-1")


def test_a_key_has_no_token_and_no_end() -> None:
    assert {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s"} == environment.of_credentials(
        KEY, None
    )


def test_everything_that_conflicts_is_taken_out_and_the_rest_stays() -> None:
    inherited = dict.fromkeys(environment.CONFLICTING, "old") | {"PATH": "/bin", "AWS_REGION": "us-east-1"}
    variables = environment.of_credentials(KEY, None)
    found = environment.for_program(inherited, "dev", variables)
    assert {"PATH": "/bin", "AWS_REGION": "us-east-1", "AWSVAULT_PROFILE": "dev"} | variables == found


def test_the_profiles_region_replaces_the_callers() -> None:
    inherited = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-west-2"}
    found = environment.for_program(inherited, "dev", environment.of_region("eu-central-1"))
    assert ("eu-central-1", "eu-central-1") == (found["AWS_REGION"], found["AWS_DEFAULT_REGION"])


@pytest.mark.parametrize(
    ("inherited", "expected"),
    [
        ({"http_proxy": "http://p:1"}, "127.0.0.1,localhost"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "a.example,127.0.0.1,localhost"),
        ({"all_proxy": "socks5://p:1", "no_proxy": "a b, c"}, "a,b,c,127.0.0.1,localhost"),
        ({"ALL_PROXY": "http://p:1", "no_proxy": "localhost"}, "localhost,127.0.0.1"),
    ],
    ids=["new", "added", "spaces", "half there"],
)
def test_the_endpoint_is_asked_past_a_proxy(inherited: dict[str, str], expected: str) -> None:
    """C8. Both spellings, since programs differ in which one they read."""
    found = environment.for_program(inherited, "dev", environment.of_endpoint(URL, "t", None))
    assert (expected, expected) == (found["no_proxy"], found["NO_PROXY"])


@pytest.mark.parametrize(
    "inherited",
    [
        {},
        {"no_proxy": "a.example"},
        {"http_proxy": ""},
        {"HTTPS_PROXY": "http://p:1"},
        {"http_proxy": "http://p:1", "no_proxy": "*"},
    ],
    ids=["none", "no proxy", "empty", "https only", "everything already"],
)
def test_no_proxy_stays_where_nothing_is_in_the_way(inherited: dict[str, str]) -> None:
    found = environment.for_program(inherited, "dev", environment.of_endpoint(URL, "t", None))
    assert inherited == {name: value for name, value in found.items() if "proxy" in name.lower()}


def test_without_an_endpoint_the_proxies_are_the_callers() -> None:
    inherited = {"http_proxy": "http://p:1"}
    assert "no_proxy" not in environment.for_program(
        inherited, "dev", environment.of_credentials(SESSION, None)
    )


def test_an_endpoint_is_two_variables_and_no_way_into_imds() -> None:
    """C3: with a token file beside the token, SDKs differ in which one they take."""
    assert {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": URL,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t",
        "AWS_EC2_METADATA_DISABLED": "true",
    } == environment.of_endpoint(URL, "t", None)
