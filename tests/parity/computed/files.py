"""Every file of a folder but the vocoder's: what computes its expected tensors."""

from parity.computed import (
    audio_tower,
    end_to_end,
    extract_vq,
    frontend,
    generation,
    rvq,
    speech_decoder,
    taslm,
)

#: in order: later ones read earlier ones
FILES = {
    **frontend.FILES,
    "inputs": lambda folder: {},
    **audio_tower.FILES,
    **rvq.FILES,
    **extract_vq.FILES,
    **speech_decoder.FILES,
    **taslm.FILES,
    **generation.FILES,
    **end_to_end.FILES,
}
