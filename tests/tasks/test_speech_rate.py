"""Training on a dump of another rate than the model takes."""

from argparse import Namespace

import numpy as np
import pytest
import soundfile

from espnet2_taste.tasks.speech_rate import CountsBins, at_rate


@pytest.fixture
def args(tmp_path):
    """Training data of 24 kHz, validation data of 16 kHz."""
    for part, rate in (("train", 24000), ("valid", 16000)):
        soundfile.write(tmp_path / f"{part}.wav", np.zeros(rate), rate)
        (tmp_path / f"{part}.scp").write_text(f"u {tmp_path}/{part}.wav\n")
    return Namespace(
        train_data_path_and_name_and_type=[
            (f"{tmp_path}/train.scp", "speech", "sound")
        ],
        valid_data_path_and_name_and_type=[
            (f"{tmp_path}/valid.scp", "speech", "sound")
        ],
    )


def keep(uid, data):
    return data


def test_each_set_is_resampled_from_its_own_rate(args):
    speech = {"speech": np.zeros(24000, np.float32)}
    assert len(at_rate(keep, 16000, args, train=True)("u", speech)["speech"]) == 16000
    assert at_rate(keep, 16000, args, train=False) is keep
    args.train_data_path_and_name_and_type = [("feats.scp", "feats", "kaldi_ark")]
    assert at_rate(keep, 16000, args, train=True) is keep


class Espnet:
    @classmethod
    def build_iter_options(cls, args, distributed_option, mode):
        return Namespace(batch_bins=100)


class Task(CountsBins, Espnet):
    @classmethod
    def sample_rate(cls, args):
        return args.wanted


@pytest.mark.parametrize(
    ("wanted", "bins"), [(16000, [150, 100]), (24000, [100, 67]), (12000, [200, 133])]
)
def test_bins_are_samples_at_the_models_rate(args, wanted, bins):
    args.wanted = wanted
    found = [Task.build_iter_options(args, None, mode) for mode in ("train", "valid")]
    assert [options.batch_bins for options in found] == bins
