"""Make the golden fixtures beside this file: python tests/golden/make.py

Our own results for a tiny model with weights drawn from a seed, in the format of the
reference's fixtures (see README.md). Refuses seeds where an integer result (a code, a
greedy unit, a token) hangs by a thread: floats perturbed by 1e-4 must not change any.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from golden import recipe  # noqa: E402
from parity.compare import Result, TensorId, check_tensor  # noqa: E402
from parity.computed import (  # noqa: E402
    end_to_end,
    generation,
    speech_decoder,
    taslm,
)
from parity.computed.files import FILES  # noqa: E402
from parity.computed.package_rvq import compare_with_package  # noqa: E402
from parity.folder import ParityFolder, Tensors  # noqa: E402

from espnet2_taste.hub.published_arguments import (  # noqa: E402
    taslm_arguments,
    taste_arguments,
)
from espnet2_taste.hub.published_names import (  # noqa: E402
    FLAG,
    LM_HEAD,
    TASLM,
    TASTE,
    to_published,
)
from espnet2_taste.taslm.build import build_taslm_model  # noqa: E402
from espnet2_taste.taste.build import build_taste_model  # noqa: E402

PERTURBATION = 1e-4


class Perturbed(ParityFolder):
    """The same folder with every float off by up to PERTURBATION."""

    def __init__(self, folder: Path, seed: int):
        super().__init__(folder)
        self.random = torch.Generator().manual_seed(seed)

    def load(self, file: str) -> Tensors:
        return PerturbedTensors(self, file)


class PerturbedTensors(Tensors):
    """See :class:`Perturbed`."""

    def __getitem__(self, name: str) -> torch.Tensor:
        value = super().__getitem__(name)
        if not value.is_floating_point():
            return value
        noise = torch.rand(value.shape, generator=self._folder.random)
        return value * (1 + PERTURBATION * (2 * noise - 1))


class Maker:
    """Writes a folder of fixtures.

    Args:
        out: where to.
        seed: of weights and inputs.
    """

    def __init__(self, out: Path, seed: int):
        self.out = out
        self.seed = seed
        out.mkdir(exist_ok=True)

    def make(self) -> None:
        """All files, from nothing."""
        cases = {"model": {"tensors": listed(model_shapes(), "float16")}}
        index = {"seed": self.seed, "cases": cases}
        write_json(self.out / "config.json", recipe.CONFIG)
        write_json(self.out / "stub_llm_vocab.json", recipe.pieces())
        for file in FILES:
            names = recipe.DRAWN.get(file, {}) | recipe.CHOSEN.get(file, {})
            cases[file] = {"tensors": listed(names, "float32")}
            cases[file] |= recipe.FACTS.get(file, {})
        cases[generation.FILE] |= recipe.generation_facts()
        for file, compute in FILES.items():
            write_json(self.out / "index.json", index)
            stored = recipe.integers(file, self.seed) | self.derived(file)
            drawn = recipe.DRAWN.get(file, {})
            self.write(file, stored)
            folder = ParityFolder(self.out)
            for name, result in folder.computed(file, compute).items():
                if name not in drawn:
                    stored[name] = plain(result)
            self.write(file, stored)
            found = {k: [list(v.shape), str(v.dtype)[6:]] for k, v in stored.items()}
            cases[file]["tensors"] = listed(drawn, "float16") | found
            for target, told in facts(folder, file, stored).items():
                cases[target] |= told
            print(f"{file}: {len(stored)} tensors")
        write_json(self.out / "index.json", index)
        comparison = compare_with_package(ParityFolder(self.out))
        write_json(self.out / "vq_pypi_compare.json", comparison)

    def check(self) -> None:
        """What was written is found again, and integers stand perturbation.

        Raises:
            RuntimeError: they do not.
        """
        folder = ParityFolder(self.out)
        for file in FILES:
            for name in folder.shapes(file) if file != "inputs" else ():
                check_tensor(folder, FILES, TensorId(file, name))
        for seed in range(3):
            perturbed = Perturbed(self.out, seed)
            for file, compute in FILES.items():
                for name, result in perturbed.computed(file, compute).items():
                    want, got = folder.load(file)[name], plain(result)
                    if not want.is_floating_point() and not torch.equal(got, want):
                        raise RuntimeError(
                            f"{file} {name} hangs by a thread: take another seed"
                        )

    def derived(self, file: str) -> dict[str, torch.Tensor]:
        """Inputs that are another file's results."""
        folder = ParityFolder(self.out)
        if file == speech_decoder.FILE:
            inputs, tower = folder.load("inputs"), folder.load("a_audio_tower")
            return {
                "asr_token_ids": inputs["asr_token_ids"],
                "asr_token_lengths": inputs["asr_token_lengths"],
                "audio_unit_embeds": tower["tower_vq_audio_unit_embeds"],
            }
        if file == taslm.FILE:  # the batch, and an utterance of one word
            inputs, codes = folder.load("inputs"), folder.load("f_extract_vq")
            both = {k: torch.cat([inputs[k], v]) for k, v in recipe.ONE_WORD.items()}
            single = torch.full_like(codes["llm_indices"][:1], -1)
            single[0, 0] = torch.tensor(recipe.ONE_WORD_CODES)
            return both | {"llm_indices": torch.cat([codes["llm_indices"], single])}
        return {}

    def write(self, file: str, tensors: dict[str, torch.Tensor]) -> None:
        """Replace a file; none without tensors."""
        path = self.out / f"{file}.safetensors"
        path.unlink(missing_ok=True)
        if tensors:
            save_file(dict(sorted(tensors.items())), path)
            path.chmod(0o644)


