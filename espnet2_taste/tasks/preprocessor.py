"""From what ESPnet's dataset reads to what the models take, checked per utterance."""

import numpy as np

from espnet2_taste.text.tokenizers import build_text_tokenizer

#: Integer arrays that ESPnet reads from int32 arks.
INTEGER_NAMES = ("units", "durations", "taste")


class TastePreprocessor:
    """``(uid, data) -> data`` of the TASTE tokenizer.

    Adds ``text`` (token ids) and ``word_ids``; checks what belongs together.

    Args:
        token_type: see :func:`~espnet2_taste.text.tokenizers.build_text_tokenizer`.
        token_model: likewise.

    Raises:
        ValueError: on a bad utterance; the message names it.
    """

    def __init__(self, token_type: str, token_model: str | None = None):
        self.tokenizer = build_text_tokenizer(token_type, token_model)

    def __call__(self, uid: str, data: dict) -> dict[str, np.ndarray]:
        out = {k: v for k, v in data.items() if k != "text"}
        words = str(data["text"]).split() if "text" in data else []
        try:
            if "text" in data:
                ids, word_ids = self.tokenizer.encode_words(words)
                out["text"] = np.asarray(ids, dtype=np.int64)
                out["word_ids"] = np.asarray(word_ids, dtype=np.int64)
            for name in INTEGER_NAMES:
                if name in out:
                    out[name] = np.asarray(out[name]).astype(np.int64)
            self.check(words, out)
        except ValueError as error:
            raise ValueError(f"utterance {uid}: {error}") from None
        return out

    def check(self, words: list[str], data: dict[str, np.ndarray]) -> None:
        """Raise ValueError where the parts of an utterance contradict each other."""
        for name in ("speech", "feats", "spk_emb", "prosody"):
            if name in data and not np.isfinite(data[name]).all():
                raise ValueError(f"{name} has NaN or infinite values")
        if "speech" in data and data["speech"].ndim != 1:
            raise ValueError("speech is not mono; stage 2 makes it so")
        for name in ("durations", "prosody"):
            if name in data and len(data[name]) != len(words):
                raise ValueError(
                    f"{len(data[name])} {name} for {len(words)} words; text and "
                    f"{name}.scp differ: run stage 3 again"
                )
        if "durations" in data and "units" in data:
            total = data["durations"].sum()
            if total != len(data["units"]):
                raise ValueError(
                    f"durations sum to {total}, but there are {len(data['units'])} "
                    "units: run stage 3 again"
                )


class TaslmPreprocessor(TastePreprocessor):
    """``(uid, data) -> data`` of the TASLM: adds ``taste`` as (words, codebooks).

    Args:
        token_type: tokenizer of the language model.
        token_model: likewise.
        num_codebooks: R, codes per word in the flat ``taste`` arrays.
    """

    def __init__(
        self, token_type: str, token_model: str | None = None, num_codebooks: int = 4
    ):
        super().__init__(token_type, token_model)
        self.num_codebooks = num_codebooks

    def check(self, words: list[str], data: dict[str, np.ndarray]) -> None:
        super().check(words, data)
        if "taste" not in data:
            return
        if data["taste"].size != len(words) * self.num_codebooks:
            raise ValueError(
                f"{data['taste'].size} TASTE codes for {len(words)} words x "
                f"{self.num_codebooks} codebooks: run stage 6 again"
            )
        data["taste"] = data["taste"].reshape(-1, self.num_codebooks)
