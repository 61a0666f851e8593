# SPDX-License-Identifier: Apache-2.0
"""What AWS and people hand over as a key is understood; everything else is refused without quoting it."""

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsvault import keyinput
from awsvault.keyinput import KeyText
from tests import canary
from vaultd.wire.errors import Usage

ID, SECRET = canary.access_key_id("alice"), canary.secret("alice")
ID2, SECRET2 = canary.access_key_id("bob"), canary.secret("bob")
ALICE, BOB = KeyText(ID, SECRET), KeyText(ID2, SECRET2)

CREATED = {
    "AccessKey": {
        "UserName": "alice",
        "AccessKeyId": ID,
        "Status": "Active",
        "SecretAccessKey": SECRET,
        "CreateDate": "2026-01-02T03:04:05Z",
    }
}
KEY_FILE = f"Access key ID,Secret access key\n{ID},{SECRET}\n"
USER_FILE = (
    "User name,Password,Access key ID,Secret access key,Console login link\n"
    f"alice,,{ID},{SECRET},https://123456789012.signin.aws.amazon.com/console\n"
)


@pytest.mark.parametrize(
    "text",
    [
        f"{ID}\n{SECRET}\n",
        f"{ID}\n{SECRET}",
        f"{ID}\r\n{SECRET}\r\n",
        f"\n{ID}\n\n{SECRET}\n\n",
        json.dumps(CREATED),
        json.dumps(CREATED, indent=4) + "\n",
        "\n" + json.dumps(CREATED["AccessKey"]),
    ],
    ids="lines no-line-end crlf empty-lines json pretty-json inner-json".split(),
)
def test_stdin_is_two_lines_or_create_access_keys_json(text: str) -> None:
    assert ALICE == keyinput.from_text(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold two lines"),
        (f"{SECRET}\n", "must hold two lines"),
        (f"{ID}\n{SECRET}\n{SECRET}\n", "must hold two lines"),
        (f"{ID} {SECRET}", "must hold two lines"),
        ("{", "begins like JSON and is none"),
        ("{" * 100_000, "begins like JSON and is none"),
        (f'{{"AccessKey": "{SECRET}"}}', "is not the JSON"),
        (f'{{"AccessKey": {{"AccessKeyId": "{ID}"}}}}', "is not the JSON"),
        (f'{{"AccessKeyId": 5, "SecretAccessKey": "{SECRET}"}}', "is not the JSON"),
        (
            json.dumps({"AccessKeyId": ID, "SecretAccessKey": SECRET, "SessionToken": "t"}),
            "temporary credentials",
        ),
    ],
    ids="empty one three spaces brace deep text half number session".split(),
)
def test_other_input_is_refused_without_quoting_it(text: str, message: str) -> None:
    with pytest.raises(Usage, match=message) as error:
        keyinput.from_text(text)
    assert not canary.found_in(error.value.line)


def test_a_key_does_not_show_its_secret() -> None:
    assert not canary.found_in(repr(ALICE))


