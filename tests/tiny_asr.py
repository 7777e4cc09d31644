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


def save_ctc(folder):
    """What an aligner reads of such a model, made without ESPnet's task (10 s)."""
    from espnet2_taste.asr.espnet_asr import build_encoder

    tokens = ["<blank>", "<unk>", "<space>", *"abdehklmnoprstuw", "<sos/eos>"]
    conf = {
        "output_size": 16,
        "attention_heads": 2,
        "linear_units": 16,
        "num_blocks": 1,
        "input_layer": "conv1d2",
    }
    config = {
        "frontend": "default",
        "frontend_conf": {"fs": 16000, "hop_length": 160, "n_mels": 20},
        "normalize": "utterance_mvn",
        "normalize_conf": {},
        "encoder": "transformer",
        "encoder_conf": conf,
        "token_list": tokens,
        "input_size": None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    encoder = build_encoder("transformer", 20, conf)
    state = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    state["ctc.ctc_lo.weight"] = torch.randn(len(tokens), 16)
    state["ctc.ctc_lo.bias"] = torch.zeros(len(tokens))
    torch.save(state, folder / "model.pth")
    return folder
