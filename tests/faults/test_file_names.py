"""An utterance's files: its own, in their folder, and the id can be read from them."""

import string
from pathlib import Path, PurePosixPath

import kaldiio
import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from espnet2_taste.bin.format_wav import main as format_wav
from espnet2_taste.bin.synthesize import main as synthesize
from espnet2_taste.evaluate.report.listen import find_attention
from espnet2_taste.evaluate.report.training import read_maps
from espnet2_taste.evaluate.testsets.files import TestSet, write_testset
from espnet2_taste.inference.speech_to_taste import TasteTokens
from espnet2_taste.io.audio import read_audio
from espnet2_taste.io.file_names import file_name, key_of
from espnet2_taste.io.tables import read_table, write_table
from espnet2_taste.units.unit_spec import UnitSpec

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


#: Ids that shared a file, left their folder or had no file at all.
TRAPS = [
    *("a/b", "a_b", "a%2Fb", "a%b", "a//b", "/a", "a/", "/etc/passwd", "~", "~root"),
    *("..", ".", "../x", "../../x", "a/../../x", ".hidden", "-rf", "CON", "nul.wav"),
    *(
        "é",
        "e\u0301",
        "語" * 80,
        "x" * 250,
        "x" * 249 + "/",
        "." * 250,
        "x" * 250 + "y",
    ),
    *("a:1", "a|", "a;b", "$HOME", "`id`", "a'b", 'a"b', "a\\b", "<b>", "?", "*", "#"),
    *("u.wav", "u", "u.flac", "1ep.png", "attention", "🙂", "\u200b", "A", "Ä"),
]


def check_files(paths: dict[str, str], folder: Path) -> None:
    """Each id has a file of its own in the folder."""
    assert set(paths) == set(TRAPS)
    for path in map(Path, paths.values()):
        assert path.is_file() and ".." not in path.parts
        assert path.resolve().is_relative_to(folder.resolve())
    assert len({Path(path).resolve() for path in paths.values()}) == len(TRAPS)


@pytest.mark.parametrize("audio_format", ["wav", "flac.ark"])
def test_stage_2(tmp_path, audio_format):
    (tmp_path / "in").mkdir()
    for i in range(len(TRAPS)):
        soundfile.write(tmp_path / f"{i}.wav", np.full(400 + i, 0.1), 16000)
    wavs = {key: str(tmp_path / f"{i}.wav") for i, key in enumerate(TRAPS)}
    write_table(tmp_path / "in" / "wav.scp", wavs)
    for name in ("text", "utt2spk"):
        write_table(tmp_path / "in" / name, dict.fromkeys(TRAPS, "s"))
    out = tmp_path / "deep" / "out"
    format_wav([str(tmp_path / "in"), str(out), "--audio_format", audio_format])
    entries = read_table(out / "wav.scp")
    lengths = {key: len(read_audio(e, key, 16000)) for key, e in entries.items()}
    assert lengths == {key: 400 + i for i, key in enumerate(TRAPS)}
    if audio_format != "flac.ark":
        check_files(entries, out / "wav")
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert all(
        p.is_relative_to(out) or p.parent.name == "in" or p.parent == tmp_path
        for p in written
    )


def test_synthesis(tmp_path):
    spec = UnitSpec(20, 25.0, 24000)
    (tmp_path / "unit_spec.yaml").write_text(spec.text())
    (tmp_path / "toy.json").write_text(
        '{"unit_spec": {"num_units": 20, "unit_rate": 25.0, "sample_rate": 24000}, '
        '"spk_embed_dim": 2}'
    )
    units = {k: np.arange(1 + i % 20, dtype=np.int32) for i, k in enumerate(TRAPS)}
    speakers = {key: np.ones(2, np.float32) for key in TRAPS}
    for name, arrays in (("units", units), ("spk_emb", speakers)):
        kaldiio.save_ark(f"{tmp_path}/{name}.ark", arrays, scp=f"{tmp_path}/{name}.scp")
    out = tmp_path / "deep" / "out"
    cmd = [
        "--condition",
        "units",
        "--data_dir",
        str(tmp_path),
        "--output_dir",
        str(out),
    ]
    cmd += ["--vocoder_type", "toy_vocoder.ToyVocoder"]
    synthesize([*cmd, "--vocoder", f"{tmp_path}/toy.json"])
    entries = read_table(out / "wav.scp")
    check_files(entries, out / "wav")
    for key, path in entries.items():
        assert soundfile.info(path).frames == 960 * len(units[key])


def test_attention_of_the_tokenizer_and_its_pictures(tmp_path):
    import torch
    from PIL import Image

    kept = torch.zeros(0, dtype=torch.long)
    for i, key in enumerate(TRAPS):
        tokens = TasteTokens([str(i)], kept, kept, torch.ones(1, 2), 1.0)
        tokens.save_attention(tmp_path / "attention" / file_name(key, ".npz"))
        path = tmp_path / "att_ws" / file_name(key, "/1ep.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (1, 1)).save(path)
    found = find_attention(tmp_path)
    check_files(found, tmp_path / "attention")
    for i, key in enumerate(TRAPS):
        assert np.load(found[key])["words"] == [str(i)]
    assert set(read_maps(tmp_path)) <= set(TRAPS) and read_maps(tmp_path)


def test_attention_that_espnet_draws(tmp_path):
    """That of the recogniser, say: ``<folder>/<id>/<name>.<epoch>ep.png``."""
    import torch
    from espnet2.asr.encoder.transformer_encoder import MultiHeadedAttention
    from espnet2.train.reporter import Reporter
    from espnet2.train.trainer import TrainerOptions

    from espnet2_taste.tasks.saving_trainer import SavingTrainer

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.att = MultiHeadedAttention(1, 2, 0.0)

        def forward(self, x, **batch):
            return self.att(x, x, x, None)

    keys = [*TRAPS[:8], str(tmp_path / "corpus")]
    batch = {"x": torch.zeros(len(keys), 3, 2), "x_lengths": torch.full((9,), 3)}
    reporter, options = Reporter(), object.__new__(TrainerOptions)
    options.ngpu, options.no_forward_run, options.use_wandb = 0, False, False
    with reporter.observe("att_plot") as sub:
        folder = tmp_path / "deep" / "att_ws"
        drawn = [(keys, batch)]
        SavingTrainer.plot_attention(Model(), folder, None, drawn, sub, options)
    found = list(tmp_path.rglob("*.png"))
    assert len(found) == len(keys)
    assert all(path.is_relative_to(folder) for path in found)


def test_published_test_sets_keep_ids_apart(tmp_path):
    ids = [*TRAPS, "a b", "a  b", "a\tb", "a%20b", "a\u2028b", "a\xa0b", "a\nb"]
    wavs = {key: Path(f"{i}.wav") for i, key in enumerate(ids)}
    answers = {key: [str(i)] for i, key in enumerate(ids)}
    write_testset(TestSet(wavs, answers=answers), tmp_path, "set")
    table = read_table(tmp_path / "wav.scp")
    assert sorted(table.values()) == sorted(str(path) for path in wavs.values())
    assert all(len(key.split()) == 1 for key in table)
