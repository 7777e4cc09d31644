"""Train a text vocabulary of a recipe: sentencepiece, a character list, or a byte-level
BPE as language models have (a folder that transformers reads)."""

import argparse
import io
import logging
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import positive
from espnet2_taste.bin.options import add_segmenter_option
from espnet2_taste.io.atomic import replacing, write_lines, write_text
from espnet2_taste.io.tables import read_entries
from espnet2_taste.text.normalise import unspaced_part
from espnet2_taste.text.segmenters import SEGMENTERS
from espnet2_taste.text.tokenizers import UNKNOWN, WORD_START

#: Sentences that sentencepiece trains on.
MOST = 1_000_000


class Sentences:
    """Those of a table ``text``, with single spaces; read anew each time."""

    def __init__(self, path: Path):
        self.path = path

    def __iter__(self) -> Iterator[str]:
        for _, _, text in read_entries(self.path, allow_empty=True):
            yield " ".join(text.split())


def train_bpe(
    sentences: Iterable[str],
    vocab_size: int,
    output: Path,
    segmenter: str = "whitespace",
) -> None:
    """Train a sentencepiece unigram model of at most ``vocab_size`` pieces.

    Every character is a piece: where there are more of them, so there are of pieces.
    Where not every word has a space before it, words are what is trained on. Of more
    than ``MOST`` sentences, that many are chosen at random.

    Args:
        sentences: are gone through twice.
        vocab_size: pieces.
        output: file to write.
        segmenter: tells words.

    Raises:
        ValueError: no text.
    """
    letters, count = set(), 0
    for sentence in sentences:
        count += 1
        letters.update(unicodedata.normalize("NFKC", sentence))  # as it does
    if not letters - {" "}:
        raise ValueError("no text to train a vocabulary on")
    needed = len(letters) + 2  # <unk> and the mark of words
    if vocab_size < needed:
        logging.warning(
            "--vocab_size %d is raised to %d: the text has %d different characters",
            *(vocab_size, needed, len(letters)),
        )
        vocab_size = needed
    options = {}
    if count > MOST:  # all of them are in its memory, 1 kB each
        options = {"input_sentence_size": MOST}
    if segmenter != "whitespace":
        pairs = (SEGMENTERS[segmenter].split(text) for text in sentences)
        sentences = (" " * s + w for pair in pairs for w, s in zip(*pair, strict=True))
        options |= {"add_dummy_prefix": False, "remove_extra_whitespaces": False}
    import sentencepiece

    model = io.BytesIO()  # its own files would end where a disk does, without a word
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        split_by_whitespace=True,
        bos_id=-1,
        eos_id=-1,
        minloglevel=1,
        **options,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ids = range(pieces.get_piece_size())
    lines = (f"{pieces.id_to_piece(i)}\t{pieces.get_score(i):g}" for i in ids)
    write_lines(output.with_suffix(".vocab"), lines)
    with replacing(output) as temporary:
        temporary.write_bytes(model.getvalue())


def train_hf(sentences: Iterable[str], vocab_size: int, output: Path) -> None:
    """Train a byte-level BPE, cut into words as GPT-2 does; its last id ends a text.

    Args:
        sentences: are gone through once.
        vocab_size: tokens, 256 bytes and the end among them.
        output: folder to write.
    """
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    end, tokenizer = "<|endoftext|>", ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        sentences, max(vocab_size, 257) - 1, min_frequency=2, show_progress=False
    )
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, eos_token=end)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as folder:
        for path in map(Path, made.save_pretrained(folder)):
            if path.is_file():
                write_text(output / path.name, path.read_text(encoding="utf-8"))


def write_characters(sentences: Iterable[str], output: Path, asr: bool) -> None:
    """Write a character list; ``asr``: with ESPnet ASR's special symbols."""
    chars = sorted(set().union(*sentences) - {*" \n\t", WORD_START})
    if asr:
        pieces = ["<blank>", UNKNOWN, "<space>", *chars, "<sos/eos>"]
    else:
        pieces = [UNKNOWN, WORD_START, *chars]
    write_lines(output, pieces)


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="has `text`")
    parser.add_argument(
        "--token_type", default="bpe", choices=["bpe", "char", "asr", "hf"]
    )
    parser.add_argument("--vocab_size", type=positive, default=500, help="at most")
    parser.add_argument("--output", type=Path, required=True, help="hf: folder")
    add_segmenter_option(parser)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    sentences = Sentences(args.data_dir / "text")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    count, words = 0, set()
    for sentence in sentences:
        count += 1
        words.update(sentence.split())
    long = max(map(unspaced_part, words), key=len, default="")
    if args.segmenter == "whitespace" and len(long) > 9:
        logging.warning(
            "%s has text without spaces ('%s...'), of which all would be one word: "
            "--segmenter characters, or spaces between words and --segmenter given",
            args.data_dir / "text",
            long[:10],
        )
    if args.token_type == "hf":
        train_hf(sentences, args.vocab_size, args.output)
    elif args.token_type == "bpe":
        train_bpe(sentences, args.vocab_size, args.output, args.segmenter)
    else:
        write_characters(sentences, args.output, asr=args.token_type == "asr")
    logging.info("wrote %s from %d sentences", args.output, count)


if __name__ == "__main__":
    run(main)
