"""Add the golden fixtures of the text-to-unit LM: python tests/golden2/make_lm.py

After make.py, which writes config.json and index.json anew. Our own results for a tiny
LM with random weights; sizes and blocks differ from the public code's fixtures.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from parity2.computed import lm  # noqa: E402
from parity2.folder import Parity2Folder  # noqa: E402

from espnet2_taste.hub.published_llm import HEAD, LLM, TABLE  # noqa: E402
from espnet2_taste.hub.published_names import to_published  # noqa: E402
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (  # noqa: E402
    Sampling,
)
from espnet2_taste.taste.speech_decoder.sampling import (  # noqa: E402
    UnitSampler,
    candidates,
)

SIZES = {"hidden": 16, "inter": 12, "layers": 2, "heads": 2, "kv": 1}
SIZES |= {"vocab": 30, "units": 11, "mix": [3, 7]}
MIXES = {"uni": [3, 7], "bi": [3, 7], "seeded": [3, 7], "bi_2_5": [2, 5]}
COINS = {"uni": [0.9] * 3, "bi": [0.1] * 3, "seeded": [0.1, 0.7, 0.3]}
COINS["bi_2_5"] = COINS["bi"]
#: gradients that are kept
GRADIENTS = ("llm_embedding.weight", "llm_decoder.bias")


def edit(name: str, changes: dict) -> None:
    """Add entries to a JSON file."""
    path = HERE / name
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(content, indent=1) + "\n")


def save(name: str, tensors: dict[str, torch.Tensor]) -> None:
    kept = {k: v.detach().contiguous() for k, v in tensors.items()}
    kept = {k: v if v.is_floating_point() else v.int() for k, v in kept.items()}
    save_file(kept, HERE / f"{name}.safetensors")


def weights(generator: torch.Generator) -> dict[str, torch.Tensor]:
    state = lm.build(SIZES, SIZES["mix"]).state_dict()
    drawn = {}
    for name, value in state.items():
        if name.startswith("fusion."):
            continue
        noise = torch.randn(value.shape, generator=generator)
        scale = 1.0 if "embed" in name else 0.4
        drawn[to_published(LLM, name)] = scale * noise + ("norm" in name)
    del drawn[HEAD]
    return drawn


def ras_case(generator: torch.Generator) -> dict:
    scores = 1.5 * torch.randn(1, SIZES["units"] + 3, generator=generator)
    log_probs = scores.log_softmax(-1)
    nucleus = {"top_k": 25, "top_p": 0.8}
    top, units = candidates(log_probs, Sampling(**nucleus))
    history = torch.randint(SIZES["units"], (6,), generator=generator).tolist()
    options = Sampling(**nucleus, ras_window=10, seed=1)
    sampler = UnitSampler(options, 300, "cpu", list(range(300)))
    for unit in history:
        sampler.note(torch.full((300,), unit))
    drawn = sampler(log_probs.expand(300, -1), 6)
    best = int(log_probs.argmax())
    allowed = units[top > -torch.inf].tolist()
    return {
        "log_probs": log_probs[0].tolist(),
        "history": history,
        "nucleus": allowed,
        "seen_in_400_nucleus_draws": sorted(allowed),
        "top1_in_last_10": best in history,
        "share_of_top1_in_300_ras_draws": float((drawn == best).float().mean()),
    }


def main() -> None:
    generator = torch.Generator().manual_seed(3)
    cases = [ras_case(generator) for _ in range(3)]
    (HERE / "ras.json").write_text(json.dumps(cases) + "\n")
    edit("config.json", {"lm": SIZES})
    values = json.loads((HERE / "index.json").read_text())["values"]
    values["tied"] = values.get("tied", {}) | {f"l_lm_model:{HEAD}": TABLE}
    values["lm_train"] = {
        case: {"mix_ratio": MIXES[case], "python_draws": COINS[case]} for case in MIXES
    }
    pieces = {"bi_plain": [1] * 7, "bi_prompt": [2, 5], "bi_2_5": [3, 1, 3]}
    values["lm_generate"] = {
        "plain": {"eos_bias_added": 0.0, "steps": 10**6},
        "prompt": {"eos_bias_added": 0.0, "steps": 10**6},
        "eos": {"eos_bias_added": 3.0, "steps": 10**6},
    }
    for case, sizes in pieces.items():
        mix = [2, 5] if case == "bi_2_5" else [3, 7]
        made = {"mix_ratio": mix, "pieces": sizes, "stop_at": 22}
        values["lm_generate"][case] = made
    edit("index.json", {"values": values})
    save("l_lm_model", weights(generator))

    def ids(high: int, *shape: int) -> torch.Tensor:
        return torch.randint(high, shape, generator=generator)

    train = {
        "text_token": ids(SIZES["vocab"], 3, 7),
        "text_token_len": torch.tensor([7, 6, 2]),
        "speech_token": ids(SIZES["units"], 3, 19),
        "speech_token_len": torch.tensor([19, 18, 7]),
    }
    generate = {
        "text": ids(SIZES["vocab"], 1, 7),
        "prompt_text": ids(SIZES["vocab"], 1, 4),
        "prompt_speech_token": ids(SIZES["units"], 1, 9),
    }
    for file, inputs in (("l_train", train), ("l_generate", generate)):
        save(file, inputs)
        with torch.enable_grad():
            found = lm.FILES[file](Parity2Folder(HERE))
        found = {k: getattr(v, "value", v) for k, v in found.items()}
        if file == "l_generate":  # steps beyond the end are made, and mean nothing
            for case in ("plain", "prompt", "eos"):
                emitted = len(found[f"{case}.out"])
                limit = int(20.0 * generate["text"].size(1))
                values["lm_generate"][case]["steps"] = min(emitted + 1, limit)
            edit("index.json", {"values": values})
            found = lm.FILES[file](Parity2Folder(HERE))
        found = {
            k: v
            for k, v in found.items()
            if ".grad." not in k or k.partition(".grad.")[2] in GRADIENTS
        }
        save(file, inputs | found)


if __name__ == "__main__":
    main()
