"""Dialogues: a file of turns, one made of two corpora, and turns with codes joined."""

import json

import fake_corpora
import kaldiio
import numpy as np
import pytest

from espnet2_taste.bin.dialogue import main
from espnet2_taste.corpora.dialogues import read_dialogues
from espnet2_taste.io.tables import read_table

TURNS = [
    {"role": "system", "text": "be brief"},
    {"role": "user", "audio": "q.wav", "text": "are you there", "speaker": "amy"},
    {"role": "assistant", "audio": "sub/a.wav", "text": "yes i am here", "said": 2},
    {"role": "user", "audio": "q.wav", "text": "good"},
    {"role": "assistant", "audio": "sub/a.wav", "text": "what now", "speaker": "bob"},
]


def write(path, *dialogues):
    lines = [json.dumps({"id": f"d{i}", "turns": t}) for i, t in enumerate(dialogues)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("q.wav", "sub/a.wav"):
        fake_corpora.write_audio(tmp_path / name)
    return tmp_path


def test_turns_are_utterances(folder, prepare):
    path = write(folder / "d.jsonl", TURNS, TURNS[1:2] + [TURNS[2] | {"audio": "none"}])
    found = prepare("dialogues", path)
    assert found.text == {
        "d0-001": "are you there",
        "d0-002": "yes i am here",
        "d0-003": "good",
        "d0-004": "what now",
        "d1-000": "are you there",
    }
    assert found.skipped == {"no such file, or a broken link": [str(folder / "none")]}


def codes(folder, sizes):
    """taste.scp of utterances of so many rows, two books."""
    folder.mkdir()
    table, value = {}, 0
    for name, size in sizes.items():
        table[name] = np.arange(value, value + 2 * size, dtype=np.int32)
        value += 2 * size
    kaldiio.save_ark(str(folder / "taste.ark"), table, str(folder / "taste.scp"))
    spec = "num_codebooks: 2\ncodebook_size: 99\ngranularity: word\n"
    (folder / "taste_spec.yaml").write_text(spec)
    return table


def test_turns_are_joined_with_their_codes(folder, caplog):
    silent = [TURNS[1], TURNS[4]]
    path = write(folder / "d.jsonl", TURNS, TURNS[1:3], silent, TURNS[:2])
    texts = {"d0-001": "are you there", "d0-002": "yes i am here", "d0-003": "good"}
    texts |= {"d0-004": "what now", "d1-000": "are you there", "d1-001": "gone"}
    texts |= {"d2-000": "", "d2-001": "what now", "d3-001": "are you there"}
    (folder / "text").write_text("".join(f"{k} {v}\n" for k, v in texts.items()))
    sizes = {k: len(v.split()) for k, v in texts.items() if v and k != "d1-001"}
    table = codes(folder / "codes", sizes)
    out = folder / "out"
    main(["join", str(path), str(folder), str(folder / "codes/taste.scp"), str(out)])
    lines = {k: json.loads(v) for k, v in read_table(out / "text").items()}
    assert list(lines) == ["d0", "d2"]
    assert lines["d0"][:3] == [
        {"role": "system", "text": "be brief", "spoken": False},
        {"role": "user", "text": "are you there"},
        {"role": "assistant", "text": "yes i am here", "said": 2},
    ]
    assert lines["d2"][0] == {"role": "user", "text": ""}
    made = kaldiio.load_scp(str(out / "taste.scp"))
    expected = np.concatenate([table[f"d0-00{i}"] for i in range(1, 5)])
    assert np.array_equal(made["d0"], expected) and len(made["d2"]) == 4
    assert read_table(out / "utt2spk") == {"d0": "bob", "d2": "bob"}
    assert read_table(out / "words_shape") == {"d0": "12", "d2": "2"}
    assert "num_codebooks: 2" in (out / "taste_spec.yaml").read_text()
    assert "left out 1 (a turn has no codes): d1-001" in caplog.text
    assert "left out 1 (the assistant says nothing): d3" in caplog.text
    (folder / "text").write_text("x y\n")
    with pytest.raises(ValueError, match="d.jsonl: no dialogue is left"):
        table = str(folder / "codes/taste.scp")
        main(["join", str(path), str(folder), table, str(out)])


def test_dialogues_of_two_corpora(folder):
    rng = np.random.default_rng(0)
    for name, count in (("a", 9), ("b", 7)):
        data = folder / name
        data.mkdir()
        words = [" ".join(rng.choice(list("uvwxyz"), 4)) for _ in range(count)]
        rows = {"wav.scp": folder / "q.wav", "utt2spk": name}
        for table, value in rows.items():
            lines = [f"{name}{i} {value}\n" for i in range(count)]
            (data / table).write_text("".join(lines))
        lines = [f"{name}{i} {text}\n" for i, text in enumerate(words)]
        (data / "text").write_text("".join(lines))
        (data / "spk2utt").write_text(
            f"{name} {' '.join(sorted(f'{name}{i}' for i in range(count)))}\n"
        )
    command = ["pair", str(folder / "a"), str(folder / "b"), "--turns", "4"]
    command += ["--interrupted", "1"]
    main([*command, "--output", str(folder / "one.jsonl")])
    main([*command, "--output", str(folder / "again.jsonl")])
    assert (folder / "one.jsonl").read_text() == (folder / "again.jsonl").read_text()
    found = list(read_dialogues(folder / "one.jsonl"))
    assert len(found) == 3  # of seven answers six
    for dialogue in found:
        assert [t["role"] for t in dialogue.turns] == ["user", "assistant"] * 2
        assert [t["speaker"] for t in dialogue.turns] == ["a", "b"] * 2
        assert "said" not in dialogue.turns[-1]
        assert 1 <= dialogue.turns[1]["said"] <= 3
    with pytest.raises(ValueError, match="--turns 3: an even number"):
        main(["pair", "a", "b", "--turns", "3", "--output", "x.jsonl"])
    with pytest.raises(ValueError, match="too few utterances for 40 turns"):
        main([*command[:3], "--turns", "40", "--output", str(folder / "x.jsonl")])
    assert not (folder / "x.jsonl").exists()


@pytest.mark.parametrize(
    "line,message",
    [
        ("[]", "no JSON object"),
        ('{"id": "a b", "turns": []}', "id 'a b': expected one without spaces"),
        ('{"id": "a", "turns": []}', "a has no list of turns"),
        ('{"id": "a", "turns": [1]}', "a: turn 0 is no JSON object"),
        ('{"id": "a", "turns": [{"role": "user", "wav": "x"}]}', "turn 0 has wav; kno"),
        ('{"id": "a", "turns": [{"text": "x"}]}', "role None: one of system, user, as"),
        ('{"id": "a", "turns": [{"role": "user"}]}', "turn 0 has neither audio nor"),
        (
            '{"id": "a", "turns": [{"role": "user", "text": "x", "said": "1"}]}',
            "said '1' is no int",
        ),
        (
            '{"id": "a", "turns": [{"role": "user", "text": "x", "said": -1}]}',
            "said -1: expected a number of words",
        ),
        ('{"id": "d0", "turns": [{"role": "user", "text": "x"}]}', "d0 appears twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = write(tmp_path / "d.jsonl", [{"role": "user", "text": "x"}])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=f"d.jsonl:2: .*{message}"):
        list(read_dialogues(path))
