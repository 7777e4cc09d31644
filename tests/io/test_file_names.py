import string
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from espnet2_taste.io.file_names import file_name, key_of

# What breaks naive maps is drawn more often than chance would.
IDS = st.text(st.sampled_from("./%_-a2FéX~ "), min_size=1, max_size=450) | st.text(
    min_size=1, max_size=450
)
ENDINGS = st.sampled_from([".wav", ".npz", "/1ep.png"])


@given(IDS, ENDINGS)
@example("." * 250, ".wav")
@example("a/" * 125, "/1ep.png")
@example("x" * 196 + ".wav" + "y", ".wav")
def test_the_id_is_read_back_and_the_file_is_in_the_folder(key, ending):
    name = file_name(key, ending)
    assert key_of(name, ending) == key
    path = PurePosixPath(name)
    assert not path.is_absolute() and not set(path.parts) & {"..", "."}
    assert all(len(part.encode()) <= 210 for part in path.parts)
    assert not name.startswith(".")


@given(IDS, IDS)
def test_no_file_is_another_ones_folder(first, second):
    if first == second:
        return
    paths = [PurePosixPath(file_name(key, ".wav")) for key in (first, second)]
    assert paths[0] != paths[1]
    assert paths[0] not in paths[1].parents and paths[1] not in paths[0].parents


@pytest.mark.parametrize(
    "key", ["spk1-utt_2.3", "LJ001-0001", "a+b=c@d", string.ascii_letters, "x" * 200]
)
def test_ordinary_ids_are_their_file_names(key):
    assert file_name(key, ".wav") == f"{key}.wav"
