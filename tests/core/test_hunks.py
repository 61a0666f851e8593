# SPDX-License-Identifier: Apache-2.0
"""An edit is taken back where its surroundings still stand, and refused by line where they don't."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core import hunks
from vaultd.core.hunks import Changed

BEFORE = "[a]\nregion = x\n\n[dev]\nid = 1\nsecret = 2\n\n[c]\nregion = y\n"
AFTER = "[a]\nregion = x\n\n[c]\nregion = y\n"


def back(now: str, before: str = BEFORE, after: str = AFTER) -> str:
    return hunks.taken_back(now, hunks.between(before, after))


def test_an_untouched_file_is_as_it_was() -> None:
    assert BEFORE == back(AFTER)


def test_doing_it_again_changes_nothing() -> None:
    assert BEFORE == back(BEFORE)


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (f"# new\n# two\n{AFTER}", f"# new\n# two\n{BEFORE}"),
        (f"{AFTER}\n[z]\nregion = z\n", f"{BEFORE}\n[z]\nregion = z\n"),
        (AFTER.replace("[a]\n", "[a]\noutput = json\n"), BEFORE.replace("[a]\n", "[a]\noutput = json\n")),
    ],
    ids=["above", "below", "in-between"],
)
def test_a_change_elsewhere_stays(now: str, then: str) -> None:
    assert then == back(now)
    assert then == back(then)


def test_other_line_ends_are_no_change() -> None:
    assert BEFORE.splitlines() == back(AFTER.replace("\n", "\r\n")).splitlines()


def test_a_section_that_went_from_the_end_comes_back_before_what_was_added_there() -> None:
    before, after = "[a]\nregion = x\n\n[dev]\nid = 1\n", "[a]\nregion = x\n"
    assert f"{before}[z]\nid = 2\n" == back(f"{after}[z]\nid = 2\n", before, after)
    assert f"{before}[z]\nid = 2\n" == back(f"{before}[z]\nid = 2\n", before, after)


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (AFTER.replace("region = x", "region = z"), 4),
        (AFTER.replace("[c]", "[d]"), 4),
        (AFTER.replace("\n[c]", "\n[new]\nx = 1\n[c]"), 4),
        ("", 1),
    ],
)
def test_changed_surroundings_are_refused_by_line(now: str, line: int) -> None:
    with pytest.raises(Changed) as caught:
        back(now)
    assert line == caught.value.line


def test_what_was_added_at_the_end_since_does_not_matter() -> None:
    after = "[a]\nregion = x\n\n[dev]\nhook\n"
    assert "[a]\nregion = x\n\n[z]\ny = 1\n" == back(f"{after}\n[z]\ny = 1\n", "[a]\nregion = x\n", after)


def test_but_a_continuation_of_our_last_line_does() -> None:
    after = "[a]\nregion = x\n\n[dev]\nhook\n"
    with pytest.raises(Changed):
        back(f"{after}  more\n", "[a]\nregion = x\n", after)


def test_a_file_without_a_final_end_gets_one_only_when_something_follows() -> None:
    before, after = "[a]\nx = 1", "[a]\nx = 1\n\n[dev]\nhook"
    assert before == back(after, before, after)
    assert "[a]\nx = 1\n[z]\n" == back(f"{after}\n[z]\n", before, after)


def test_an_emptied_file_is_filled_again() -> None:
    assert BEFORE == back("", BEFORE, "")


def test_two_places_alike_are_told_apart_by_where_they_were() -> None:
    before = "x\nkey\ny\n" * 3
    after = "x\nkey\ny\nx\ny\nx\nkey\ny\n"
    assert before == back(after, before, after)


LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "[s]\n", "  d\n"]), max_size=30)


@given(LINES, LINES, st.booleans(), st.booleans())
def test_any_edit_can_be_taken_back(old: list[str], new: list[str], cut_old: bool, cut_new: bool) -> None:
    before = "".join(old).rstrip("\n") if cut_old else "".join(old)
    after = "".join(new).rstrip("\n") if cut_new else "".join(new)
    assert before == hunks.taken_back(after, hunks.between(before, after))


@given(LINES, st.data())
def test_hunks_have_only_unchanged_lines_round_them(old: list[str], data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.integers(0, 29), max_size=6))
    new = [line for index, line in enumerate(old) if index not in gone]
    found = hunks.between("".join(old), "".join(new))
    ends = [(hunk.line - len(hunk.above), hunk.line + len(hunk.after) + len(hunk.below)) for hunk in found]
    assert all(end <= start + 2 * hunks.CONTEXT for (_, end), (start, _) in itertools.pairwise(ends))
    for hunk in found:
        assert list(hunk.after) == new[hunk.line : hunk.line + len(hunk.after)]
