"""Command-line options and data names that both tasks share."""

import argparse

from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import int_or_none, str2bool, str_or_none

from espnet2_taste.text.tokenizers import TOKENIZERS


def add_common_arguments(parser: argparse.ArgumentParser, model_conf: dict):
    """Add the tokenizer and model options; returns the argument group.

    Args:
        parser: of the task.
        model_conf: default keyword arguments of the model class.
    """
    group = parser.add_argument_group(description="Task related")
    group.add_argument(
        "--token_type",
        default="bpe",
        choices=sorted(TOKENIZERS),
        help="Vocabulary of the text",
    )
    group.add_argument(
        "--token_model",
        type=str_or_none,
        default=None,
        help="sentencepiece model, character list, or hub id / folder",
    )
    group.add_argument(
        "--vocab_size",
        type=int_or_none,
        default=None,
        help="Text ids the model embeds; default: as many as the tokenizer has",
    )
    group.add_argument(
        "--use_preprocessor",
        type=str2bool,
        default=True,
        help="Apply preprocessing to data or not",
    )
    group.add_argument(
        "--model_conf",
        action=NestedDictAction,
        default=model_conf,
        help="The keyword arguments for model class.",
    )
    return group
