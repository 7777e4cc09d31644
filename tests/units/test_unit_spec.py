"""What does not belong together is refused in one line, wherever parts meet."""

from argparse import Namespace

import kaldiio
import numpy as np
import pytest

from espnet2_taste.tasks.options import settle_units
from espnet2_taste.units.unit_spec import S3, UnitSpec, check_fit

TOY = UnitSpec(20, 25.0, 24000)
OTHERS = {
    "num_units": (UnitSpec(21, 25.0, 24000), None, "21 units instead of 20"),
    "unit_rate": (UnitSpec(20, 50.0, 24000), None, "50 units a second instead of 25"),
    "sample_rate": (
        UnitSpec(20, 25.0, 22050),
        None,
        "units of 22050 Hz speech instead of 24000 Hz",
    ),
    "spk_embed_dim": (TOY, 9, "speaker embeddings of 9 dimensions instead of 8"),
}


@pytest.fixture(params=OTHERS)
def other(request):
    """A spec, a speaker width, and what is said of them beside TOY and 8."""
    return OTHERS[request.param]


def test_a_mismatch_is_one_line(other):
    spec, width, words = other
    with pytest.raises(ValueError) as error:
        check_fit("the vocoder", TOY, "exp/taste", spec, (8, width))
    assert str(error.value) == (
        f"exp/taste does not fit the vocoder: {words}; take parts that were made for "
        "each other"
    )


def test_what_is_not_known_fits():
    check_fit("a", TOY, "b", TOY, (8, 8))
    check_fit("a", UnitSpec(20), "b", TOY, (None, 9))
    check_fit("a", None, "b", TOY)
    with pytest.raises(ValueError, match="21 units instead of 20"):
        check_fit("a", UnitSpec(20), "b", UnitSpec(21, 25.0))


def test_file(tmp_path):
    assert UnitSpec.beside(tmp_path / "units.scp") is None
    (tmp_path / UnitSpec.FILE).write_text(TOY.text())
    assert UnitSpec.beside(tmp_path / "units.scp") == TOY
    (tmp_path / UnitSpec.FILE).write_text("units: 3\n")
    with pytest.raises(ValueError, match="unit_spec.yaml: expected num_units"):
        UnitSpec.beside(tmp_path / "units.scp")


def training(folder, **options):
    """Options of a training whose units and embeddings are TOY's and 8 wide."""
    (folder / UnitSpec.FILE).write_text(TOY.text())
    arrays = {"u": np.zeros(8, np.float32)}
    kaldiio.save_ark(f"{folder}/spk.ark", arrays, scp=f"{folder}/spk_emb.scp")
    data = [
        (f"{folder}/units.scp", "units", "kaldi_ark"),
        (f"{folder}/spk_emb.scp", "spk_emb", "kaldi_ark"),
    ]
    return Namespace(
        train_data_path_and_name_and_type=data,
        valid_data_path_and_name_and_type=data,
        **{"unit_spec": None, "num_units": None, "spk_embed_dim": 8} | options,
    )


@pytest.mark.parametrize(
    "options", [{}, {"num_units": 20}, {"unit_spec": vars(TOY), "num_units": 20}]
)
def test_training_takes_what_the_data_has(tmp_path, options):
    args = training(tmp_path, **options)
    settle_units(args)
    assert args.unit_spec == vars(TOY) and args.num_units == 20
    assert UnitSpec.of(args) == TOY


def test_training_on_other_units_is_refused(tmp_path, other):
    spec, width, _ = other
    args = training(tmp_path, unit_spec=vars(spec), spk_embed_dim=width or 8)
    with pytest.raises(ValueError, match="(units|spk_emb).scp does not fit this model"):
        settle_units(args)


def test_training_and_validation_units_must_be_the_same(tmp_path):
    (tmp_path / "other").mkdir()
    args, other = training(tmp_path), training(tmp_path / "other")
    (tmp_path / "other" / UnitSpec.FILE).write_text(S3.text())
    args.valid_data_path_and_name_and_type = other.valid_data_path_and_name_and_type
    with pytest.raises(ValueError, match="other/units.scp does not fit this model"):
        settle_units(args)


def test_old_options_have_a_number_alone():
    assert UnitSpec.of(Namespace(num_units=512)) == UnitSpec(512)
    assert UnitSpec.of(Namespace()) == S3
