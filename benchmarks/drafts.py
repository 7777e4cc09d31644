"""Would drafts make the unit decoder faster? How often are they taken, at what cost?

    python -m benchmarks.drafts --model_file exp/taste_rvq/valid.loss.best.pth \\
        --data_dir dump/raw/test --train_dir dump/raw/train \\
        --taste dump/taste/test/taste.scp

A draft proposes g units, the decoder reads all of them in one step, and rejection keeps
its distribution (Y. Leviathan et al., "Fast inference from transformers via speculative
decoding", 2023). The cheapest draft counts which unit follows which in the training
set. Where the decoder says p and the draft q, a unit is taken with probability
sum_k min(p_k, q_k): its mean over the test set, each unit given the true ones before,
is the *share*. A step then makes sum_{i <= g} share^i units on average and costs what
one of g + 1 positions does; a step of so many utterances stands for it here, of the
decoder of ``--config`` with random weights.
"""

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Timer
from benchmarks.setup import Setup
from benchmarks.units import conditioning, exactly
from espnet2_taste.bin.numbers import positive
from espnet2_taste.evaluate.codes import read_code_set
from espnet2_taste.inference.taste_to_speech import TasteToSpeech
from espnet2_taste.io.arks import read_arks
from espnet2_taste.io.tables import read_table
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.taste.speech_decoder.sampling import candidates

DRAFTS = (1, 2, 3)  # units at a time


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--model_file", type=Path, required=True, help="with word_synchronous decoder")
    add("--data_dir", type=Path, required=True, help="text units spk_emb durations")
    add("--taste", type=Path, required=True, help="taste.scp of --data_dir")
    add("--train_dir", type=Path, required=True, help="units and durations to count")
    add("--count", type=positive, default=96, help="utterances")
    add("--top_k", type=positive, default=25)
    add("--config", default="medium", help="of the decoder whose steps are timed")
    add("--repeats", type=positive, default=3)
    return parser


def follows(sequences: list[np.ndarray], size: int, prior: float = 5.0) -> np.ndarray:
    """What follows each unit and, in the last row, what begins: (size + 1, size).

    Args:
        sequences: of units below ``size``.
        prior: as many counts of every row are those of all rows together.
    """
    counts = np.zeros((size + 1, size))
    for sequence in sequences:
        np.add.at(counts, (np.r_[size, sequence[:-1]], sequence), 1)
    alone = (counts.sum(0) + 0.01) / (counts + 0.01 / (size + 1)).sum()
    return (counts + prior * alone) / (counts.sum(1, keepdims=True) + prior)


def taken(
    logits: torch.Tensor, draft: torch.Tensor, sampling: Sampling
) -> torch.Tensor:
    """(N,) probabilities that a draft's unit is taken: (N, V) logits, (N, V) draft."""
    scores, units = candidates(logits, sampling)
    return torch.minimum(scores.softmax(-1), draft.gather(1, units)).sum(1)


def with_advance(units: np.ndarray, durations: np.ndarray, advance: int) -> np.ndarray:
    """Units of words, the token ``advance`` after each word."""
    return np.insert(units, np.cumsum(durations), advance)


@torch.inference_mode()
def share(args: argparse.Namespace) -> float:
    """How often units of the draft are taken."""
    speaker = TasteToSpeech(model_file=args.model_file)
    decoder = speaker.model.speech_decoder
    advance, sampling = decoder.num_units, decoder.configured(Sampling(args.top_k))

    def sequences(folder: Path) -> list[np.ndarray]:
        durations = read_arks(folder / "durations.scp")
        return [
            with_advance(units, durations[utt], advance)
            for utt, units in read_arks(folder / "units.scp").items()
            if utt in durations
        ]

    draft = torch.from_numpy(follows(sequences(args.train_dir), advance + 1)).float()
    text, codes = read_table(args.data_dir / "text"), read_code_set(args.taste)[0]
    names = ("units", "durations", "spk_emb")
    arrays = {name: read_arks(args.data_dir / f"{name}.scp") for name in names}
    total = number = 0.0
    for utt in islice(codes, args.count):
        given = {name: [table[utt]] for name, table in arrays.items()}
        given["codes"] = [codes[utt]]
        batch = speaker.make_batch([text[utt]], names=[utt], **given)
        keys = ("units", "units_lengths", "durations")
        out = decoder(speaker.condition(batch), *(batch[key] for key in keys))
        logits, said = out.logits[0], out.targets[0]
        before = torch.cat([said.new_tensor([advance + 1]), said[:-1]])
        found = taken(logits, draft[before], sampling)
        total, number = total + float(found.sum()), number + len(said)
    return total / number


def costs(config: str, repeats: int) -> dict[int, float]:
    """Time of a step of n positions over that of one, by n."""
    setup = Setup(config)
    decoder = setup.taste.speech_decoder
    exactly(decoder, setup.work)
    timer, greedy = Timer(setup.device, repeats), Sampling(top_k=1)
    conds = {n: conditioning(setup, n) for n in (1, *(g + 1 for g in DRAFTS))}
    with torch.inference_mode():
        calls = {
            str(n): lambda cond=cond: decoder.generate(cond, greedy)
            for n, cond in conds.items()
        }
        times, _ = timer(**calls)
    return {n: times[str(n)] / times["1"] for n in conds}


def main(command: list[str] | None = None) -> None:
    """Print a table: units at a time, units a step, its cost, what that wins."""
    args = get_parser().parse_args(command)
    often, cost = share(args), costs(args.config, args.repeats)
    print(f"taken: {often:.3f}\n")
    print("| draft | units a step | a step costs | faster by |\n|--:|--:|--:|--:|")
    for drafted in DRAFTS:
        made = sum(often**i for i in range(drafted + 1))
        price = cost[drafted + 1]
        print(f"| {drafted} | {made:.2f} | {price:.2f} x | {made / price:.2f} x |")


if __name__ == "__main__":
    main()
