"""A tiny TASLM with a character vocabulary and random weights."""

import pytest
import torch

CHARACTERS = ["<unk>", "\u2581", *"abcdefgh."]


@pytest.fixture
def make_model():
    from espnet2_taste.nn.backbone import HFCausalBackbone
    from espnet2_taste.nn.fusion import WeightedSumFusion
    from espnet2_taste.taslm.espnet_model import TaslmModel
    from espnet2_taste.taslm.gaussian_heads import GaussianHead, LatentHead
    from espnet2_taste.taslm.heads import TokenHead
    from espnet2_taste.taste.tokenizer.rvq import ResidualVQQuantizer

    def make(head="token", lm_conf=None, granularity="word", **conf):
        torch.manual_seed(0)
        config = {
            "model_type": "llama",
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "initializer_range": 0.5,
        }
        lm = HFCausalBackbone(len(CHARACTERS), **(lm_conf or {"config": config}))
        quantizer = ResidualVQQuantizer(
            dim=12, codebook_dim=6, num_codebooks=2, codebook_size=8, kmeans_init=False
        )
        fusion = WeightedSumFusion(lm.size, quantizer.dim, weights=[0.0, 0.0])
        heads = {"token": TokenHead, "latent": LatentHead, "gaussian": GaussianHead}
        return TaslmModel(
            *(lm, fusion, heads[head](lm.size, quantizer), quantizer, granularity),
            **conf,
        ).eval()

    return make


#: the spoken language model of TASTE2, but for its sizes
TASTE2 = {"head": "gaussian", "granularity": "token"}
TASTE2 |= {"start_symbol": False, "pad_projected": True}


@pytest.fixture
def make_taste2(make_model):
    def make(**conf):
        return make_model(**(TASTE2 | conf))

    return make


@pytest.fixture
def token_batch(batch):
    """The same texts with codes for each token (granularity: token)."""
    codes = torch.randint(8, (3, 5, 2), generator=torch.Generator().manual_seed(2))
    return batch | {"taste": codes, "taste_lengths": batch["text_lengths"]}


@pytest.fixture
def batch():
    """Three texts of 5, 3 and 1 tokens; 3, 3 and 1 words."""
    return {
        "text": torch.tensor([[1, 2, 3, 1, 4], [5, 6, 7, 0, 0], [8, 0, 0, 0, 0]]),
        "text_lengths": torch.tensor([5, 3, 1]),
        "word_ids": torch.tensor([[0, 0, 1, 2, 2], [0, 1, 2, 0, 0], [0, 0, 0, 0, 0]]),
        "word_ids_lengths": torch.tensor([5, 3, 1]),
        "taste": torch.randint(
            8, (3, 3, 2), generator=torch.Generator().manual_seed(1)
        ),
        "taste_lengths": torch.tensor([3, 3, 1]),
    }
