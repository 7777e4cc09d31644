"""Make the golden fixtures of TASTE's successors: python tests/golden2/make.py

Our own results for a tiny CosyVoice-2 vocoder with random weights, in the format that
tests/parity2 reads; every size differs from the public code's fixtures. To be made
again only when a result changes on purpose, after tests/parity2 has passed on those.
Then make_lm.py.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from golden.make_vocoder import Random  # noqa: E402
from parity2.computed.vocoder import (  # noqa: E402
    FILES,
    FLOW_MODEL,
    HIFT_MODEL,
    recorded_noise,
)
from parity2.folder import Parity2Folder  # noqa: E402
from tiny_vocoder import published_state  # noqa: E402

from espnet2_taste.vocoder.cosyvoice2.generator import VoiceGenerator2  # noqa: E402

SEED = 6
MEL, SPEAKER, UNITS, PROMPT, STREAM, FRAMES = 10, 7, 19, 5, 19, 2
CONFIG = {
    "flow": {
        "units": UNITS,
        "width": 12,
        "heads": 3,
        "ffn": 10,
        "blocks": 1,
        "chunk": 4,
        "unet": 8,
        "head_dim": 5,
        "unet_blocks": 1,
        "mid": 1,
        "unet_heads": 3,
    },
    "hift": {"base": 8, "f0": 5},
    "stream": {"hop": 4, "max_hop": 8},
}
VOICED_HZ = 140.0
#: tensors that would take too much room, and gradients but these
LARGE = ("sine", "conv_post", "ups2", "speech_window")
LARGE_CASES = ("cached.", "plain.", "nonstream.")
GRADIENTS = ("encoder_proj.weight", "pre_lookahead_layer.conv1.weight")
#: what the names of a folder's tensors ask for
WANTED = {
    "a_encoder": ["prefix4.out", "prefix5.out"],
    "a_inference": [
        "offline.mel",
        "stream_prompt_all.mel",
        "stream_prompt_prefix3.mel",
    ],
    "a_flow_train": ["full_cosine.loss", "stream_uniform.loss"],
}


def weights(random: Random) -> dict[str, torch.Tensor]:
    """Under the published names."""
    sizes = CONFIG["flow"]
    flow = {
        "num_units": UNITS,
        "spk_embed_dim": SPEAKER,
        "mel_size": MEL,
        "embed_size": 6,
        "encoder_size": sizes["width"],
        "encoder_heads": sizes["heads"],
        "encoder_ffn_size": sizes["ffn"],
        "encoder_blocks": sizes["blocks"],
        "up_blocks": 2,
        "unet_size": sizes["unet"],
        "unet_heads": sizes["unet_heads"],
        "unet_head_size": sizes["head_dim"],
        "unet_blocks": sizes["unet_blocks"],
        "unet_mid_stages": sizes["mid"],
    }
    hift = {"mel_size": MEL, "base_size": 8, "f0_size": 5}
    state = published_state(VoiceGenerator2(flow, hift).state_dict())
    state = {k: random.weight(k, v.shape) for k, v in sorted(state.items())}
    state["hift.f0_predictor.classifier.weight"] *= 64
    state["hift.f0_predictor.classifier.bias"][:] = VOICED_HZ
    return state


def inputs(random: Random) -> dict[str, dict[str, torch.Tensor]]:
    """Everything that is not computed, by file."""
    lengths, size = torch.tensor([9, 6]).int(), 8
    shared = {
        "token": random.ids(1, 8),
        "prompt_token": random.ids(1, PROMPT),
        "prompt_feat": random(1, 2 * PROMPT, MEL),
        "embedding": random(1, SPEAKER),
        "rand_noise": random(1, MEL, 2 * (STREAM + PROMPT)),
        "batch_token": random.ids(2, 9),
        "batch_token_len": lengths,
        "stream_token": random.ids(1, STREAM),
    }
    estimator = {name: random(2, MEL, size) for name in ("x", "mu", "cond")}
    estimator |= {
        "spks": random(2, MEL),
        "mask": (torch.arange(size) < torch.tensor([[size], [5]]))[:, None].float(),
        "t": random.uniform(2),
    }
    training = {
        "speech_token": random.ids(2, 9),
        "speech_token_len": lengths,
        "speech_feat": random(2, 18, MEL),
        "speech_feat_len": 2 * lengths,
        "embedding": random(2, SPEAKER),
    }
    for mode in ("full", "stream"):
        training |= {
            f"{mode}.u": random.uniform(2, 1, 1),
            f"{mode}.z": random(2, MEL, 18).half(),
            f"{mode}.r": torch.tensor([0.7, 0.1]),
        }
    hift = {
        "mel": 2 * random(1, MEL, FRAMES),
        "randn": random(1, 480 * FRAMES, 9).half(),
        "rand_ini": random.uniform(1, 9),
        "f0": VOICED_HZ + 9 * random(1, FRAMES),
    }
    hift["source"] = 0.2 * recorded_noise(0, 480 * FRAMES)[:1].half().float()[None]
    return {
        "inputs": shared,
        "a_encoder": {},
        "a_estimator": estimator,
        "a_inference": {},
        "a_flow_train": training,
        "h_hift": hift,
        "s_stream": {},
    }


def write_index(out: Path) -> None:
    draws = [["random", 0.6], ["random", 0.7], ["randint", 0, 5, 4], ["random", 0.2]]
    index = {"tensors": {}, "values": {}}
    index["values"]["flow_train"] = {
        name: {"python_draws": draws} for name in ("full_cosine", "stream_uniform")
    }
    # frames: of 4 units, 8 units, the rest; after a prompt of 7 units, 8, the rest
    frames = {"plain": [0, 16, 22], "prompt": [6, 16, 16], "nonstream": [38]}
    index["values"]["stream"] = {
        case: {
            "samples": [480 * n for n in counts],
            "hop_len_left_on_the_model": 4 if case == "nonstream" else 8,
        }
        for case, counts in frames.items()
    }
    (out / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
    (out / "index.json").write_text(json.dumps(index, indent=1) + "\n")


def make(out: Path, seed: int) -> None:
    """All files, from nothing."""
    random = Random(seed)
    write_index(out)
    state = weights(random)
    for file, part in ((FLOW_MODEL, "flow."), (HIFT_MODEL, "hift.")):
        own = {k.removeprefix(part): v for k, v in state.items() if k.startswith(part)}
        save_file({k: v.half() for k, v in own.items()}, out / f"{file}.safetensors")
    files = inputs(random)
    for file, tensors in files.items():
        asked = {name: torch.zeros(1) for name in WANTED.get(file, [])}
        save_file(tensors | asked, out / f"{file}.safetensors")
    # HiFT's parts start from recorded inputs that earlier parts make: f0, source
    for file, compute in [*FILES.items(), *2 * [("h_hift", FILES["h_hift"])]]:
        for name, result in compute(Parity2Folder(out)).items():
            value = getattr(result, "value", result).detach().clone().contiguous()
            gradient = "grad." in name and not name.endswith(GRADIENTS)
            if gradient or name in LARGE or name.startswith(LARGE_CASES):
                continue
            files[file][name] = value.half() if file == "s_stream" else value
        save_file(files[file], out / f"{file}.safetensors")
    print(f"{sum(f.stat().st_size for f in out.glob('*.*')) / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    torch.set_num_threads(1)
    make(args.out, args.seed)


if __name__ == "__main__":
    main()
