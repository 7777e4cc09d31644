"""Align words with an ESPnet CTC model: durations.scp, prosody.scp and words.ctm.

Sharded: run it per key file, merge the shards into one folder, then run once with
``--speaker_mean --output_dir <that folder>``: log-F0 becomes relative to the speaker's
mean and ``prosody.scp`` appears in the data directory.
"""

import argparse
import logging
import os
from pathlib import Path

import kaldiio
import numpy as np
import torch
import yaml

from espnet2_taste.bin import run
from espnet2_taste.data.alignment import length_mask
from espnet2_taste.data.ctc_alignment import (
    align_words,
    unit_durations,
    word_prosody,
    word_times,
)
from espnet2_taste.data.kaldi_io import (
    ArkWriter,
    length_batches,
    read_table,
    read_wav,
    select_keys,
    write_table,
)

SAMPLE_RATE = 16000


class CTCAligner:
    """An ESPnet ASR model's frontend, encoder and CTC head.

    Args:
        config: config.yaml of the ASR experiment (character tokens).
        model: its checkpoint.
    """

    def __init__(self, config: str, model: str):
        from espnet2.asr.frontend.default import DefaultFrontend

        from espnet2_taste.checkpoint import load_state
        from espnet2_taste.taste.encoder.espnet import EspnetEncoder

        conf = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
        self.frontend = DefaultFrontend(**(conf["frontend_conf"] or {}))
        self.encoder = EspnetEncoder(
            input_size=self.frontend.output_size(),
            **EspnetEncoder.resolve_conf({"asr_config": config, "asr_model": model}),
        ).eval()
        state = load_state(model)
        if "ctc.ctc_lo.weight" not in state:
            raise ValueError(f"{model} has no CTC head (ctc.ctc_lo)")
        self.weight, self.bias = state["ctc.ctc_lo.weight"], state["ctc.ctc_lo.bias"]
        self.index = {token: i for i, token in enumerate(conf["token_list"])}
        if "<space>" not in self.index:
            raise ValueError(f"{config}: word alignment needs character tokens")

    def token_ids(self, word: str) -> list[int]:
        """Known characters of a word; <unk> if there is none."""
        ids = [self.index[c] for c in word if c in self.index]
        return ids or [self.index["<unk>"]]

    @torch.inference_mode()
    def log_probs(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        """(F, V) of each waveform."""
        lengths = torch.tensor([len(w) for w in waves])
        speech = torch.zeros(len(waves), int(lengths.max()))
        speech[length_mask(lengths)] = torch.from_numpy(np.concatenate(waves))
        out = self.encoder(*self.frontend(speech, lengths))
        logits = torch.nn.functional.linear(out.keys, self.weight, self.bias)
        log_probs = logits.log_softmax(-1)
        return [p[:n] for p, n in zip(log_probs, out.lengths.tolist(), strict=True)]

    def word_starts(self, waves: list[np.ndarray], words: list[list[str]]):
        """(W,) seconds of each utterance, or the ValueError that prevented it."""
        results = []
        for wav, log_probs, items in zip(
            waves, self.log_probs(waves), words, strict=True
        ):
            ids = [self.token_ids(word) for word in items]
            try:
                frames = align_words(log_probs, ids, self.index["<space>"])
            except ValueError as error:
                results.append(error)
                continue
            period = len(wav) / SAMPLE_RATE / len(log_probs)
            results.append((frames + 0.5) * period)
        return results


def align_directory(args: argparse.Namespace) -> None:
    """Write durations, prosody, words.ctm and log-F0 sums of one shard."""
    from espnet2_taste.units.world import f0_contour

    wavs = select_keys(read_table(args.data_dir / "wav.scp"), args.key_file)
    texts = read_table(args.data_dir / "text")
    units = kaldiio.load_scp(str(args.data_dir / "units.scp"))
    samples = read_table(args.data_dir / "utt2num_samples")
    aligner = CTCAligner(args.asr_config, args.asr_model)
    rows, failed = {}, []
    batches = list(
        length_batches({key: int(samples[key]) for key in wavs}, args.batch_size)
    )
    for number, keys in enumerate(batches, 1):
        waves = [read_wav(wavs[key], SAMPLE_RATE) for key in keys]
        words = [texts[key].split() for key in keys]
        starts = aligner.word_starts(waves, words)
        for key, wav, times in zip(keys, waves, starts, strict=True):
            try:
                if isinstance(times, ValueError):
                    raise times
                times = word_times(times, wav, SAMPLE_RATE)
                durations = unit_durations(times, len(units[key]))
            except ValueError as error:
                failed.append(key)
                logging.warning("%s: not aligned, dropped: %s", key, error)
                continue
            prosody, f0_sum = word_prosody(times, *f0_contour(wav, SAMPLE_RATE))
            rows[key] = (times, durations, prosody, f0_sum)
        if number % 20 == 0 or number == len(batches):
            logging.info("aligned %d/%d batches", number, len(batches))
    if not rows:
        raise RuntimeError(f"no utterance of {args.data_dir} could be aligned")
    with (
        ArkWriter(args.output_dir, "durations") as durations,
        ArkWriter(args.output_dir, "prosody") as prosody,
        ArkWriter(args.output_dir, "f0_sum") as sums,
    ):
        for key in sorted(rows):
            durations[key] = rows[key][1]
            prosody[key] = rows[key][2]
            sums[key] = rows[key][3].astype(np.float64)
    write_ctm(args.output_dir / "words.ctm", rows, texts)
    logging.info("aligned %d utterances, dropped %d", len(rows), len(failed))


def write_ctm(path: Path, rows: dict, texts: dict[str, str]) -> None:
    """``utt 1 start duration word`` lines, sorted by utterance."""
    with open(f"{path}.tmp", "w", encoding="utf-8") as f:
        for key in sorted(rows):
            times = rows[key][0]
            for word, start, end in zip(
                texts[key].split(), times.starts, times.ends, strict=True
            ):
                f.write(f"{key} 1 {start:.3f} {end - start:.3f} {word}\n")
    os.replace(f"{path}.tmp", path)


def subtract_speaker_mean(data_dir: Path, raw_dir: Path) -> None:
    """Make column 0 of prosody relative to the speaker's mean log-F0.

    Reads ``prosody.scp`` and ``f0_sum.scp`` merged in ``raw_dir``, writes
    ``data_dir/prosody.scp``.
    """
    speakers = read_table(data_dir / "utt2spk")
    sums = kaldiio.load_scp(str(raw_dir / "f0_sum.scp"))
    prosody = kaldiio.load_scp(str(raw_dir / "prosody.scp"))
    totals: dict[str, np.ndarray] = {}
    for key in sums:
        speaker = speakers[key]
        totals[speaker] = totals.get(speaker, np.zeros(2)) + sums[key]
    with ArkWriter(raw_dir / "relative", "prosody") as writer:
        for key in sorted(prosody):
            total = totals[speakers[key]]
            rows = np.array(prosody[key])
            if sums[key][1]:
                rows[:, 0] -= np.float32(total[0] / total[1])
            writer[key] = rows
    write_table(
        data_dir / "prosody.scp", read_table(raw_dir / "relative" / "prosody.scp")
    )


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--speaker_mean", action="store_true", help="second step")
    parser.add_argument("--asr_config", help="config.yaml of the CTC model")
    parser.add_argument("--asr_model", help="checkpoint of the CTC model")
    parser.add_argument("--key_file", help="utterances of this shard")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--batch_size", type=int, default=32)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Entry point; ``cmd`` defaults to ``sys.argv[1:]``."""
    args = get_parser().parse_args(cmd)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if args.speaker_mean:
        subtract_speaker_mean(args.data_dir, args.output_dir)
    else:
        align_directory(args)


if __name__ == "__main__":
    run(main)
