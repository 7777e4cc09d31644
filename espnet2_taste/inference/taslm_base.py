"""What the TASLM's inference classes share: loading, tokens, batches."""

from pathlib import Path

import numpy as np
import torch

from espnet2_taste.checkpoint import build_model_from_file
from espnet2_taste.data.collate import TasteCollate
from espnet2_taste.data.preprocessor import TaslmPreprocessor
from espnet2_taste.inference.base import FromPretrained, find_checkpoint


class TaslmInference(FromPretrained):
    """A trained TASLM with its text tokenizer.

    Args:
        train_config: config.yaml of the experiment; None: beside ``model_file``.
        model_file: checkpoint; None: the best one beside ``train_config``.
        device: torch device.
    """

    part = "taslm"

    def __init__(
        self,
        train_config: str | Path | None = None,
        model_file: str | Path | None = None,
        device: str = "cpu",
    ):
        from espnet2_taste.taslm.build import build_taslm_model

        if model_file is None:
            if train_config is None:
                raise ValueError("give train_config or model_file")
            model_file = find_checkpoint(Path(train_config).parent)
        self.model, args = build_model_from_file(
            build_taslm_model, train_config, model_file, device
        )
        self.device = device
        self.preprocess = TaslmPreprocessor(
            args.token_type, args.token_model, self.model.quantizer.num_codebooks
        )
        self.tokenizer = self.preprocess.tokenizer
        self.collate = TasteCollate()

    def batch(
        self,
        words: list[list[str]],
        codes: list[np.ndarray | torch.Tensor] | None = None,
        names: list[str] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Tokenise and pad utterances.

        Args:
            words: of each utterance.
            codes: (W, R) TASTE codes of each utterance's words.
            names: for error messages; default their index.

        Raises:
            ValueError: on an utterance without words or with other codes than words;
                the message names it.
        """
        names = names or [str(i) for i in range(len(words))]
        data = [{"text": " ".join(item)} for item in words]
        if codes is not None:
            for item, rows in zip(data, codes, strict=True):
                item["taste"] = np.asarray(rows).reshape(-1)
        items = [
            (name, self.preprocess(name, item))
            for name, item in zip(names, data, strict=True)
        ]
        return {k: v.to(self.device) for k, v in self.collate(items)[1].items()}
