# SPDX-License-Identifier: Apache-2.0
"""Reads an access key out of what AWS and people hand over: two lines, create-access-key's JSON, the console's CSV.

It must not judge the key: the daemon trims, checks and refuses. Nothing of the input gets into a message but the last
four characters of an id, a row's number and a column's name.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from awsvault import reading
from awsvault.output import short_key
from vaultd.wire.errors import Usage, printable

SIZE_LIMIT = 1024 * 1024  # bytes; the console's file has about 200
ROWS_SHOWN = 6
ID_ENDING = 4  # characters of an id that are enough to choose by: what messages show


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key as it was found; the secret stays out of any repr."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


def from_text(text: str) -> KeyText:
    """The key in what came on stdin: two lines, or the JSON of `aws iam create-access-key`. Raises Usage."""
    if text.lstrip().startswith("{"):
        return _from_json(text)
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 2:  # noqa: PLR2004 - the id and the secret
        raise Usage(
            "stdin must hold two lines: access key id, secret access key",
            hint="or the JSON that this prints: aws iam create-access-key",
        )
    return KeyText(*lines)


def _from_json(text: str) -> KeyText:
    import json

    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise Usage("stdin begins like JSON and is none") from None
    key = document.get("AccessKey", document)
    key = key if isinstance(key, dict) else {}
    access_key_id, secret = key.get("AccessKeyId"), key.get("SecretAccessKey")
    if not (isinstance(access_key_id, str) and isinstance(secret, str)):
        raise Usage("stdin is not the JSON that `aws iam create-access-key` prints")
    if key.get("SessionToken"):
        raise Usage("these are temporary credentials; they end by themselves and cannot be kept")
    return KeyText(access_key_id, secret)


def from_csv(path: str, *, row: int | None, access_key_id: str | None) -> KeyText:
    """The key in a file of the IAM console. Of several, the one in data row `row` or of that id. Raises Usage."""
    shown = printable(path)
    keys = _rows_with_keys(_text_of(_read(path, shown), shown), shown)
    chosen = [
        (number, key)
        for number, key in keys
        if (row is None or row == number) and (access_key_id is None or _has_id(key, access_key_id))
    ]
    if len(chosen) == 1:
        return chosen[0][1]
    if not keys:
        raise Usage(f"{shown} has headings and no key")
    if not chosen:
        raise Usage(
            f"{shown} holds no such key; it has {_listed(keys)}",
            hint="choose with --csv-row or --access-key-id",
        )
    raise Usage(
        f"{shown} holds several keys: {_listed(chosen)}", hint="choose with --csv-row or --access-key-id"
    )


def is_csv(data: bytes) -> bool:
    """Does it begin with the headings of the console's file?"""
    first = data.lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    return b"," in first and b"accesskeyid" in re.sub(rb"[^a-z,]", b"", first.lower())


def all_from_csv(path: str) -> list[tuple[int, KeyText, str]]:
    """Every key in a file of the IAM console, by its row, with its user's name or else the file's. Raises Usage."""
    shown = printable(path)
    text = _text_of(_read(path, shown), shown)
    stem = os.path.basename(path).rpartition(".")[0].removesuffix("_accessKeys").removesuffix("_credentials")
    keys = _rows_with_keys(text, shown)
    names = _column_of(text, "User name")
    return [(row, key, names.get(row) or stem) for row, key in keys]


def _column_of(text: str, heading: str) -> dict[int, str]:
    """The cells below this heading, by row; none where it is missing."""
    rows = _rows(text)
    plain = [_plain(cell) for cell in rows[0]]
    if _plain(heading) not in plain:
        return {}
    column = plain.index(_plain(heading))
    return {row: cells[column].strip() for row, cells in enumerate(rows[1:], 1) if column < len(cells)}


def _has_id(key: KeyText, wanted: str) -> bool:
    return key.access_key_id == wanted or (len(wanted) == ID_ENDING and key.access_key_id.endswith(wanted))


def _listed(keys: list[tuple[int, KeyText]]) -> str:
    rows = [f"row {number} {short_key(key.access_key_id)}" for number, key in keys[:ROWS_SHOWN]]
    return ", ".join([*rows, f"and {len(keys) - ROWS_SHOWN} more"] if len(keys) > ROWS_SHOWN else rows)


def _read(path: str, shown: str) -> bytes:
    data = reading.content(path, limit=SIZE_LIMIT)
    if len(data) > SIZE_LIMIT:
        raise Usage(f"{shown} is larger than 1 MiB: no file of access keys")
    return data


def _text_of(data: bytes, shown: str) -> str:
    try:
        text = data.decode("utf-8-sig")  # the console writes a byte order mark
    except UnicodeDecodeError:
        raise Usage(f"{shown} is not a text file") from None
    if "\0" in text:
        raise Usage(f"{shown} is not a text file")
    if not text.strip():
        raise Usage(f"{shown} is empty")
    return text


def _rows_with_keys(text: str, shown: str) -> list[tuple[int, KeyText]]:
    """Each data row that holds a key, by its number. The headings say which column is which."""
    try:
        rows = _rows(text)
    except ValueError:
        raise Usage(f"{shown} is not a CSV file") from None
    if not rows:
        raise Usage(f"{shown} is empty")
    columns = [_column(rows[0], name, shown) for name in ("Access key ID", "Secret access key")]
    return list(_keys_in(rows[1:], columns, shown))


def _rows(text: str) -> list[list[str]]:
    import csv
    import io

    try:
        found = csv.reader(io.StringIO(text, newline=""), strict=True)
        return [cells for cells in found if any(map(str.strip, cells))]
    except csv.Error as error:
        raise ValueError from error


def _column(headings: list[str], name: str, shown: str) -> int:
    plain = [_plain(heading) for heading in headings]
    if plain.count(_plain(name)) != 1:
        raise Usage(f"{shown} does not have one column with the heading {name}")
    return plain.index(_plain(name))


def _plain(heading: str) -> str:
    return re.sub(r"[^a-z]", "", heading.lower())


def _keys_in(rows: list[list[str]], columns: list[int], shown: str) -> Iterable[tuple[int, KeyText]]:
    """A user without a key has empty cells in the console's older file; half a key is a mistake."""
    for number, cells in enumerate(rows, 1):
        found = [cells[column] if column < len(cells) else "" for column in columns]
        if all(map(str.strip, found)):
            yield number, KeyText(*found)
        elif any(map(str.strip, found)):
            raise Usage(f"row {number} of {shown} has only half a key")
