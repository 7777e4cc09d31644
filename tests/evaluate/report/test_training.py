import io

import numpy as np
from PIL import Image

from espnet2_taste.evaluate.report.training import Training, training_section

LOG = (
    "[host] 2026-01-01 00:00:00,000 (trainer:394) INFO: {0}epoch results: [train] "
    "iter_time=1.1e-04, loss={1}, acc=0.5, optim0_lr0=1.0e-03, train_time=0.2, "
    "effective_batch_size=16.000, trainable_parameters=1.234e+06, "
    "time=1 minute and 2.3 seconds, total_count=20, [valid] loss={2}, acc=nan, "
    "time=3.21 seconds, total_count=4\n"
)


def test_curves_of_a_resumed_run(tmp_path):
    (tmp_path / "train.1.log").write_text(LOG.format(1, 9, 9.5) + LOG.format(2, 99, 99))
    (tmp_path / "train.log").write_text(LOG.format(2, 7, 8.5) + LOG.format(3, 6, 8))
    found = Training.read(tmp_path)
    # Epoch 2 was run twice: the newer log wins. acc is nan in validation, the rest
    # exists in training only.
    assert found.curves == {
        "loss": {
            "train": [(1, 9.0), (2, 7.0), (3, 6.0)],
            "valid": [(1, 9.5), (2, 8.5), (3, 8.0)],
        }
    }
    html = training_section({"tokenizer": found})
    assert "1,234,000 trainable parameters, 16 effective batch size" in html
    assert html.count("<polyline") == 2 and 'title="what is minimised' in html


def test_one_epoch_is_a_table(tmp_path):
    (tmp_path / "train.log").write_text(LOG.format(1, 9, 9.5))
    html = training_section({"tokenizer": Training.read(tmp_path)})
    assert "<svg" not in html and '<td data-value="9.5">9.5</td>' in html


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
    picture = Image.open(io.BytesIO(found.maps["u1"][1][1]))
    assert picture.size == (640, 25)
    assert np.asarray(picture.convert("L")).mean() == 90
    html = training_section({"tokenizer": found})
    assert html.count("<img") == 6 and "epoch 11" in html


def test_nothing_to_show(tmp_path):
    assert training_section({"tokenizer": Training.read(tmp_path)}) == ""
