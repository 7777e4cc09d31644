"""Does it sound like the same speaker as the original?"""

from functools import cached_property, partial
from pathlib import Path

import torch

from espnet2_taste.evaluate.scorers.abs_scorer import (
    AbsScorer,
    Column,
    Recording,
    Row,
    Unavailable,
    loaded,
)
from espnet2_taste.evaluate.scorers.reading import read_speech
from espnet2_taste.io.identity import weights_identity
from espnet2_taste.io.models import is_tag
from espnet2_taste.speaker import load_speaker_encoder, speaker_choices
from espnet2_taste.speaker.abs_speaker_encoder import AbsSpeakerEncoder

UPPER_BOUND = (
    "measured with the encoder that conditions the decoder: an upper bound (another "
    "one: --meter_conf speaker.type=... speaker.model=...)"
)


def speaker_identity(type: str, model: str) -> str:
    """Name of a speaker encoder and digits of its weights."""
    return f"{type} {weights_identity(model)}"


class SpeakerScorer(AbsScorer):
    """`speaker`: cosine of the speaker embeddings of a recording and its reference.

    Definition: mean over recordings of <e, e'> / (|e| |e'|). Unit: none, -1 to 1. The
    reference may say other words: a continuation is compared with its prompt. Source:
    speaker similarity of VALL-E (C. Wang et al. 2023) and VERSA; the value depends on
    the encoder, which the results name.

    Args:
        type: of the speaker encoder: xvector, campplus or espnet_spk.
        model: its folder, file or tag.
        device: torch device.
    """

    name = "speaker"
    columns = (
        Column(
            "speaker_similarity",
            "Speaker",
            "cosine of the speaker embeddings of the recording and the original, -1 to "
            "1; whose embeddings: see the scorers",
        ),
    )
    needs_reference = True
    on_device = True

    def __init__(
        self, type: str = "xvector", model: str | None = None, device: str = "cpu"
    ):
        speaker_choices.get_class(type)  # a ValueError lists them
        self.type, self.path, self.device = type, model, device
        self._references: dict[str, torch.Tensor] = {}
        if not model or not (is_tag(model) or Path(model).exists()):
            missing = f" ({Path(model).name} does not exist)" if model else ""
            raise Unavailable(
                f"a speaker encoder{missing}: --meter_conf speaker.type="
                f"{'|'.join(speaker_choices.names())} speaker.model=<folder or file>"
            )

    @cached_property
    def identity(self) -> str:
        return speaker_identity(self.type, self.path)

    def upper_bounds(self, original: Row, conditioned_by: str) -> dict[str, str]:
        kind, _, model = conditioned_by.partition("=")
        same = model and self.identity == speaker_identity(kind, model)
        return {"speaker_similarity": UPPER_BOUND} if same else {}

    @cached_property
    def encoder(self) -> AbsSpeakerEncoder:
        """Loaded with the first recording.

        Raises:
            Unavailable: it cannot be loaded.
        """
        encoder = partial(load_speaker_encoder, self.type, self.path)
        return loaded(
            partial(encoder, device=self.device), f"speaker encoder {self.type}"
        )

    def __call__(self, recordings: list[Recording]) -> list[dict[str, list[float]]]:
        pairs = {i: r for i, r in enumerate(recordings) if r.reference is not None}
        new = {
            r.reference: f"reference of {r.utt}"
            for r in pairs.values()
            if r.reference not in self._references
        }
        self._references |= self._embed(new)
        embeddings = self._embed({r.entry: r.utt for r in pairs.values()})
        results: list[dict[str, list[float]]] = [{} for _ in recordings]
        for i, recording in pairs.items():
            own = embeddings.get(recording.entry)
            reference = self._references.get(recording.reference)
            if own is not None and reference is not None:
                results[i] = {"speaker_similarity": [float(own @ reference), 1.0]}
        return results

    def _embed(self, entries: dict[str, str]) -> dict[str, torch.Tensor]:
        """``wav.scp`` entry -> utterance to: entry -> (S,) float64 of length 1."""
        rate = self.encoder.sample_rate
        wavs = {e: read_speech(e, utt, sample_rate=rate) for e, utt in entries.items()}
        wavs = {entry: wav for entry, wav in wavs.items() if wav is not None}
        if not wavs:
            return {}
        vectors = self.encoder([torch.from_numpy(wav) for wav in wavs.values()])
        vectors = torch.nn.functional.normalize(vectors.double(), dim=-1)
        return dict(zip(wavs, vectors, strict=True))
