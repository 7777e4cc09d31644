"""Word spans by CTC forced alignment with a trained ESPnet ASR model."""

import numpy as np
import torch

from espnet2_taste.asr.ctc_alignment import align_words
from espnet2_taste.asr.espnet_asr import (
    build_encoder,
    build_frontend,
    build_normalize,
    encode,
    load_asr_weights,
    mask_padding,
    read_asr_config,
)
from espnet2_taste.io.config import read_yaml
from espnet2_taste.nn.segments import length_mask


class CTCAligner:
    """An ESPnet ASR model's frontend, encoder and CTC head.

    Args:
        config: config.yaml of the ASR experiment (character tokens).
        model: its checkpoint.
        device: torch device.

    Attributes:
        sample_rate: Hz of the speech it was trained on and takes.
    """

    def __init__(self, config: str, model: str, device: str = "cpu"):
        from espnet2_taste.io.audio import parse_rate
        from espnet2_taste.io.checkpoint import load_state

        conf = read_yaml(config)
        asr = read_asr_config(config)
        self.device, self.size = device, asr["asr_input_size"]
        self.sample_rate = parse_rate((conf["frontend_conf"] or {}).get("fs", 16000))
        self.frontend = build_frontend(conf).to(device)
        encoder = build_encoder(asr["encoder"], self.size, asr["encoder_conf"])
        mask_padding(encoder)
        self.parts = torch.nn.ModuleDict({"encoder": encoder})
        normalize = build_normalize(asr["normalize"], self.size, asr["normalize_conf"])
        if normalize is not None:
            self.parts["normalize"] = normalize
        load_asr_weights(model, self.parts)
        self.parts.eval().to(device)
        state = load_state(model)
        if "ctc.ctc_lo.weight" not in state:
            raise ValueError(f"{model} has no CTC head (ctc.ctc_lo)")
        self.weight = state["ctc.ctc_lo.weight"].to(device)
        self.bias = state["ctc.ctc_lo.bias"].to(device)
        self.index = {token: i for i, token in enumerate(conf["token_list"])}
        if "<space>" not in self.index:
            raise ValueError(f"{config}: word alignment needs character tokens")

    def token_ids(self, word: str) -> list[int]:
        """Known characters of a word, in either case; <unk> if there is none."""
        spellings = ((c, c.upper(), c.lower()) for c in word)
        known = ([s for s in same if s in self.index] for same in spellings)
        return [self.index[s[0]] for s in known if s] or [self.index["<unk>"]]

    @torch.inference_mode()
    def log_probs(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        """(F, V) of each waveform; ValueError where one is too short."""
        lengths = torch.tensor([len(w) for w in waves])
        speech = torch.zeros(len(waves), int(lengths.max()))
        speech[length_mask(lengths)] = torch.from_numpy(np.concatenate(waves))
        speech, lengths = speech.to(self.device), lengths.to(self.device)
        feats, lengths = self.frontend(speech, lengths)
        feats = feats * length_mask(lengths, feats.size(1))[..., None]
        if "normalize" in self.parts:
            feats, _ = self.parts["normalize"](feats, lengths)
        lengths, keys = encode(self.parts["encoder"], feats, lengths)
        logits = torch.nn.functional.linear(keys, self.weight, self.bias)
        log_probs = logits.log_softmax(-1).cpu()
        return [p[:n] for p, n in zip(log_probs, lengths.tolist(), strict=True)]

    def word_spans(
        self,
        waves: list[np.ndarray],
        words: list[list[str]],
        spaced: list[list[bool]] | None = None,
    ):
        """(W, 2) seconds of each utterance and how sure it is (0 to 1), see
        :func:`align_words`; or the ValueError that prevented it.

        Args:
            waves: of the utterances.
            words: that are said in each.
            spaced: whether there is a space before each word; default: everywhere.
        """
        spaced = spaced or [[True] * len(items) for items in words]
        try:
            found = self.log_probs(waves)
        except ValueError as error:
            if len(waves) == 1:
                return [error]
            each = zip(waves, words, spaced, strict=True)
            return [self.word_spans(*([part] for part in item))[0] for item in each]
        results, space = [], self.index["<space>"]
        for wav, log_probs, items, spaces in zip(
            waves, found, words, spaced, strict=True
        ):
            ids = [self.token_ids(word) for word in items]
            between = [space if s else None for s in spaces]
            try:
                frames, confidence = align_words(log_probs, ids, between)
            except ValueError as error:
                results.append(error)
                continue
            period = len(wav) / self.sample_rate / len(log_probs)
            results.append(((frames + 0.5) * period, confidence))
        return results
