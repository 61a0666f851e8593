# SPDX-License-Identifier: Apache-2.0
"""A region says its partition; what is no region says nothing."""

import pytest

from vaultd.core.partitions import HOME_REGION, partition_of
from vaultd.wire.errors import Usage


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("us-east-1", "aws"),
        ("eu-central-2", "aws"),
        ("ap-southeast-7", "aws"),
        ("mx-central-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("cn-northwest-1", "aws-cn"),
        ("us-gov-east-1", "aws-us-gov"),
    ],
)
def test_region_lies_in_its_partition(region: str, partition: str) -> None:
    assert partition == partition_of(region)


def test_home_regions_are_at_home() -> None:
    assert list(HOME_REGION) == [partition_of(region) for region in HOME_REGION.values()]


@pytest.mark.parametrize("region", ["us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "eusc-de-east-1"])
def test_partition_that_cannot_be_reached_is_refused_by_name(region: str) -> None:
    with pytest.raises(Usage, match=f"{region} is in a partition"):
        partition_of(region)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "us-east-1\n",
        "US-EAST-1",
        "us-east",
        "evil.example/#-1",
        "us-east-1.evil.example",
        "us--1",
        "a" * 99,
    ],
)
def test_what_is_no_region_is_refused_and_never_becomes_a_host_name(text: str) -> None:
    with pytest.raises(Usage, match="is not the name of an AWS region"):
        partition_of(text)


def test_refusal_shows_nothing_that_a_terminal_obeys() -> None:
    with pytest.raises(Usage) as caught:
        partition_of("\x1b[31m" + "x" * 100)
    assert caught.value.message == '"?[31m' + "x" * 35 + '" is not the name of an AWS region'
