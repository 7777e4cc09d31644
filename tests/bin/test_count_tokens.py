import pytest

from espnet2_taste.bin.count_tokens import main
from espnet2_taste.io.tables import read_table


def count(tiny_data, tmp_path, conf, *options):
    (tmp_path / "train.yaml").write_text(conf)
    out = tmp_path / "stats/tokens_shape"
    command = ["--config", str(tmp_path / "train.yaml"), "--data_dir", str(tiny_data)]
    main([*command, "--output", str(out), *options])
    return list(read_table(out).items())


def test_letters_and_the_spaces_before_words(tiny_data, tmp_path):
    conf = f"token_type: char\ntoken_model: {tiny_data}/char.txt\n"
    given = ["--bpe_model", "is not read"]
    found = count(tiny_data, tmp_path, conf, *given)
    assert found[0] == ("utt0", str(len(" the red lamp"))) and len(found) == 6
    found = count(tiny_data, tmp_path, conf, *given, "--segmenter", "plain")
    assert found[0] == ("utt0", str(len("the red lamp")))


def test_a_recipe_gives_the_model_in_any_case(tiny_data, tmp_path):
    with pytest.raises(FileNotFoundError, match="no.model"):
        count(tiny_data, tmp_path, "lr: 1\n", "--bpe_model", f"{tmp_path}/no.model")
