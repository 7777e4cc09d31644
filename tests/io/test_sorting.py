"""Sorting by parts is sorting."""

from hypothesis import given
from hypothesis import strategies as st

from espnet2_taste.io.sorting import sorted_lines

TEXT = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))


@given(st.lists(TEXT), st.integers(1, 9))
def test_sorts(lines, run):
    found = list(sorted_lines(lines, run))
    assert found == sorted(lines)
    assert [line.encode() for line in found] == sorted(line.encode() for line in lines)
