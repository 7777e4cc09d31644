"""Tiny test sets in the layouts of the public ones -> data directories."""

import csv
import json

import numpy as np
import pytest
import soundfile

from espnet2_taste.bin.prepare_testset import main
from espnet2_taste.evaluate.testsets.files import read_answers, read_pairs
from espnet2_taste.evaluate.testsets.layouts import LAYOUTS
from espnet2_taste.io.tables import read_table


@pytest.fixture
def wav(tmp_path):
    """Callable that writes a short recording; its parents are made."""

    def write(*names):
        for name in names:
            path = tmp_path / "set" / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.full(160, 0.1), 16000, "PCM_16")
        return tmp_path / "set"

    return write


def prepare(layout, root, *options):
    out = root.parent / "out"
    command = ["--layout", layout, "--root", str(root), "--output_dir", str(out)]
    main([*command, "--name", "t", *options])
    wavs, speakers = read_table(out / "wav.scp"), read_table(out / "utt2spk")
    assert wavs.keys() == speakers.keys() and list(wavs) == sorted(wavs)
    return out, wavs


def test_salmon(wav, caplog):
    tasks = ("bg_alignment", "speaker_consistency")
    for task in tasks:
        wav(*(f"{task}/sample_{i}_{side}" for i in (0, 2, 11) for side in (0, 1)))
    root = wav("bg_alignment/sample_5_0", "bg_alignment/odd", "gender/sample_0_0")
    (root / "text").write_text("bg_alignment/sample_2_1 hear the dog\n")
    out, wavs = prepare("salmon", root)
    pairs = read_pairs(out / "pairs")
    assert [p.task for p in pairs] == [t for t in tasks for _ in range(3)]
    first = pairs[0]
    assert first.name == first.item == "t-bg_alignment-sample_0"
    assert wavs[first.positive].endswith("bg_alignment/sample_0_0.wav")
    assert wavs[first.negative].endswith("bg_alignment/sample_0_1.wav")
    assert len(wavs) == 12
    assert read_table(out / "text") == {"t-bg_alignment-sample_2_1": "hear the dog"}
    assert "left out 1 (a side of the pair is missing): bg_alignment-sample_5" in (
        caplog.text
    )
    assert "left out 1 (no name like sample_3_0.wav)" in caplog.text
    assert not (prepare("salmon", root, "--no_text")[0] / "text").exists()


def test_salmon_with_several_distractors_has_items(wav):
    root = wav(*(f"rir_consistency/sample_4_{side}" for side in (0, 1, 2)))
    pairs = read_pairs(prepare("salmon", root)[0] / "pairs")
    assert [p.negative[-1] for p in pairs] == ["1", "2"]
    assert {p.item for p in pairs} == {"t-rir_consistency-sample_4"}


def test_storycloze(wav, caplog):
    stories = ["8cc6-4a", "7f_1"]
    for i, story in enumerate(stories):
        wav(f"{2 * i}_{story}_correct", f"{2 * i + 1}_{story}_incorrect")
    root = wav("9_alone_correct", "noise")
    out, wavs = prepare("storycloze", root)
    pairs = {p.name: p for p in read_pairs(out / "pairs")}
    assert pairs.keys() == {"t-8cc6-4a", "t-7f_1"}
    for i, story in enumerate(stories):
        pair = pairs[f"t-{story}"]
        assert wavs[pair.positive].endswith(f"/{2 * i}_{story}_correct.wav")
        assert wavs[pair.negative].endswith(f"/{2 * i + 1}_{story}_incorrect.wav")
    assert "a side of the pair is missing): alone" in caplog.text
    wav("6_7f_1_correct")
    with pytest.raises(ValueError, match="correct.wav: 7f_1 has this side twice"):
        prepare("storycloze", root)


def test_storycloze_in_folders_numbered(wav):
    root = wav("a/0_correct", "a/0_incorrect", "b/0_correct", "b/0_incorrect")
    pairs = read_pairs(prepare("storycloze", root)[0] / "pairs")
    assert [p.name for p in pairs] == ["t-a/0", "t-b/0"]


def write_gold(root, part, header, rows):
    folder = root / part / "dev"
    with open(folder / "gold.csv", "w", newline="") as lines:
        csv.writer(lines).writerows([header.split(), *rows])


