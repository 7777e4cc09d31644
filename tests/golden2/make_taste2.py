"""Make TASTE2's golden fixtures beside this file: python tests/golden2/make_taste2.py

After make.py: our own results for tiny models, weights drawn from a seed, formed as
../shared/parity2 (see tests/parity2); nothing is published or trained. Only when a
result changes on purpose, and after the tests with ids ``reference`` have passed.
Refuses a seed where floats that are off by 1e-4 change a code, a unit or a token.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "hub")]

from parity.compare import Result  # noqa: E402
from parity.draw import draw  # noqa: E402
from parity2.computed import taste2  # noqa: E402
from parity2.folder import Parity2Folder  # noqa: E402
from taste2_names import stage1, stage2  # noqa: E402

SEED = 1
SIZES = {
    **{"d": 16, "mel": 8, "frames": 24, "positions": 20, "text": 40, "ffn": 12},
    **{"E": 3, "A": 2, "c": 6, "K": 10, "R": 2, "M": 1},
    **{"V": 40, "H": 24, "I": 20, "kv": 12, "N": 1, "units": 16},
    **{"lmV": 40, "lmH": 32, "lmI": 20, "lmkv": 16, "lmN": 2, "r": 2},
}
CONFIG = {"wh": 2, "heads": 2, "kv": 1}
TEXT, UNITS = [5, 3], [18, 7]
MLPS = "taste_tokenizer.vq.rvq.mlps."
CASES = {"d1": (1, False), "d2": (2, True)}
GRADIENTS = [
    "taste_decoder_mixer.mixer.weights",
    "taste_tokenizer.audio_affine_layer.weight",
    "taste_tokenizer.vq.rvq.project_out.weight",
]


class Shaken(Parity2Folder):
    """The same folder with floats that are off by up to 1e-4."""

    def load(self, file):
        found = dict(super().load(file))
        random = torch.Generator().manual_seed(0)
        for name, value in found.items():
            if value.is_floating_point() and not name.endswith("initted"):
                noise = 2 * torch.rand(value.shape, generator=random) - 1
                found[name] = value * (1 + 1e-4 * noise)
        return found


def drawn(table: dict) -> dict[str, torch.Tensor]:
    """Weights of a table of names and shapes; tied ones once."""
    return {
        name: draw(name, shape, SEED)
        for name, (shape, _) in table.items()
        if MLPS not in name and not name.endswith("lm_head.weight")
    }


def integers(high: int, *shape: int) -> torch.Tensor:
    """int32, from 1."""
    random = torch.Generator().manual_seed(SEED)
    return torch.randint(1, high, shape, generator=random).int()


def save(file: str, tensors: dict) -> None:
    """Floats as float32 but for those that float16 has exactly."""
    out = {}
    for name, value in tensors.items():
        value = value.value if isinstance(value, Result) else value
        value = value.detach().contiguous()
        half = value.half() if value.is_floating_point() else value
        out[name] = (
            half if torch.equal(half.to(value.dtype), value) else value
        ).clone()
    save_file(out, HERE / f"{file}.safetensors")


def merge(file: str, **changes) -> None:
    """Other fixtures of the folder have sections of their own in its JSON files."""
    path = HERE / file
    content = json.loads(path.read_text()) if path.is_file() else {}
    for key, value in changes.items():
        content[key] = content.get(key, {}) | value
    path.write_text(json.dumps(content, indent=1) + "\n")


def make_stage1() -> None:
    weights = drawn(stage1(SIZES))
    save("t_stage1_model", weights)
    embed = "llm.model.model.embed_tokens.weight"
    tied = {"t_stage1_model:llm.model.lm_head.weight": embed}
    facts = {"python_draws": [0.1, 0.9]}
    merge("config.json", taste2=CONFIG)
    merge("index.json", values={"tied": tied, "taste2_stage1": facts})
    inputs = {
        "text_token": integers(38, len(TEXT), max(TEXT)),
        "text_token_len": torch.tensor(TEXT).int(),
        "speech_token": integers(SIZES["units"], len(UNITS), max(UNITS)),
        "speech_token_len": torch.tensor(UNITS).int(),
        "audio_feature": draw("audio_features", (2, 48, SIZES["mel"]), SEED),
        "audio_feature_len": torch.tensor([48, 48]).int(),
    }
    names = [
        f"{start}grad.{name}" for start in ("", "train.") for name in GRADIENTS[::2]
    ]
    names.append(f"train.grad.{GRADIENTS[1]}")
    places = {n: torch.zeros_like(weights[n.partition("grad.")[2]]) for n in names}
    codes = torch.zeros(2, max(TEXT), SIZES["R"]).int()
    save("t_stage1", inputs | places | {"quantized_indices": codes})
    found = taste2.stage1(Parity2Folder(HERE))
    save("t_stage1", inputs | places | found)  # the codes, for greedy units
    save("t_stage1", inputs | taste2.stage1(Parity2Folder(HERE)))


def make_stage2() -> None:
    table = stage2(SIZES, lora=False)
    weights = {k: v for k, v in drawn(table).items() if k.startswith("slm.")}
    facts, inputs = {"eos_token_id": 38}, weights
    for case, (delay, linear) in CASES.items():
        own = drawn(stage2(SIZES, lora=False, linear=linear))
        for name, value in own.items():
            if name.startswith(("fusing_module.", "out_module.")):
                inputs[f"{case}.w.{name}"] = value
        size = max(TEXT) + delay - 1
        inputs[f"{case}.eps"] = draw(f"{case}.eps", (2, size, SIZES["c"]), SEED)
        inputs[f"{case}.lm_input"] = torch.zeros(2, size, SIZES["lmH"])
        runs = {"maxlen": (4, None), "stop": (8, None)}
        generation = {}
        for run, (most, stop) in runs.items():
            generation[run] = {"max_len": most, "min_len": 0, "stop_id": stop}
            eps = draw(f"{case}.{run}.eps", (most, SIZES["c"]), SEED)
            inputs[f"{case}.{run}.eps"] = eps
        facts[case] = {"delay": delay, "generation": generation}
    merge("index.json", values={"taste2_stage2": facts})
    save("t_stage2", inputs)
    folder = Parity2Folder(HERE)
    for case in CASES:  # the fourth token of the longer run stops it
        run = facts[case]["generation"]["stop"]
        model = taste2.spoken_lm(folder, case)
        eps = inputs[f"{case}.stop.eps"]
        made = taste2.continued(folder, model, run, eps, compat=False)
        run["stop_id"] = int(made.text[0, 3])
    merge("index.json", values={"taste2_stage2": facts})
    inputs |= taste2.stage2(Parity2Folder(HERE))
    save("t_stage2", inputs)


def check() -> None:
    """Refuse a seed that hangs by a thread.

    Raises:
        RuntimeError: an integer changed.
    """
    for compute in (taste2.stage1, taste2.stage2):
        want, got = compute(Parity2Folder(HERE)), compute(Shaken(HERE))
        for name, value in want.items():
            value, other = (Result.of(x).value for x in (value, got[name]))
            same = value.shape == other.shape and torch.equal(value, other)
            if not (value.is_floating_point() or same):
                raise RuntimeError(f"{name} hangs by a thread: take another SEED")


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_stage1()
    make_stage2()
    check()
