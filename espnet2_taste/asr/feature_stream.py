"""Features of speech that comes in pieces."""

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend


class FeatureStream:
    """What :meth:`push` returns, put together, is what the frontend gives of the whole.

    Args:
        frontend: says with ``reach`` how many samples on either side of its place,
            ``hop_length`` samples after that of the frame before it, a frame depends on
            (None: on the whole utterance).

    Attributes:
        reach: samples that a frame waits for.

    Raises:
        ValueError: its frames depend on the whole utterance.
    """

    def __init__(self, frontend: AbsFrontend):
        reach = getattr(frontend, "reach", None)
        if reach is None:
            raise ValueError(
                "this frontend hears an utterance at once; those that stream are "
                "whisper_mel with pad_to_30s: false and floor: false, and default "
                "with even_level: false (frontend_conf)"
            )
        self.frontend, self.hop, self.reach = frontend, frontend.hop_length, reach
        self.wav: torch.Tensor | None = None
        self.first = 0  # frame that is at the beginning of self.wav
        self.count = 0  # frames given

    @torch.inference_mode()
    def push(self, wav: torch.Tensor, last: bool = False) -> torch.Tensor:
        """Hear (B, n) more samples, of utterances at one pace; n may be 0.

        Args:
            wav: float32.
            last: nothing follows.

        Returns:
            (B, T, D) the next frames, perhaps none.
        """
        if self.wav is not None:
            wav = torch.cat([self.wav, wav], 1)
        heard = self.first * self.hop + wav.size(1)
        known = max(self.count, -((self.reach - heard) // self.hop))
        self.wav = wav
        if not heard or (not last and known == self.count):
            return wav.new_zeros(len(wav), 0, self.frontend.output_size())
        lengths = torch.full((len(wav),), wav.size(1), device=wav.device)
        feats = self.frontend(wav, lengths)[0]
        end = self.first + feats.size(1) if last else known
        feats = feats[:, self.count - self.first : end - self.first]
        # at its beginning the waveform is reflected: those frames are not the whole's
        first = max(0, end + self.reach // -self.hop)
        self.wav = wav[:, (first - self.first) * self.hop :]
        self.first, self.count = first, end
        return feats
