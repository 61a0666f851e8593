# SPDX-License-Identifier: Apache-2.0
"""Frames mean one thing or are refused, and a refusal quotes nothing."""

import json
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsvault import get
from vaultd.wire import client, errors, protocol
from vaultd.wire.errors import Locked, ProtocolMismatch, Usage, VaultError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=10), JSON, max_size=5))
def test_what_is_encoded_is_decoded_again(frame: dict[str, object]) -> None:
    line = protocol.encode(frame)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert frame == protocol.decode(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"op":"lock","op":"status"}',
        b'{"op":{"a":1,"a":2}}',
        b'{"op":NaN}',
        b'{"op":Infinity}',
        b'{"op":-Infinity}',
        b'{"op":"\\ud800"}',
        b'{"\\ud800":1}',
        b'{"op":"\xff"}',
        b"[]",
        b'"get"',
        b"null",
        b"",
        b"{",
        b"[" * 30_000,
        b'{"op":' + b"9" * 60_000 + b"}",
        b'{"op":"' + b"x" * protocol.MAX_FRAME + b'"}',
    ],
    ids=lambda line: line[:24].decode("latin-1"),
)
def test_a_frame_that_two_readers_could_read_differently_is_refused(line: bytes) -> None:
    with pytest.raises(Usage) as caught:
        protocol.decode(line)
    assert caught.value.message in {"a frame is not a strict JSON object", "a frame is longer than 64 KiB"}


def test_a_frame_over_the_limit_is_not_sent() -> None:
    protocol.encode({"x": "a" * (protocol.MAX_FRAME - 9)})
    with pytest.raises(Usage):
        protocol.encode({"x": "a" * (protocol.MAX_FRAME - 8)})


@pytest.mark.parametrize("count", [0, 1, 300, 10_000])
def test_an_answer_of_any_length_arrives_whole_in_frames_of_the_limit(count: int) -> None:
    sent = {
        "ok": True,
        "profiles": [{"profile": f"p{n}", "arn": "x" * 300} for n in range(count)],
        "notes": ["a"],
    }
    lines = protocol.encode_answer(sent).splitlines(keepends=True)
    assert max(map(len, lines)) <= protocol.MAX_FRAME
    assert (len(lines) == 1) == (count < 300)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = client.Connection.__new__(client.Connection)
        connection._socket, connection._buffer = ours, b""
        sender = threading.Thread(target=theirs.sendall, args=(b"".join(lines),))
        sender.start()
        assert sent == connection.answer(lambda _text: None)
        sender.join()


@pytest.mark.parametrize("cls", errors.tree().values(), ids=lambda cls: cls.code)
def test_an_error_arrives_as_what_it_was(cls: type[VaultError]) -> None:
    sent = cls("the thing is so", hint="run: awsvault help", details={"changes": ["a"]})
    with pytest.raises(cls) as caught:
        protocol.raise_error(protocol.decode(protocol.encode(protocol.error_frame(sent))))
    assert type(caught.value) is cls
    assert (sent.exit_status, sent.line, sent.details) == (
        caught.value.exit_status,
        caught.value.line,
        caught.value.details,
    )


def test_an_unknown_code_of_a_newer_daemon_keeps_its_exit_status() -> None:
    with pytest.raises(VaultError) as caught:
        protocol.raise_error({"error": {"exit": 6, "code": "from-the-future", "message": "no", "hint": ""}})
    assert caught.value.exit_status == 6


def test_get_finds_exit_and_line_without_a_json_parser() -> None:
    """awsvault/get.py reads error replies by hand; every message that can be made must survive that."""
    for text in ('no profile "dev"', "a\\b", 'ends in \\"', "plain", "caf\u00e9 \x1b[31m"):
        reply = protocol.encode(protocol.error_frame(Locked(text, hint='run: awsvault "x"')))
        assert Locked(text, hint='run: awsvault "x"').line == get._error_of(reply).message
        assert get._error_of(reply).exit_status == 3


@pytest.mark.parametrize(
    "reply", [b"", b"\n", b"hello\n", b'{"ok":true}\n', b'{"error":{"exit":x,"line":"y"}}\n']
)
def test_get_takes_nothing_else_for_an_answer(reply: bytes) -> None:
    assert isinstance(get._error_of(reply), ProtocolMismatch)


def test_get_and_the_protocol_agree_on_their_constants() -> None:
    """get.py may not import protocol.py (json); so the numbers stand twice, and this holds them together."""
    assert protocol.PROTOCOL == get.PROTOCOL
    assert protocol.GET_ANSWER == get.ANSWER
    assert protocol.CLIENT_DEADLINE_S == get.DEADLINE_S > protocol.GET_DEADLINE_S
    assert protocol.MAX_FRAME == get.MAX_FRAME


def test_the_client_repeats_only_what_the_daemon_lets_it() -> None:
    from vaultd.edge.handlers import OPERATIONS

    assert {name for name, operation in OPERATIONS.items() if operation.idempotent} == client.IDEMPOTENT


def test_the_specification_names_every_operation_and_field() -> None:
    """PROTOCOL.md is reviewed with the code: the table of operations is the one that runs."""
    from pathlib import Path

    import vaultd
    from vaultd.edge.handlers import OPERATIONS

    text = (Path(vaultd.__file__).parent / "PROTOCOL.md").read_text("utf-8")
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 9 and cells[1].startswith("`") and cells[1] != "`?`":
            rows[cells[1].strip("`")] = cells
    assert OPERATIONS.keys() == rows.keys()
    for name, operation in OPERATIONS.items():
        _, _, fields, _, locked, extends, audited, twice, _ = rows[name]
        assert all(f"`{field}`" in fields for field in operation.fields), name
        assert (operation.while_locked, operation.extends, operation.audited, operation.idempotent) == (
            locked == "yes",
            extends,
            audited == "yes",
            twice == "yes",
        ), name
        for field, schema in operation.fields.items():
            default = "" if schema.default is ... else f"`{field}`?{json.dumps(schema.default)}"
            assert default in fields, (name, field)
