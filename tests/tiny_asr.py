"""A tiny random CTC recogniser on characters, as ESPnet's ASR task leaves it."""

import torch
import yaml

TOKENS = ["<blank>", "<unk>", "<space>", *"abcdefghijklmnopqrstuvwxyz", "<sos/eos>"]


def save_asr(folder, frontend="default"):
    """config.yaml and valid.loss.best.pth of a model that ESPnet itself built.

    ESPnet has no frontend mel_pitch: its model reads 8 mel bins and pitch as features.
    """
    from espnet2.tasks.asr import ASRTask

    conf = {
        "token_list": TOKENS,
        "token_type": "char",
        "frontend": frontend,
        "frontend_conf": {"n_fft": 256, "hop_length": 128, "n_mels": 8},
        "specaug": None,
        "normalize": "utterance_mvn",
        "encoder": "transformer",
        "encoder_conf": {
            "output_size": 16,
            "attention_heads": 2,
            "linear_units": 16,
            "num_blocks": 1,
        },
        "decoder": None,
        "ctc_conf": {},
        "model_conf": {"ctc_weight": 1.0},
    }
    folder.mkdir(parents=True, exist_ok=True)
    args = ASRTask.get_default_config()
    args.update(conf)
    torch.manual_seed(1)
    from argparse import Namespace

    own = {} if frontend == "default" else {"frontend": None, "input_size": 10}
    model = ASRTask.build_model(Namespace(**args | own))
    for parameter in model.ctc.parameters():  # some letter wins some frame
        torch.nn.init.normal_(parameter, std=2.0)
    (folder / "config.yaml").write_text(yaml.safe_dump(args))
    torch.save(model.state_dict(), folder / "valid.loss.best.pth")
    return folder
