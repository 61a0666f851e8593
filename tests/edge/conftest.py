# SPDX-License-Identifier: Apache-2.0
"""A desk of its own for each test that asks the handlers, and a stand-in for AWS."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.desk import Desk
from tests.fake_aws import AccessKey, FakeAws, User


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[FakeAws]:
    with FakeAws() as server:
        (tmp_path / "config.toml").write_text(f'[aws]\nendpoint_url = "{server.url}"\n')
        yield server


@pytest.fixture
def alice(fake: FakeAws) -> User:
    """Of the file's own `fake`."""
    return fake.add_user("alice")


@pytest.fixture
def key(fake: FakeAws, alice: User) -> AccessKey:
    return fake.add_key(alice)
