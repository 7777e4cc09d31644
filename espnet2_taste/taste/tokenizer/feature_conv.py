"""Values straight from the features."""

import torch

from espnet2_taste.nn.segments import length_mask


class FeatureConv(torch.nn.Module):
    """Three convolutions from feature frames to the encoder's frames.

    Two at the feature rate, then linear interpolation to the frames of the encoder
    (whatever its subsampling), then one at that rate.

    Args:
        input_size: width of the features.
        output_size: width of the values.
    """

    def __init__(self, input_size: int, output_size: int):
        super().__init__()
        self.output_size = output_size
        self.conv1 = torch.nn.Conv1d(input_size, output_size, 5, padding=2)
        self.conv2 = torch.nn.Conv1d(output_size, output_size, 5, padding=2)
        self.conv3 = torch.nn.Conv1d(output_size, output_size, 3, padding=1)

    def forward(
        self,
        feats: torch.Tensor,
        lengths: torch.Tensor,
        num_frames: int,
        out_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """(B, T, input_size) with lengths (B,) -> (B, num_frames, output_size).

        Args:
            feats: (B, T, input_size) features.
            lengths: (B,) their valid frames.
            num_frames: F, frames of the encoder.
            out_lengths: (B,) its valid frames.
        """
        # Zeros after the end, before every convolution: a batch gives single results.
        valid = length_mask(lengths, feats.size(1))[:, None]
        gelu = torch.nn.functional.gelu
        x = gelu(self.conv1(feats.transpose(1, 2) * valid)) * valid
        x = gelu(self.conv2(x))
        valid = length_mask(out_lengths, num_frames)[:, None]
        x = self.conv3(_resample(x, lengths, num_frames, out_lengths) * valid) * valid
        return x.transpose(1, 2)


def _resample(
    x: torch.Tensor, lengths: torch.Tensor, num_frames: int, out_lengths: torch.Tensor
) -> torch.Tensor:
    """(B, C, T) -> (B, C, F): each item's valid frames onto its valid output frames."""
    ratio = (lengths / out_lengths.clamp(min=1))[:, None]
    frame = torch.arange(num_frames, device=x.device)
    position = ((frame + 0.5) * ratio - 0.5).clamp(min=0)
    last = (lengths - 1).clamp(min=0)[:, None]
    left = position.floor().long().minimum(last)
    right = (left + 1).minimum(last)
    weight = (position - left).clamp(0, 1)[:, None].to(x.dtype)

    def take(index: torch.Tensor) -> torch.Tensor:
        return x.gather(2, index[:, None].expand(-1, x.size(1), -1))

    return torch.lerp(take(left), take(right), weight)
