import base64
import io

import numpy as np
from PIL import Image

from espnet2_taste.evaluate.report.training import Training


def opened(uri):
    """The picture of a data URI."""
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_curves_are_espnets(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("loss", "loss_units", "iter_time"):
        Image.new("RGB", (640, 480)).save(tmp_path / "images" / f"{name}.png")
    found = Training.read(tmp_path)
    assert list(found.curves) == ["loss", "loss_units"]
    assert opened(found.curves["loss"]).size == (320, 240)


def test_attention_at_first_middle_and_last_epoch(tmp_path):
    for utt in ("u1", "u2", "u3"):
        folder = tmp_path / "att_ws" / utt
        folder.mkdir(parents=True)
        for epoch in (1, 2, 9, 10, 11):
            pixels = np.full((50, 1280, 3), 10 * epoch, np.uint8)
            Image.fromarray(pixels).save(folder / f"{epoch}ep.png")
        (folder / "notes.txt").write_text("")
    found = Training.read(tmp_path)
    assert list(found.maps) == ["u1", "u2"]
    assert [epoch for epoch, _ in found.maps["u1"]] == [1, 9, 11]
    picture = opened(found.maps["u1"][1][1])
    assert picture.size == (640, 25)
    assert np.asarray(picture.convert("L")).mean() == 90


def test_nothing_to_show(tmp_path):
    assert Training.read(tmp_path) == Training()
