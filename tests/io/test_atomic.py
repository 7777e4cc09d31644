import pytest

from espnet2_taste.io.atomic import (
    replacing,
    replacing_folder,
    write_lines,
    write_text,
)


def test_a_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def lines():
        yield "new"
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_lines(path, lines())
    with pytest.raises(RuntimeError, match="killed"), replacing(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise RuntimeError("killed")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_lines_end_each(tmp_path):
    write_lines(tmp_path / "a", ["ä", ""])
    assert (tmp_path / "a").read_bytes() == "ä\n\n".encode()
    write_lines(tmp_path / "a", [])
    assert (tmp_path / "a").read_bytes() == b""


def test_a_folder_takes_the_place_of_another_when_it_is_complete(tmp_path):
    path = tmp_path / "a"
    for content in ("old", "new"):
        with replacing_folder(path) as temporary:
            write_text(temporary / content, content)
        assert [file.name for file in path.iterdir()] == [content]
    with (
        pytest.raises(RuntimeError, match="killed"),
        replacing_folder(path) as temporary,
    ):
        write_text(temporary / "half", "half")
        raise RuntimeError("killed")
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileExistsError, match="new is a file, where a folder is to be"):
        with replacing_folder(path / "new"):
            pass
