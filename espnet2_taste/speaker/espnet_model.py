"""Training of the x-vector: which of the training speakers is it?"""

import torch
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel

from espnet2_taste.speaker.xvector import SpeakerClassifier, XVector


class SpeakerModel(AbsESPnetModel):
    """An x-vector and a classifier of the training speakers.

    Args:
        num_speakers: of the training set.
        margin, scale: of the additive-margin softmax.
        conf: of :class:`~espnet2_taste.speaker.xvector.XVector`.
    """

    def __init__(
        self, num_speakers: int, margin: float = 0.2, scale: float = 20.0, **conf
    ):
        super().__init__()
        self.xvector = XVector(**conf)
        self.classifier = SpeakerClassifier(
            num_speakers, self.xvector.embed_dim, scale, margin
        )

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        speaker: torch.Tensor,
        **kwargs,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Loss of a batch.

        Args:
            speech: (B, N) crops of one length at 16 kHz.
            speech_lengths: not used.
            speaker: (B, 1) int64, which training speaker it is.
            kwargs: ignored.

        Returns:
            loss, statistics (``accuracy``: 0 to 1) and the batch size.
        """
        features = self.xvector.features(speech)
        lengths = torch.full((len(speech),), features.shape[1], device=speech.device)
        embeddings = self.xvector(features, lengths)
        loss, accuracy = self.classifier(embeddings, speaker[:, 0])
        stats = {"loss": loss.detach().clone(), "accuracy": accuracy}
        return force_gatherable((loss, stats, len(speech)), loss.device)

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Nothing needs statistics."""
        return {}
