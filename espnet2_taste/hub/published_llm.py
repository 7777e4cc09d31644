"""CosyVoice 2's text-to-unit LM, ``llm.pt``: a decoder to start training from."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from espnet2_taste.hub.conversion_plan import Part, Plan
from espnet2_taste.hub.published_names import SPEECH_DECODER, TASTE, Table, to_published
from espnet2_taste.hub.taste2_arguments import qwen2_config
from espnet2_taste.io.checkpoint import describe_mismatch, load_state
from espnet2_taste.io.config import read_arguments
from espnet2_taste.nn.fusion import WeightedSumFusion
from espnet2_taste.taste.speech_decoder.interleaved_lm import InterleavedLMDecoder

#: names in the file -> in the decoder
LLM: Table = (
    ("llm.model.", "llm.lm."),
    ("llm_embedding.", "llm_embedding."),
    ("llm_decoder.", "llm_decoder."),
    ("speech_embedding.", "speech_embedding."),
)
#: the same in a STAGE1_TRAIN or CosyVoice checkpoint and in a model
_FILE: Table = tuple(
    (SPEECH_DECODER + theirs, f"speech_decoder.{ours}") for theirs, ours in LLM
)
TABLE, HEAD = "llm.model.model.embed_tokens.weight", "llm.model.lm_head.weight"
#: of the recipes; the LM does not read it
SPK_EMBED_DIM = 192


def is_llm(info: Mapping[str, torch.Tensor]) -> bool:
    """Whether a CosyVoice checkpoint (see ``Stage1Checkpoint``) is of version 2."""
    return SPEECH_DECODER + TABLE in info


def plan_llm(info: dict[str, torch.Tensor], where: str) -> Plan:
    """A decoder without TASTE's fusion, to start training from (``--init_param``).

    Its attention heads are 64 wide, as Qwen2-0.5B's. An output layer that the file
    leaves out is the text table, to which it is tied.

    Args:
        info: the tensors; a missing output layer is added.
        where: the checkpoint, for messages.

    Raises:
        ValueError: unknown, missing or mis-shaped tensors.
    """
    table, head = SPEECH_DECODER + TABLE, SPEECH_DECODER + HEAD
    info.setdefault(head, info[table])
    try:
        config = qwen2_config(info, SPEECH_DECODER + "llm.model.")
        num_units = info[SPEECH_DECODER + "speech_embedding.weight"].shape[0] - 3
    except KeyError as error:
        raise ValueError(
            f"{where} is no LM of CosyVoice 2: it has no {error}"
        ) from None
    tied = info[head] is info[table] or (
        info[head].shape == info[table].shape and torch.equal(info[head], info[table])
    )
    config["tie_word_embeddings"] = tied
    conf = {"lm_conf": {"config": config}}
    with torch.device("meta"):
        decoder = InterleavedLMDecoder(
            config["vocab_size"], 1, num_units, SPK_EMBED_DIM, WeightedSumFusion, **conf
        )
    shapes = {
        f"speech_decoder.{name}": value.shape
        for name, value in decoder.state_dict().items()
        if not name.startswith("fusion.")
    }
    tensors = {ours: to_published(_FILE, ours) for ours in shapes}
    wanted = {tensors[name]: shape for name, shape in shapes.items()}
    problems = describe_mismatch(wanted, {k: t.shape for k, t in info.items()})
    if problems:
        raise ValueError(f"{where} is no LM of CosyVoice 2: {problems}")
    options = argparse.Namespace(
        vocab_size=config["vocab_size"],
        num_units=num_units,
        spk_embed_dim=SPK_EMBED_DIM,
        speech_decoder="interleaved_lm",
        speech_decoder_conf=conf,
    )
    return Plan([Part("speech_decoder", options, tensors, shapes)], [], {})


def decoder_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """A converted decoder's tensors as ``llm.pt`` of CosyVoice (1 or 2) has them.

    Args:
        folder: ``speech_decoder`` of a packed model.
    """
    args = read_arguments(folder / "config.yaml")
    table = _FILE if args.speech_decoder == "interleaved_lm" else TASTE
    return {
        to_published(table, ours).removeprefix(SPEECH_DECODER): tensor
        for ours, tensor in load_state(folder / "model.pth").items()
    }
