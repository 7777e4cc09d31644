"""From what ESPnet's dataset reads to what the models take, checked per utterance."""

import argparse
import dataclasses

import numpy as np

from espnet2_taste.io.values import as_integers, check_numbers
from espnet2_taste.taste.taste_spec import TasteSpec
from espnet2_taste.text import utf8
from espnet2_taste.text.fingerprint import check_fingerprints, fingerprint
from espnet2_taste.text.segmenters import SEGMENTERS, first_kind
from espnet2_taste.text.tokenizers import build_text_tokenizer
from espnet2_taste.text.view import MAIN, text_keys
from espnet2_taste.units.unit_spec import UnitSpec

#: Integer arrays that ESPnet reads from int32 arks.
INTEGER_NAMES = ("units", "durations", "taste")


class TastePreprocessor:
    """``(uid, data) -> data`` of the TASTE tokenizer and of the TASLM.

    Adds token ids and word ids of every vocabulary (``text`` and ``word_ids`` of the
    main one), makes ``taste`` (S, R), and checks what belongs together.

    Args:
        token_type: of the main vocabulary, see
            :func:`~espnet2_taste.text.tokenizers.build_text_tokenizer`.
        token_model: likewise.
        vocabularies: further ones: name -> token_type and token_model.
        segmenter: what words are, one of
            :data:`~espnet2_taste.text.segmenters.SEGMENTERS`.
        spec: form of the codes in ``taste``, if there are any.
        codes_vocabulary: vocabulary whose tokens have codes (``granularity: token``).
        generated: whether a model learns to write the main vocabulary.
        num_units: ``units`` are below it; None: any.

    Raises:
        ValueError: a vocabulary that does not go with the segmenter; when called, on a
            bad utterance, which the message names.
    """

    def __init__(
        self,
        token_type: str,
        token_model: str | None = None,
        vocabularies: dict[str, dict] | None = None,
        segmenter: str = "whitespace",
        spec: TasteSpec | None = None,
        codes_vocabulary: str = MAIN,
        generated: bool = False,
        num_units: int | None = None,
    ):
        self.num_units = num_units
        self.tokenizer = build_text_tokenizer(token_type, token_model)
        self.tokenizers = {MAIN: self.tokenizer}
        for name, conf in (vocabularies or {}).items():
            self.tokenizers[name] = build_text_tokenizer(
                conf["token_type"], conf.get("token_model")
            )
        self.segmenter = SEGMENTERS[segmenter]
        for name, one in self.tokenizers.items():
            if segmenter != "whitespace" and not one.spaces_alone:
                raise ValueError(
                    f"vocabulary {name} has a space before every word, segmenter "
                    f"{segmenter} has not: choose another token_model"
                )
        if spec is not None and spec.granularity == "token":
            version = fingerprint(self.tokenizers[codes_vocabulary])
            spec = dataclasses.replace(spec, vocabulary=version)
        self.spec = spec
        self.codes_vocabulary = codes_vocabulary
        self.tells_letters = generated and segmenter == "characters"

    @classmethod
    def of(
        cls,
        args: argparse.Namespace,
        spec: TasteSpec | None = None,
        codes_vocabulary: str = MAIN,
        generated: bool = False,
    ) -> "TastePreprocessor":
        """That of training options, old ones too.

        Raises:
            ValueError: see the class; also a tokenizer with more tokens than the
                model's table (``vocab_size``) has rows, or another fingerprint than
                the model was trained with: it is another one's.
        """
        made = cls(
            args.token_type,
            args.token_model,
            getattr(args, "vocabularies", None),
            getattr(args, "segmenter", None) or "whitespace",
            spec,
            codes_vocabulary,
            generated,
            UnitSpec.of(args).num_units,
        )
        rows, tokens = getattr(args, "vocab_size", None), made.tokenizer.vocab_size
        check_fingerprints(getattr(args, "fingerprints", None) or {}, made.tokenizers)
        if rows is not None and tokens > rows:
            raise ValueError(
                f"{args.token_model or args.token_type} has {tokens} tokens, the "
                f"model's table (vocab_size) {rows} rows: set token_model to the "
                "tokenizer it was trained with"
            )
        return made

    def __call__(self, uid: str, data: dict) -> dict[str, np.ndarray]:
        out = {k: v for k, v in data.items() if k not in ("text", "after")}
        try:
            if "text" in data:
                before = data.get("after", "")  # the word that a piece of text follows
                words = self.segmenter.split_after(before, data["text"])
                for vocabulary, tokenizer in self.tokenizers.items():
                    pair = tokenizer.encode_words(*words)
                    for name, ids in zip(text_keys(vocabulary), pair, strict=True):
                        out[name] = np.asarray(ids, dtype=np.int64)
                self.check_words(len(words[0]), out)
                if self.tells_letters:
                    self.check_letters(out[MAIN])
            for name in INTEGER_NAMES:
                if name in out:
                    out[name] = as_integers(name, out[name])
            self.check(out)
        except ValueError as error:
            raise ValueError(f"utterance {uid}: {error}") from None
        return out

    def segments(self, text: str) -> list[int]:
        """The word that each row of a transcript's TASTE codes stands for, or for a
        part of which it stands: 0, 1, 2 ... or 0, 0, 1, 2, 2 ..."""
        words = self.segmenter.split(text)
        if self.spec is None or self.spec.granularity == "word":
            return list(range(len(words[0])))
        return self.tokenizers[self.codes_vocabulary].encode_words(*words)[1]

    def check_letters(self, ids: np.ndarray) -> None:
        """ValueError where words could not be told apart while they are generated."""
        for piece in map(self.tokenizer.piece, ids.tolist()):
            if utf8.spell_cut(piece, first_kind) is None:
                written = self.tokenizer.decode(ids.tolist())
                raise ValueError(
                    f"'{written}' has letters that this vocabulary writes in bytes, of "
                    "which the first may begin a word or not: choose another one, or "
                    "another segmenter"
                )

    def check_words(self, words: int, data: dict[str, np.ndarray]) -> None:
        """Give ``taste`` its rows; ValueError for what does not fit the words."""
        for name in ("durations", "prosody"):
            if name in data and len(data[name]) != words:
                raise ValueError(
                    f"{len(data[name])} {name} for {words} words; text and "
                    f"{name}.scp differ: run stage 3 again"
                )
        if self.spec is None:
            return
        kind, books = self.spec.granularity, self.spec.num_codebooks
        tokens = len(data[text_keys(self.codes_vocabulary)[0]])
        rows, others = (tokens, words) if kind == "token" else (words, tokens)
        if "latents" in data and len(data["latents"]) != rows:
            raise ValueError(
                f"{len(data['latents'])} latents for {rows} {kind}s: not of this text"
            )
        if "taste" in data:
            size = data["taste"].size
            if not books or size != rows * books:
                why = "not of this text and model (stage 6 makes them)"
                if books and size == others * books:
                    other = "word" if kind == "token" else "token"
                    why = f"they are per {other}, this model's are per {kind}"
                raise ValueError(
                    f"{size} TASTE codes for {rows} {kind}s x {books} codebooks: {why}"
                )
            data["taste"] = data["taste"].reshape(-1, books)
            check_ids("TASTE code", data["taste"], self.spec.codebook_size)

    def check(self, data: dict[str, np.ndarray]) -> None:
        """Raise ValueError where the parts of an utterance contradict each other."""
        for name in ("speech", "feats", "spk_emb", "prosody"):
            if name in data:
                check_numbers(name, data[name])
        if "speech" in data and data["speech"].ndim != 1:
            raise ValueError("speech is not mono; stage 2 makes it so")
        if "units" in data and self.num_units:
            check_ids("unit", data["units"], self.num_units)
        if "durations" in data and "units" in data:
            total = data["durations"].sum()
            if total != len(data["units"]):
                raise ValueError(
                    f"durations sum to {total}, but there are {len(data['units'])} "
                    "units: run stage 3 again"
                )


def check_ids(name: str, ids: np.ndarray, size: int) -> None:
    """ValueError where an id is not in [0, size), which a GPU would not survive."""
    wrong = ids[(ids < 0) | (ids >= size)]
    if wrong.size:
        raise ValueError(
            f"{name} {wrong.flat[0]} is not among the {size} of the model: made by "
            "another one, or damaged"
        )