def test_swuggy_items_are_words_and_tasks_their_frequency(wav, caplog):
    header = "filename id voice frequency word phones length correct"
    rows, names = [], []
    for item, frequency in (("0", "12"), ("1", "0"), ("2", "")):
        for voice in ("A", "B"):
            for correct in ("0", "1"):
                names.append(f"f{item}{voice}{correct}")
                word = f"w{item}" if correct == "1" else f"n{item}"
                line = [names[-1], item, voice, frequency if correct == "1" else ""]
                rows.append([*line, word, "p h", "2", correct])
    root = wav(*(f"lexical/dev/{name}" for name in names))
    rows.append(["odd", "3", "A", "1", "w3", "p", "1", "1"])
    write_gold(root, "lexical", header, rows)
    (root / "lexical/dev/f1B0.wav").unlink()
    out, wavs = prepare("swuggy", root)
    pairs = read_pairs(out / "pairs")
    assert len(pairs) == 5 and len(wavs) == 10
    assert [(p.task, p.item) for p in pairs] == [
        ("in_vocab", "t-0"),
        ("in_vocab", "t-0"),
        ("oov", "t-1"),
        ("oov", "t-2"),
        ("oov", "t-2"),
    ]
    assert pairs[0].positive == "t-f0A1" and pairs[0].negative == "t-f0A0"
    text, speakers = read_table(out / "text"), read_table(out / "utt2spk")
    assert text["t-f0A1"] == "w0" and text["t-f0A0"] == "n0"
    assert speakers["t-f0B1"] == "t-B"
    assert "f1B0.wav): 1-B" in caplog.text and "missing): 3 A" in caplog.text


def test_sblimp(wav):
    header = "filename id voice type subtype transcription correct"
    rows = []
    for kind in ("npi licensing", "agreement"):  # one id in each
        for correct in (1, 0):
            name = f"{kind[:3]}{correct}"
            rows.append([name, 7, "V", kind, "s", f"word, {correct}", correct])
            wav(f"syntactic/dev/{name}")
    root = wav()
    write_gold(root, "syntactic", header, rows)
    out, _ = prepare("sblimp", root / "syntactic")  # the part's folder will do
    pairs = read_pairs(out / "pairs")
    assert [p.task for p in pairs] == ["agreement", "npi_licensing"]
    assert pairs[0].item == "t-agreement-s-7" and pairs[0].name.endswith("-V")
    assert read_table(out / "text")["t-npi0"] == "word, 0"
    write_gold(root, "syntactic", header, [*rows, rows[0]])
    with pytest.raises(ValueError, match="gold.csv: npi1 appears twice"):
        prepare("sblimp", root)
    rows[0][-1] = "yes"
    write_gold(root, "syntactic", header, rows)
    with pytest.raises(ValueError, match="npi1 has correct = 'yes'"):
        prepare("sblimp", root)
    write_gold(root, "syntactic", header.replace("subtype", "kind"), rows)
    with pytest.raises(ValueError, match="gold.csv:1: no column subtype"):
        prepare("sblimp", root)
    with pytest.raises(FileNotFoundError, match="which ZeroSpeech keeps to itself"):
        prepare("sblimp", root, "--split", "test")


def test_llama_questions(wav, caplog):
    root = wav("1", "2")
    (root / "llama_questions_300.tsv").write_text(
        "Questions\tAnswer\tWav Filename\n"
        'Who painted the "Mona Lisa"?\tLeonardo da Vinci\t1.wav\n'
        "What is the deepest part?\tChallenger Deep, Mariana Trench\t2.wav\n"
        "Gone?\tYes\t3.wav\n"
    )
    out, wavs = prepare("llama_questions", root)
    assert read_answers(out / "answers.jsonl") == {
        "t-1": ["Leonardo da Vinci"],
        "t-2": ["Challenger Deep, Mariana Trench"],
    }
    assert read_table(out / "text")["t-1"] == 'Who painted the "Mona Lisa"?'
    assert wavs["t-1"].endswith("/1.wav") and not (out / "pairs").exists()
    assert "left out 1 (no file, e.g. 3.wav): 3" in caplog.text


