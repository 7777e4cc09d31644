"""Commands take the packed folder itself, whatever part they need of it."""

import kaldiio
import pytest
import soundfile
from published_names import TINY
from tiny_onnx import write_campplus, write_s3

from espnet2_taste.bin import (
    edit,
    extract_speakers,
    extract_units,
    synthesize,
    taslm_generate,
    taslm_likelihood,
    tokenize,
)
from espnet2_taste.io.tables import read_table

TEXT = "set the red lamp"


@pytest.fixture
def data(tmp_path, wav):
    """Two readings of a text."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a", "b"):
        soundfile.write(folder / f"{name}.wav", wav, 16000)
    rows = {"wav.scp": f"{folder}/%s.wav", "text": TEXT, "utt2spk": "%s"}
    rows["utt2num_samples"] = str(len(wav))
    for name, row in rows.items():
        lines = [f"{key} {row.replace('%s', key)}\n" for key in "ab"]
        (folder / name).write_text("".join(lines))
    return folder


def test_every_command_takes_the_packed_folder(make_hub, convert, data, tmp_path):
    pytest.importorskip("onnx")
    hub = make_hub()
    write_s3(hub / "cosyvoice" / "speech_tokenizer_v1.onnx", TINY["units"])
    write_campplus(hub / "cosyvoice" / "speaker_embed.onnx", TINY["spk"])
    packed = str(convert(hub))
    place = ["--data_dir", str(data), "--output_dir"]
    out = tmp_path / "out"
    extract_speakers.main([*place, str(data), "--model", packed])
    extract_units.main([*place, str(out / "units"), "--model", packed])
    synthesize.main(
        [*place, str(out / "copy"), "--vocoder", packed, "--condition", "units"]
        + ["--units", str(out / "units" / "units.scp")]
        + ["--spk_emb", str(data / "spk_emb.scp")]
    )
    place = ["--model_file", packed, *place]
    tokenize.main([*place, str(out / "codes")])
    taste = ["--taste", str(out / "codes" / "taste.scp")]
    synthesize.main([*place, str(out / "said"), "--condition", "codes", *taste])
    edit.main(
        [*place, str(out / "edit"), "--first", "a", "--second", "b", "--words", "1"]
    )
    taslm_generate.main([*place, str(out / "more"), *taste, "--prompt_words", "2"])
    taslm_likelihood.main([*place, str(out / "score"), *taste])
    assert len(kaldiio.load_scp(f"{out}/codes/taste.scp")["a"]) == 4 * TINY["R"]
    for folder in ("copy", "said", "edit"):
        for path in read_table(out / folder / "wav.scp").values():
            assert soundfile.info(path).samplerate == 22050
    assert set(read_table(out / "more" / "text")) <= {"a", "b"}
    assert set(read_table(out / "score" / "score")) == {"a", "b"}

    model = ["--model_file", f"{packed}/taste/model.pth", *place[2:], str(out / "x")]
    with pytest.raises(ValueError, match="give --vocoder and its --vocoder_type"):
        synthesize.main(model)
    with pytest.raises(ValueError, match="taste/config.yaml has no quantizer_dim"):
        taslm_likelihood.main([*model, *taste])
    assert not (out / "x").exists()
