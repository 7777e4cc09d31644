"""ESPnet task of the text-aligned spoken language model (TASLM)."""

import argparse

from espnet2.utils.get_default_kwargs import get_default_kwargs
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from espnet2_taste.tasks.dialogue import LEARNED, DialoguePreprocessor
from espnet2_taste.tasks.options import (
    add_common_arguments,
    complete_tokens,
    data_files,
    settle_fingerprints,
)
from espnet2_taste.tasks.part_task import PartTask
from espnet2_taste.tasks.preprocessor import TastePreprocessor
from espnet2_taste.taslm.build import (
    build_new_taslm,
    lm_choices,
    speech_head_choices,
    taste_options,
    taste_spec,
)
from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taste.build import fusion_choices
from espnet2_taste.text.chat_template import TEMPLATES, ChatTemplate


class TaslmTask(PartTask):
    """Builds and trains :class:`~espnet2_taste.taslm.espnet_model.TaslmModel`."""

    class_choices_list = [lm_choices, fusion_choices, speech_head_choices]
    data_names = ("text", "taste")

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = add_common_arguments(parser, get_default_kwargs(TaslmModel))
        group.add_argument(
            "--taste_config",
            type=str_or_none,
            default=None,
            help="config.yaml of the TASTE model whose codes are modelled",
        )
        group.add_argument(
            "--taste_model",
            type=str_or_none,
            default=None,
            help="Its checkpoint; the quantizer is copied from it",
        )
        group.add_argument(
            "--chat_template",
            type=str_or_none,
            default=None,
            choices=[None, *TEMPLATES],
            help="Learn dialogues, written with this template (own: the tokenizer's); "
            "bin.dialogue makes their text and taste",
        )
        group.add_argument(
            "--learned_turns",
            default=LEARNED[0],
            choices=LEARNED,
            help="of dialogues; all: also what the template writes",
        )
        group.add_argument(
            "--merge_lora",
            type=str_or_none,
            default=None,
            help="Begin from this TASLM (experiment, packed model or checkpoint): its "
            "LoRA is merged into the LM, and a new one of lm_conf begins; checkpoints "
            "then hold the whole LM",
        )
        found = "Written from --taste_config into config.yaml"
        group.add_argument("--quantizer", type=str_or_none, default=None, help=found)
        group.add_argument(
            "--quantizer_conf", action=NestedDictAction, default={}, help=found
        )
        group.add_argument("--quantizer_dim", type=int, default=None, help=found)
        for name in ("--granularity", "--segmenter"):
            group.add_argument(name, type=str_or_none, default=None, help=found)
        for class_choices in cls.class_choices_list:
            class_choices.add_arguments(group)

    @classmethod
    def complete(cls, args: argparse.Namespace) -> None:
        """Use, or drop, the option that a recipe gives in any case."""
        complete_tokens(args)

    @classmethod
    def check_required_command_args(cls, args: argparse.Namespace) -> None:
        """Called for training only."""
        super().check_required_command_args(args)
        settle_fingerprints(args)

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool):
        if not args.use_preprocessor:
            return None
        # not what build_model writes into args, which collect_stats does not call
        found = argparse.Namespace(**vars(args) | taste_options(args))
        words = TastePreprocessor.of(found, taste_spec(args), generated=True)
        words.spec.check(data_files(args).get("taste", ""))
        if args.chat_template is None:
            return words
        start = args.model_conf.get("start_symbol", True)
        template = ChatTemplate(words.tokenizer, args.chat_template, start)
        return DialoguePreprocessor(words, template, args.learned_turns)

    @classmethod
    def new_model(cls, args: argparse.Namespace) -> TaslmModel:
        return build_new_taslm(args)
