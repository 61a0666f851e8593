# SPDX-License-Identifier: Apache-2.0
"""The frozen vaults open to what they say, and the others are refused, by our reader and by an independent one."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from tests.vectors import generate, reader
from vaultd.core import vault
from vaultd.core.envelope import STRICT
from vaultd.core.rows import encode
from vaultd.core.secret import Secret
from vaultd.wire.errors import VaultError

HERE = Path(__file__).parent
MANIFEST: dict[str, Any] = json.loads((HERE / "manifest.json").read_text("ascii"))
GOOD: dict[str, Any] = MANIFEST["good"]
REFUSED: dict[str, Any] = MANIFEST["refused"]
SECRETS: dict[str, str] = MANIFEST["refused_opened_by"]


def good(name: str) -> bytes:
    return (HERE / "good" / f"{name}.vault").read_bytes()


def refused(name: str) -> bytes:
    return (HERE / "refused" / f"{name}.vault").read_bytes()


def facts(opened: vault.Vault) -> dict[str, Any]:
    return {
        "vault_id": opened.envelope.vault_id,
        "vault_key": opened.vault_key.reveal_bytes().hex(),
        "generation": opened.envelope.generation,
        "slots": [slot.kind for slot in opened.envelope.slots],
        "ancestors": [[save.generation, save.mac_hash.hex()] for save in opened.ancestors],
        "records": json.loads(encode(opened.body)),
    }


@pytest.mark.parametrize("name", GOOD)
def test_a_good_vault_says_what_it_always_said(name: str) -> None:
    said = dict(GOOD[name])
    passphrase = vault.normalize_passphrase(said.pop("passphrase"), allow_weak=True)
    code = said.pop("recovery_code")
    assert said == facts(vault.unlock(good(name), passphrase, STRICT))
    if code:
        assert said == facts(vault.recover(good(name), Secret(code), STRICT))


@pytest.mark.parametrize("passphrase", ["one", "two", "three"])
def test_each_passphrase_slot_opens(passphrase: str) -> None:
    opened = vault.unlock(good("many-slots"), Secret(passphrase), STRICT)
    assert GOOD["many-slots"]["vault_key"] == opened.vault_key.reveal_bytes().hex()


def open_refused(name: str) -> object:
    place = REFUSED[name]["at"]
    if place == "header":
        return vault.inspect(refused(name), STRICT)
    if place == "recovery":
        return vault.recover(refused(name), Secret(SECRETS["recovery"]), STRICT)
    return vault.unlock(
        refused(name), vault.normalize_passphrase(SECRETS["passphrase"], allow_weak=True), STRICT
    )


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_vault_is_refused_as_it_always_was(name: str) -> None:
    with pytest.raises(VaultError) as caught:
        open_refused(name)
    assert REFUSED[name]["answer"] == caught.value.code


def test_the_high_water_mark_is_the_one_that_was_frozen() -> None:
    frozen = (HERE / "good" / "ready.highwater").read_bytes()
    opened = vault.recover(good("ready"), Secret(GOOD["ready"]["recovery_code"]), STRICT)
    assert frozen == vault.mark(opened)
    vault.check_mark(opened, frozen, history_exists=True)


def test_the_same_inputs_write_the_same_bytes(tmp_path: Path) -> None:
    generate.main(tmp_path)
    made = {file.relative_to(tmp_path): file.read_bytes() for file in tmp_path.rglob("*.*")}
    frozen = {file: (HERE / file).read_bytes() for file in made}
    assert frozen == made
    assert len(GOOD) + len(REFUSED) + 2 == len(made)


@pytest.mark.parametrize("name", GOOD)
def test_an_independent_reader_opens_it(name: str) -> None:
    said = GOOD[name]
    read = reader.open_vault(good(name), said["passphrase"])
    assert {key: said[key] for key in ("vault_key", "ancestors", "records")} == read
    if said["recovery_code"]:
        assert read == reader.open_vault(good(name), said["recovery_code"], "recovery")


#: It does not know what rows mean, only that there are some.
NOT_TOLD_BY_THE_READER = "records-"


@pytest.mark.parametrize("name", [name for name in REFUSED if not name.startswith(NOT_TOLD_BY_THE_READER)])
def test_an_independent_reader_refuses_it(name: str) -> None:
    kind = "passphrase" if REFUSED[name]["at"] == "passphrase" else "recovery"
    with pytest.raises((ValueError, InvalidTag, RecursionError)) as caught:
        reader.open_vault(refused(name), SECRETS[kind], kind)
    told = {"too new": "format-too-new", "wrong": "wrong-passphrase"}.get(str(caught.value), "vault-damaged")
    assert REFUSED[name]["answer"] == told


def test_the_independent_reader_is_short_and_independent() -> None:
    source = (HERE / "reader.py").read_text("ascii")
    assert len(source.splitlines()) <= 120
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in nodes}
    assert {"hashlib", "hmac", "itertools", "json", "re", "struct", "typing", "unicodedata"} == {
        str(module) for module in modules if not str(module).startswith("cryptography.")
    }
