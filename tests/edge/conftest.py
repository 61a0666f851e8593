# SPDX-License-Identifier: Apache-2.0
"""A desk of its own for each test that asks the handlers, and a stand-in for AWS."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.desk import Desk
from tests.edge.rotation_stage import RotationStage
from tests.fake_aws import AccessKey, FakeAws, User
from vaultd.core.policy import AwsSettings
from vaultd.edge.aws import Aws


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[FakeAws]:
    with FakeAws() as server:
        (tmp_path / "config.toml").write_text(f'[aws]\nendpoint_url = "{server.url}"\n')
        yield server


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeAws, Aws]]:
    """A stand-in and clients for it: making them costs a tenth of a second."""
    with FakeAws() as server:
        yield server, Aws(AwsSettings(endpoint_url=server.url), attempts=1)


@pytest.fixture
def fake(shared: tuple[FakeAws, Aws]) -> FakeAws:
    shared[0].start_over()
    return shared[0]


@pytest.fixture
def stage(tmp_path: Path, shared: tuple[FakeAws, Aws]) -> RotationStage:
    return RotationStage(tmp_path, *shared)


@pytest.fixture
def alice(fake: FakeAws) -> User:
    return fake.add_user("alice")


@pytest.fixture
def key(fake: FakeAws, alice: User) -> AccessKey:
    return fake.add_key(alice)
