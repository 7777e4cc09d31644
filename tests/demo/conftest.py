"""A tiny packed system with random weights."""

import pytest
from tiny_chat import LM, chat_tokenizer
from tiny_system import EVERYTHING, TASLM, make_system, save_experiment
from visitors import humming

from espnet2_taste.demo.recordings import Recording


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory):
    """A recipe's folder with packed models: ``exp/tiny`` of all parts, ``exp/mute`` of
    the tokenizer alone, ``exp/chatty`` with a TASLM for dialogues."""
    from espnet2_taste.bin import pack
    from espnet2_taste.taslm.build import build_new_taslm

    root = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        make_system(root, patch)
        pack.main([*EVERYTHING, "--output", "exp/tiny"])
        pack.main(["--taste", "exp/taste", "--output", "exp/mute"])
        dialogues = {
            "token_type": "hf",
            "token_model": chat_tokenizer(root / "data" / "chat"),
            "segmenter": "plain",
            "chat_template": "own",
            "model_conf": {"delay": 1, "start_symbol": False},
            "lm_conf": {"config": LM},
        }
        made = TASLM | dialogues
        save_experiment(
            root / "exp" / "sft", made, build_new_taslm, "valid.loss.best.pth"
        )
        parts = ["exp/sft" if part == "exp/taslm" else part for part in EVERYTHING]
        pack.main([*parts, "--output", "exp/chatty"])
    return root


@pytest.fixture(scope="session")
def tiny_pack(tiny_root):
    """The packed model."""
    return tiny_root / "exp" / "tiny"


@pytest.fixture(scope="session")
def system(tiny_pack):
    """It, opened."""
    from espnet2_taste.demo.system import System

    return System(tiny_pack)


@pytest.fixture
def recording():
    """One second of humming."""
    return Recording(humming(), 16000)