def csv_file(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "keys.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def read_csv(path: str, row: int | None = None, access_key_id: str | None = None) -> KeyText:
    return keyinput.from_csv(path, row=row, access_key_id=access_key_id)


@pytest.mark.parametrize(
    "content",
    [
        KEY_FILE,
        "\ufeff" + KEY_FILE,
        KEY_FILE.replace("\n", "\r\n"),
        "\ufeff" + KEY_FILE.replace("\n", "\r\n"),
        KEY_FILE.rstrip("\n"),
        KEY_FILE + "\n\n",
        USER_FILE,
        f"Secret access key,Access key ID\n{SECRET},{ID}\n",
        f'"Access key ID","Secret access key"\n"{ID}","{SECRET}"\n',
        f"access_key_id,SECRET ACCESS KEY\n{ID},{SECRET}\n",
        USER_FILE + "bob,pw,,,\n",
    ],
    ids="plain bom crlf bom-crlf no-line-end empty-lines user-file swapped quoted spelling user-without-key".split(),
)
def test_the_consoles_files_are_read(tmp_path: Path, content: str) -> None:
    assert ALICE == read_csv(csv_file(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\r\n  \r\n", "is empty"),
        (b",,\n,,\n", "is empty"),
        (b"\x00\x01\x02", "is not a text file"),
        (b"\xff\xfeA\x00", "is not a text file"),
        (b"\x89PNG\r\n\x1a\n", "is not a text file"),
        (b"a\0b", "is not a text file"),
        (f"{ID},{SECRET}\n".encode(), "heading Access key ID"),
        (f"Access key ID\n{ID}\n".encode(), "heading Secret access key"),
        (
            f"Access key ID,Access key ID,Secret access key\n{ID},{ID},{SECRET}\n".encode(),
            "heading Access key ID",
        ),
        (b"Access key ID,Secret access key\n", "has headings and no key"),
        (f"Access key ID,Secret access key\n,{SECRET}\n".encode(), "row 1 of .* has only half a key"),
        (f"Access key ID,Secret access key\n{ID}\n".encode(), "row 1 of .* has only half a key"),
        (f'Access key ID,Secret access key\n"{ID}"x,{SECRET}\n'.encode(), "is not a CSV file"),
        (f'Access key ID,Secret access key\n"{ID},{SECRET}\n'.encode(), "is not a CSV file"),
        (KEY_FILE.encode() + b" " * keyinput.SIZE_LIMIT, "is larger than 1 MiB"),
    ],
    ids="empty only-bom blank commas binary utf16 png nul no-heading one-column twice only-heading no-id no-secret quote open large".split(),
)
def test_another_file_is_refused_without_quoting_it(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(Usage, match=message) as error:
        read_csv(csv_file(tmp_path, content))
    assert not canary.found_in(error.value.line)


def test_a_file_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    with path.open("wb") as file:
        file.truncate(1024**3)
    with pytest.raises(Usage, match="is larger than 1 MiB"):
        read_csv(str(path))


@pytest.mark.parametrize("path", ["", "/nonexistent", "/", "a\0b", "/dev/zero"])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(Usage, match=r"cannot be read|is not a file"):
        read_csv(path)


def test_a_pipe_is_a_file_too(tmp_path: Path) -> None:
    """`--csv <(decrypt keys.csv.gpg)`"""
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    writer = threading.Thread(target=lambda: path.write_text(KEY_FILE))
    writer.start()
    assert ALICE == read_csv(str(path))
    writer.join()


SEVERAL = KEY_FILE + f"{ID2},{SECRET2}\n"


def test_several_keys_are_named_and_one_has_to_be_chosen(tmp_path: Path) -> None:
    with pytest.raises(Usage) as error:
        read_csv(csv_file(tmp_path, SEVERAL))
    assert f"several keys: row 1 ...{ID[-4:]}, row 2 ...{ID2[-4:]}" in error.value.message
    assert "--csv-row or --access-key-id" in error.value.hint
    assert ID not in error.value.line


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"row": 1}, ALICE),
        ({"row": 2}, BOB),
        ({"access_key_id": ID2}, BOB),
        ({"access_key_id": ID[-4:]}, ALICE),
    ],
)
def test_one_of_several_is_chosen(tmp_path: Path, choice: dict[str, str | int], expected: KeyText) -> None:
    assert expected == read_csv(csv_file(tmp_path, SEVERAL), **choice)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "choice", [{"row": 3}, {"access_key_id": ID[:-1]}, {"access_key_id": ID[-3:]}, {"access_key_id": ""}]
)
def test_a_choice_that_is_none_is_refused(tmp_path: Path, choice: dict[str, str | int]) -> None:
    with pytest.raises(Usage, match="holds no such key; it has row 1"):
        read_csv(csv_file(tmp_path, SEVERAL), **choice)  # type: ignore[arg-type]


def test_many_keys_do_not_make_a_long_line(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="and 94 more"):
        read_csv(csv_file(tmp_path, KEY_FILE + f"{ID2},{SECRET2}\n" * 99))


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = csv_file(tmp_path_factory.mktemp("csv"), content)
    with pytest.raises(Usage):
        read_csv(path)


@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) == 2 and not text.lstrip().startswith("{"):
        assert KeyText(*lines) == keyinput.from_text(text)
        return
    with pytest.raises(Usage):
        keyinput.from_text(text)
