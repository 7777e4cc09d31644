"""ESPnet task of the TASTE tokenizer and speech decoder."""

import argparse
from pathlib import Path

from espnet2.utils.get_default_kwargs import get_default_kwargs
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str2bool, str_or_none

from espnet2_taste.io.identity import digests, sha256
from espnet2_taste.nn.recompute import recompute_blocks
from espnet2_taste.tasks.options import (
    add_common_arguments,
    add_unit_arguments,
    complete_tokens,
    settle_fingerprints,
    settle_units,
)
from espnet2_taste.tasks.part_task import PartTask
from espnet2_taste.tasks.preprocessor import TastePreprocessor
from espnet2_taste.tasks.speech_rate import CountsBins, at_rate
from espnet2_taste.taste.build import (
    aggregator_choices,
    build_taste_model,
    encoder_choices,
    frontend_choices,
    frontend_rate,
    fusion_choices,
    quantizer_choices,
    speech_decoder_choices,
)
from espnet2_taste.taste.encoder_cache import EncoderCache
from espnet2_taste.taste.espnet_model import TasteModel
from espnet2_taste.text.segmenters import SEGMENTERS


class TasteTask(CountsBins, PartTask):
    """Builds and trains :class:`~espnet2_taste.taste.espnet_model.TasteModel`."""

    class_choices_list = [
        frontend_choices,
        encoder_choices,
        aggregator_choices,
        quantizer_choices,
        fusion_choices,
        speech_decoder_choices,
    ]
    data_names = ("text", "units", "spk_emb")
    more_data_names = ("speech", "feats", "durations", "prosody", "taste")

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = add_common_arguments(parser, get_default_kwargs(TasteModel))
        add_unit_arguments(group)
        group.add_argument(
            "--spk_embed_dim", type=int, default=192, help="Speaker embedding width"
        )
        for name, what in (("config", "config.yaml"), ("model", "checkpoint")):
            group.add_argument(
                f"--asr_{name}",
                type=str_or_none,
                default=None,
                help=f"{what} of an ESPnet recogniser, for the encoder `espnet`",
            )
        group.add_argument(
            "--segmenter",
            default="whitespace",
            choices=sorted(SEGMENTERS),
            help="What the words of a text are",
        )
        group.add_argument(
            "--gradient_checkpointing",
            type=str2bool,
            default=False,
            help="Compute the speech decoder's blocks again in the backward pass: less "
            "memory, a third more work",
        )
        group.add_argument(
            "--encoder_cache",
            type=str_or_none,
            default=None,
            help="Folder that keeps a frozen encoder's outputs for later epochs",
        )
        group.add_argument(
            "--encoder_cache_gib",
            type=float,
            default=10.0,
            help="GiB that it may take; what no longer fits is computed every time",
        )
        group.add_argument(
            "--vocabularies",
            action=NestedDictAction,
            default={},
            help="Further ones: name -> token_type, token_model, vocab_size",
        )
        group.add_argument(
            "--text_views",
            action=NestedDictAction,
            default={},
            help="aggregator, ctc, speech_decoder -> name of the vocabulary it reads",
        )
        for class_choices in cls.class_choices_list:
            class_choices.add_arguments(group)

    @classmethod
    def sample_rate(cls, args: argparse.Namespace) -> int:
        """Hz of the speech that the frontend takes."""
        return frontend_rate(args.frontend, args.frontend_conf)

    @classmethod
    def check_required_command_args(cls, args: argparse.Namespace) -> None:
        """Called for training only: the units and speakers of the data must fit."""
        super().check_required_command_args(args)
        settle_units(args)
        settle_fingerprints(args)

    @classmethod
    def complete(cls, args: argparse.Namespace) -> None:
        """Use, or drop, the options that a recipe gives in any case."""
        complete_tokens(args)
        found = {key: vars(args).pop(key) for key in ("asr_config", "asr_model")}
        if args.encoder == "espnet":
            args.encoder_conf = found | args.encoder_conf

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool):
        if not args.use_preprocessor:
            return None
        preprocess = TastePreprocessor.of(args)
        return at_rate(preprocess, cls.sample_rate(args), args, train)

    @classmethod
    def new_model(cls, args: argparse.Namespace) -> TasteModel:
        model = build_taste_model(args)
        check_required_data(args, model)
        if getattr(args, "gradient_checkpointing", False):
            recompute_blocks(model.speech_decoder)
        if getattr(args, "encoder_cache", None) and not model.text_only:
            model.encoder_cache = open_cache(args)
        return model


def open_cache(args: argparse.Namespace) -> EncoderCache:
    """``--encoder_cache``: of what the frontend and the encoder make of these data."""
    about = [args.frontend, args.frontend_conf, args.encoder, args.encoder_conf]
    for part in ("train", "valid"):
        for path, name, kind in getattr(args, f"{part}_data_path_and_name_and_type"):
            if name in ("speech", "feats"):
                path = Path(path)
                content = digests(path) if path.is_dir() else sha256(path)
                about += [part, name, kind, content]
    return EncoderCache(
        args.encoder_cache,
        args.encoder_cache_gib,
        repr(about),
        args.dist_rank or 0,
        args.dist_world_size or 1,
    )


def check_required_data(args: argparse.Namespace, model: TasteModel) -> None:
    """Before training: is there all the data that the parts of a model need?

    Raises:
        ValueError: no; the message names what is missing.
    """
    for part in ("train", "valid"):
        data = getattr(args, f"{part}_data_path_and_name_and_type", None)
        given = {name for _, name, _ in data or []}
        for names in model.required_data() if data else []:
            if not given.intersection(names):
                raise ValueError(
                    f"this configuration needs {' or '.join(names)}: add it to "
                    f"--{part}_data_path_and_name_and_type (stage 3 makes it, where "
                    "there is an --asr_config)"
                )
