import pytest

from espnet2_taste.io.ctm import TimedWord, read_ctm


def test_words_of_each_utterance(tmp_path):
    path = tmp_path / "words.ctm"
    path.write_text(";; a comment\nb 1 0.5 0.25 say 0.9\n\na A 0 1 no\nb 1 0.75 1 so\n")
    found = read_ctm(path)
    assert found == {
        "b": [TimedWord(0.5, 0.25, "say"), TimedWord(0.75, 1.0, "so")],
        "a": [TimedWord(0.0, 1.0, "no")],
    }
    assert found["b"][0].end == 0.75


@pytest.mark.parametrize("line", ["b 1 0.5 word", "b 1 start 0.1 word"])
def test_a_line_of_another_form_is_named(tmp_path, line):
    path = tmp_path / "words.ctm"
    path.write_text(f"a 1 0 1 no\n{line}\n")
    with pytest.raises(ValueError, match="words.ctm:2: expected 'utt channel"):
        read_ctm(path)