def test_web_questions_as_csv_and_jsonl(wav):
    root = wav("audios/web_0", "audios/web_1")
    table = root / "web_questions.csv"
    table.write_text(
        "question,answers,audio_filename\n"
        '"where, is it?",Rome; Roma,web_0.wav\n'
        "who?,Ann,web_1.wav\n"
    )
    out, _ = prepare("web_questions", root)
    expected = {"t-web_0": ["Rome", "Roma"], "t-web_1": ["Ann"]}
    assert read_answers(out / "answers.jsonl") == expected
    table.unlink()
    rows = [{"audio": "web_0.wav", "answers": ["Rome", "Roma"]}]
    rows.append({"audio": "web_1.wav", "answers": "Ann", "question": "who?"})
    (root / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out, _ = prepare("web_questions", root)
    assert read_answers(out / "answers.jsonl") == expected
    assert read_table(out / "text") == {"t-web_1": "who?"}  # the other is to be heard


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_of_another_layout_is_named(layout, wav, tmp_path):
    root = wav("other")
    with pytest.raises(FileNotFoundError, match="set should hold"):
        prepare(layout, root)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        prepare(layout, tmp_path / "nowhere")


@pytest.mark.parametrize("line", ["{broken", "1"])
def test_questions_that_are_no_json(wav, line):
    root = wav("1")
    row = json.dumps({"question": "who?", "answer": "Ann", "audio": "1.wav"})
    (root / "q.jsonl").write_text(f"{row}\n{line}\n")
    with pytest.raises(ValueError, match="q.jsonl:2: no JSON object"):
        prepare("web_questions", root)


def test_questions_that_lack_something(wav):
    root = wav("1")
    table = root / "q.tsv"
    table.write_text("Questions\tAnswer\nwho?\tAnn\n")
    with pytest.raises(ValueError, match="q.tsv:2: no wav filename or audio"):
        prepare("llama_questions", root)
    line = "who?\tAnn\t1.wav\n"
    table.write_text("Questions\tAnswer\tWav Filename\n" + 2 * line)
    with pytest.raises(ValueError, match="q.tsv:3: 1.wav appears twice"):
        prepare("llama_questions", root)
    table.write_text("Questions\tAnswer\tWav Filename\nwho?\t \t1.wav\n")
    with pytest.raises(FileNotFoundError, match="no pair or question: .* should hold"):
        prepare("llama_questions", root)
    (root / "second.csv").write_text("")
    with pytest.raises(FileNotFoundError, match="2 tables"):
        prepare("llama_questions", root)


def test_sets_can_be_combined(wav):
    from espnet2_taste.bin.datadir import main as datadir

    root = wav("rir_consistency/sample_0_0", "rir_consistency/sample_0_1")
    (root / "text").write_text(
        "rir_consistency/sample_0_0 a\nrir_consistency/sample_0_1 b\n"
    )
    outs = [root.parent / name for name in ("one", "two")]
    for out in outs:
        main(["--layout", "salmon", "--root", str(root), "--output_dir", str(out)])
    target = root.parent / "both"
    datadir(["combine", *map(str, outs), "--target", str(target)])
    datadir(["validate", str(target)])
    assert {u.split("-")[0] for u in read_table(target / "text")} == {"one", "two"}


def test_malformed_pairs_and_answers_are_named(tmp_path):
    pairs, answers = tmp_path / "pairs", tmp_path / "answers.jsonl"
    with pytest.raises(FileNotFoundError, match="bin.prepare_testset"):
        read_pairs(pairs)
    for content, message in (
        ("p t a b\n", "pairs:1: expected id, task, positive, negative and item"),
        ("p t a b i\np t c d i\n", "pairs:2: pair p appears twice"),
        ("p t a a i\n", "pairs:1: pair p has one side only"),
        ("\n", "no pair"),
    ):
        pairs.write_text(content)
        with pytest.raises(ValueError, match=message):
            read_pairs(pairs)
    for content, message in (
        ('{"key": "q"}\n', "answers.jsonl:1: expected"),
        ('{"key": "q", "answers": []}\n', "question q has no answer"),
        ('{"key": "q", "answers": ["a"]}\n' * 2, ":2: question q appears twice"),
        ("", "no question"),
    ):
        answers.write_text(content)
        with pytest.raises(ValueError, match=message):
            read_answers(answers)