def plain(result: Result) -> torch.Tensor:
    """The value to store: zero where nothing is to be compared."""
    value = result.value.detach().masked_fill(~result.mask(), 0)
    return value.clone().contiguous()


def model_shapes() -> dict[str, tuple[int, ...]]:
    """The model's tensors by their published names."""
    taste = build_taste_model(taste_arguments(recipe.CONFIG)).state_dict()
    spoken = build_taslm_model(taslm_arguments(recipe.CONFIG)).state_dict()
    shapes = {}
    for table, state in ((TASTE, taste), (TASLM, spoken)):
        for name, tensor in state.items():
            shape = (1,) if name.endswith(FLAG) else tuple(tensor.shape)
            shapes[to_published(table, name)] = shape
    del shapes[LM_HEAD]  # tied to the embedding
    return shapes


def facts(folder: ParityFolder, file: str, stored: dict) -> dict[str, dict]:
    """What index.json tells about results, by file."""
    if file == taslm.FILE:
        losses = {
            k.removesuffix("_loss"): v.item()
            for k, v in stored.items()
            if k.endswith("_loss")
        }
        return {file: {"losses": losses}}
    if file != generation.FILE:
        return {}
    pieces, runs = recipe.pieces(), {}
    for name, run in generation.runs(folder).items():
        steps = generation.steps(run["mode"], generation.run(folder, name))
        text = "".join(pieces[i] for i in stored[f"{name}_llm_token_ids"][0])
        runs[name] = run | {"steps": steps, "text": text}
    completion = {"completion_text": runs["audio"]["text"]}
    return {file: {"runs": runs}, end_to_end.FILE: completion}


def listed(shapes: dict, dtype: str) -> dict:
    return {name: [list(shape), dtype] for name, shape in sorted(shapes.items())}


def write_json(path: Path, content) -> None:
    """Lists of numbers and of lists of numbers on one line each."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    innermost, breaks = re.compile(r"\[\s+([^\[\]{}]*?)\s+\]"), re.compile(r",\s+")
    for _ in range(2):
        text = innermost.sub(lambda m: f"[{breaks.sub(', ', m[1])}]", text)
    path.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder")
    parser.add_argument("--seed", type=int, default=recipe.SEED)
    args = parser.parse_args()
    torch.set_num_threads(1)
    maker = Maker(args.out, args.seed)
    maker.make()
    maker.check()


if __name__ == "__main__":
    main()
