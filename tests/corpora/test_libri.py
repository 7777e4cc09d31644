"""LibriSpeech, LibriTTS and LibriTTS-R."""

import shutil

import fake_corpora
import pytest

PARTS = {"dev-clean": "84", "test-clean": "1089"}


@pytest.fixture
def speech(tmp_path):
    return fake_corpora.librispeech(tmp_path, PARTS)


@pytest.fixture
def tts(tmp_path):
    return fake_corpora.libritts(tmp_path / "LibriTTS", PARTS)


def test_librispeech_from_its_folder_its_parent_and_its_child(speech, prepare):
    for root in (speech, speech.parent, speech / "test-clean"):
        found = prepare("librispeech", root, "test-clean")
        assert found.text == {
            f"1089-134686-{i:04d}": f"HE HOPED THERE'D BE STEW {i}" for i in range(2)
        }
        assert set(found.speakers.values()) == {"1089"}
        assert not found.skipped and not (found.folder / "utt2dur").exists()
    lower = prepare("librispeech", speech, "test-clean", "--cleaner", "lower")
    assert lower.text["1089-134686-0000"] == "he hoped there'd be stew 0"


def test_libritts_text_keeps_case_and_marks(tts, prepare):
    found = prepare("libritts", tts.parent, "dev-clean test-clean")
    assert found.count == 4
    assert found.text["84_134686_000005_000001"] == fake_corpora.TEXTS[1]
    assert found.speakers["84_134686_000005_000001"] == "84"  # not the chapter
    original = prepare("libritts", tts, "dev-clean", "--layout_conf", "text=original")
    assert set(original.text.values()) == {"Mr. Bell paid $5."}


@pytest.mark.parametrize("layout", ["librispeech", "libritts"])
def test_missing_part(layout, speech, tts, prepare):
    root = speech.parent if layout == "librispeech" else tts.parent
    with pytest.raises(
        FileNotFoundError, match=r"no train-other-500 \(found: dev-clean, test-clean\)"
    ):
        prepare(layout, root, "dev-clean train-other-500")
    with pytest.raises(FileNotFoundError, match="no part given, of dev-clean, "):
        prepare(layout, root)
    with pytest.raises(FileNotFoundError, match="is not there"):
        prepare(layout, root / "nowhere", "dev-clean")
    (root / "84").mkdir()
    with pytest.raises(FileNotFoundError, match="nothing.*should hold Libri"):
        prepare(layout, root / "84", "dev-clean")


def test_the_other_corpus(speech, tts, prepare):
    with pytest.raises(FileNotFoundError, match=r"no \*.flac in .*: is it LibriTTS\?"):
        prepare("librispeech", tts, "dev-clean")
    with pytest.raises(FileNotFoundError, match=r"no \*.wav in .*: is it LibriSpeech"):
        prepare("libritts", speech, "dev-clean")


def test_librispeech_unpacked_by_half(speech, prepare):
    shutil.rmtree(speech / "test-clean/1089")
    (speech / "test-clean/1089.tmp").mkdir()
    whole = ("--layout_conf", "complete=true")
    with pytest.raises(FileNotFoundError, match="no reader 1089, whom SPEAKERS.TXT"):
        prepare("librispeech", speech, "test-clean", *whole)
    assert prepare("librispeech", speech, "dev-clean test-clean").count == 2


def test_fewer_utterances_than_published(speech, tts, prepare, caplog):
    whole = ("--layout_conf", "complete=true")
    message = "dev-clean has 2 of {} utterances: unpacked by half.*complete=false takes"
    for layout, root, number in (
        ("librispeech", speech, 2703),
        ("libritts", tts, 5736),
    ):
        with pytest.raises(FileNotFoundError, match=message.format(number)):
            prepare(layout, root, "dev-clean", *whole)
    assert prepare("libritts", tts, "dev-clean").count == 2
    assert (
        "1 (part that is not complete): dev-clean with 2 of 5736 utter" in caplog.text
    )
    tts.rename(tts.with_name("LibriTTS_R"))  # of which the number is not known
    assert prepare("libritts_r", tts.parent, "dev-clean", *whole).count == 2


def test_bad_files_are_named(tts, prepare):
    folder = tts / "dev-clean/84/134686"
    wav = folder / "84_134686_000004_000000.wav"
    (folder / "._84_134686_000004_000000.wav").write_bytes(b"\0\5\x16\7")
    (folder / ".DS_Store").write_bytes(b"x")
    shutil.copy(wav, folder / "84_134686_000009_000000.wav")  # no text
    (folder / "84_134686_000010_000000.wav").write_bytes(b"")
    (folder / "84_134686_000010_000000.normalized.txt").write_text("zero")
    (folder / "84_134686_000011_000000.normalized.txt").write_text("no audio")
    (folder / "84_134686_000012_000000.normalized.txt").write_text(" \n")
    shutil.copy(wav, folder / "84_134686_000012_000000.wav")
    table = folder / "84_134686.trans.tsv"
    lines = table.read_text(encoding="utf-8").splitlines()
    lines[0] = lines[0].replace("dollars", "cafe\u0301s")  # NFD, with BOM and CRLF
    table.write_text("\ufeff" + "\r\n".join([*lines, "", "two\tcolumns"]), "utf-8")
    found = prepare("libritts", tts, "dev-clean")
    assert found.text["84_134686_000004_000000"] == "Mister Bell paid five caf\xe9s."
    assert found.count == 2
    assert {reason: len(names) for reason, names in found.skipped.items()} == {
        "macOS resource file": 1,
        "audio without text": 1,
        "audio file of zero bytes": 1,
        "text without audio": 1,
        "empty text": 1,
    }
    assert found.skipped["text without audio"] == ["84_134686_000011_000000"]


def test_libritts_r_known_damage(tmp_path, prepare):
    root = fake_corpora.libritts(tmp_path / "LibriTTS_R", {"dev-clean": "1092"})
    folder = root / "dev-clean/1092/134686"
    for ending in (".wav", ".normalized.txt"):
        source = folder / f"1092_134686_000004_000000{ending}"
        shutil.copy(source, folder / f"1092_134562_000013_000004{ending}")
    found = prepare("libritts_r", tmp_path, "dev-clean")
    assert found.count == 2
    assert list(found.skipped) == ["known to be damaged in LibriTTS-R"]


def test_transcripts_of_librispeech(speech, prepare, caplog):
    folder = speech / "dev-clean/84/134686"
    (folder / "84-134686.trans.txt").write_bytes(
        b"84-134686-0000 CAF\xc9\n\n84-134686-0001\n84-134686-0000 TWICE\n"
    )
    found = prepare("librispeech", speech, "dev-clean")
    assert found.text == {"84-134686-0000": "CAF\xc9"}
    assert found.skipped == {"empty text": ["84-134686-0001"]}
    assert "1 (read as cp1252, for it is not UTF-8)" in caplog.text
    assert "1 (more than one text of an id): 84-134686-0000" in caplog.text
