"""Speak one utterance while it is made: to a wav file, or as raw PCM to a player.

The speaker, and the text and codes unless others are given, are those of ``--utt`` in
``--data_dir``. ``--text -`` reads words from stdin as they come; ``--taslm`` says what
it writes after the first words of the utterance. With ``--stream`` there is sound as
soon as some units are there; without, when all are. ``--voice_prompt`` names another
utterance, whose voice and manner go on (`interleaved_lm` with `cosyvoice2`).
``--output -`` writes 16-bit mono little-endian PCM to stdout:

python -m espnet2_taste.bin.speak --model_file exp/packed.zip \\
    --data_dir dump/raw/test --stream --output - \\
    | aplay -q -t raw -f S16_LE -c 1 -r 16000

The time to the first sound, and seconds waited for a second of speech (real-time
factor), are told on stderr; models are loaded before.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import positive
from espnet2_taste.bin.options import (
    add_model_options,
    add_unit_sampling_options,
    add_vocoder_options,
    load_vocoder_option,
)


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser, "speech decoder")
    add = parser.add_argument
    add("--data_dir", type=Path, required=True, help="with text spk_emb.scp")
    add("--utt", help="utterance in it (default: the first)")
    add("--output", required=True, help="a .wav or .flac file, or - for raw PCM")
    add("--stream", action="store_true", help="sound while it is made")
    add("--text", help="what to say instead of its text; -: words from stdin")
    add("--taste", type=Path, help="taste.scp with the codes of its text")
    add("--spk_emb", type=Path, help="speakers (default: spk_emb.scp in --data_dir)")
    add("--voice_prompt", help="utterance, of units.scp and wav.scp; with --stream")
    add("--taslm", help="TASLM that continues it; needs --taste")
    add("--prompt_words", type=positive, default=4, help="that the TASLM is given")
    add("--max_new_words", type=positive, default=16, help="of the TASLM")
    add("--block", type=positive, default=25, help="units that shall sound at a time")
    add_vocoder_options(parser)
    add_unit_sampling_options(parser)
    return parser


def check(args: argparse.Namespace) -> None:
    """Refuse options that do not belong together.

    Raises:
        ValueError: says which.
    """
    if args.text is not None and (args.taste or args.taslm):
        raise ValueError("--text has no codes: not with --taste or --taslm")
    if args.taslm and not args.taste:
        raise ValueError("--taslm needs the codes of its prompt: --taste")
    if args.voice_prompt and not args.stream:
        raise ValueError("--voice_prompt goes with --stream")
    if args.output != "-" and Path(args.output).suffix not in (".wav", ".flac"):
        raise ValueError(f"--output {args.output}: expected a .wav or .flac file, or -")


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    import torch

    from espnet2_taste.inference.pipeline import Pipeline, continuing, speaking
    from espnet2_taste.inference.speech_streams import Words
    from espnet2_taste.inference.taslm_generate import TaslmGenerate
    from espnet2_taste.inference.taste_to_speech import TasteToSpeech
    from espnet2_taste.io.arks import read_arks, read_codes
    from espnet2_taste.io.tables import read_table
    from espnet2_taste.nn.random_streams import item_seed
    from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling

    check(args)
    texts = read_table(args.data_dir / "text")
    key = next(iter(texts), None) if args.utt is None else args.utt
    voice = args.voice_prompt or key
    for name in (key, voice):
        if name not in texts:
            raise ValueError(f"{args.data_dir / 'text'} has no utterance {name}")
    voices = args.spk_emb or args.data_dir / "spk_emb.scp"
    speaker = read_arks(voices, [voice])[voice]
    vocoder = load_vocoder_option(args)
    speak = TasteToSpeech(
        args.train_config,
        args.model_file,
        args.device,
        vocoder,
        sampling=Sampling(args.top_k, args.temperature, args.seed),
    )
    text, codes, stages = texts[key] if args.text is None else args.text, None, []
    said = None
    if args.taste:
        books = max(speak.model.quantizer.num_codebooks, 1)
        found = read_codes(args.taste, books, {key, voice})
        codes, said = (torch.from_numpy(found[name]) for name in (key, voice))
    if args.taslm:
        limit = {"max_words": args.max_new_words, "seed": args.seed}
        taslm = TaslmGenerate(model_file=args.taslm, device=args.device, **limit)
        first = taslm.preprocess.segmenter.first(text, args.prompt_words)
        text, codes = first, codes[: len(taslm.preprocess.segments(first))]
        stages = [continuing(taslm, name=key)]
    pieces = words_from(sys.stdin) if text == "-" else [Words(text, codes)]
    seed = item_seed(key)
    if args.stream:
        prompt = None
        if args.voice_prompt:
            prompt = read_prompt(args.data_dir, voice, texts[voice], said, vocoder)
        stages += speaking(speak, speaker, seed, args.block, prompt)
    else:
        stages.append(lambda items: whole(speak, items, speaker, seed))
    with Pipeline(pieces, *stages) as chunks:
        write(chunks, args.output, vocoder.sample_rate)


def read_prompt(data_dir: Path, key: str, text: str, codes, vocoder):
    """The voice prompt that an utterance of a data folder makes."""
    import torch

    from espnet2_taste.inference.voice_prompt import VoicePrompt
    from espnet2_taste.io.arks import read_arks
    from espnet2_taste.io.audio import read_audio
    from espnet2_taste.io.tables import read_table

    mel = None
    if vocoder.takes_prompts:
        entry = read_table(data_dir / "wav.scp")[key]
        wav = read_audio(entry, key, vocoder.sample_rate)
        mel = vocoder.prompt_mel(torch.from_numpy(wav))
    units = torch.from_numpy(read_arks(data_dir / "units.scp", [key])[key])
    return VoicePrompt(text, units.long(), mel, codes)


def words_from(lines) -> Iterator:
    """Words of lines, as they come."""
    from espnet2_taste.inference.speech_streams import Words

    for line in lines:
        yield Words(" " + line.strip())


def whole(speak, pieces, speaker, seed: int) -> Iterator:
    """The waveform of all pieces at once."""
    import torch

    pieces = [piece for piece in pieces if piece.text.strip()]
    if pieces:
        codes = [piece.codes for piece in pieces]
        codes = None if codes[0] is None else torch.cat(codes)
        text = "".join(piece.text for piece in pieces)
        yield speak(text, speaker, codes, seed=seed).wav


def write(chunks, output: str, sample_rate: int) -> None:
    """Write chunks as they come; tell on stderr how long they were waited for."""
    import time
    from contextlib import ExitStack

    import soundfile

    from espnet2_taste.io.atomic import replacing

    waited, first, samples = 0.0, None, 0
    with ExitStack() as stack:
        if output == "-":
            sink = sys.stdout.buffer
        else:
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            temporary = stack.enter_context(replacing(output))
            kind = {"format": Path(output).suffix[1:], "subtype": "PCM_16"}
            sink = soundfile.SoundFile(temporary, "w", sample_rate, 1, **kind)
            stack.enter_context(sink)
        start = time.perf_counter()
        for chunk in chunks:
            waited += time.perf_counter() - start
            first = waited if first is None else first
            samples += len(chunk)
            if output == "-":
                sink.write(as_pcm(chunk))
                sink.flush()
            else:
                sink.write(chunk.numpy())
            start = time.perf_counter()
        waited += time.perf_counter() - start
        if not samples:
            raise ValueError("there was nothing to say")
    seconds = samples / sample_rate
    print(
        f"first sound after {first:.3f} s; {seconds:.2f} s of speech at {sample_rate} "
        f"Hz; real-time factor {waited / seconds:.3f}",
        file=sys.stderr,
    )


def as_pcm(wav) -> bytes:
    """(N,) float in [-1, 1] -> 16-bit little-endian PCM, as soundfile rounds."""
    import numpy as np

    scaled = np.rint(wav.numpy().astype(np.float64) * 32767)
    return scaled.clip(-32768, 32767).astype("<i2").tobytes()


if __name__ == "__main__":
    run(main)
