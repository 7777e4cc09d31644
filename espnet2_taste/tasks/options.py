"""Command-line options and data names that both tasks share."""

import argparse
from dataclasses import asdict
from pathlib import Path

from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import int_or_none, str2bool, str_or_none

from espnet2_taste.io.arks import first_array
from espnet2_taste.text.fingerprint import fingerprint
from espnet2_taste.text.tokenizers import TOKENIZERS, build_text_tokenizer
from espnet2_taste.text.view import MAIN
from espnet2_taste.units.unit_spec import UnitSpec, check_fit


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
        "--bpe_model",
        type=str_or_none,
        default=None,
        help="token_model where token_type is bpe and no token_model is given",
    )
    group.add_argument(
        "--vocab_size",
        type=int_or_none,
        default=None,
        help="Text ids the model embeds; default: as many as the tokenizer has",
    )
    group.add_argument(
        "--fingerprints",
        action=NestedDictAction,
        default={},
        help="Made by training: vocabulary -> what tells its versions apart",
    )
    group.add_argument(
        "--use_preprocessor",
        type=str2bool,
        default=True,
        help="Apply preprocessing to data or not",
    )
    group.add_argument(
        "--compile",
        type=str2bool,
        default=False,
        help="Train through torch.compile, block by block: faster where it is, after a "
        "minute or more of compiling",
    )
    group.add_argument(
        "--model_conf",
        action=NestedDictAction,
        default=model_conf,
        help="The keyword arguments for model class.",
    )
    return group


def add_unit_arguments(group) -> None:
    """``--unit_spec``, and ``--num_units`` of older configurations."""
    group.add_argument(
        "--unit_spec",
        type=lambda path: asdict(UnitSpec.read(path)),
        default=None,
        help="unit_spec.yaml of the speech units; its content goes into config.yaml "
        "(default: the one beside units.scp)",
    )
    group.add_argument(
        "--num_units", type=int_or_none, default=None, help="Without --unit_spec"
    )


def settle_units(args: argparse.Namespace) -> None:
    """``args.unit_spec`` and ``args.num_units`` from the options and the data.

    Raises:
        ValueError: units or speaker embeddings of the data are others than the model's;
            one line says which and how.
    """
    spec = None
    if args.unit_spec or args.num_units:
        spec = UnitSpec.of(args)
        if args.num_units:
            check_fit("--num_units", UnitSpec(args.num_units), "--unit_spec", spec)
    found = check_data(args, "this model", spec, args.spk_embed_dim)
    spec = (spec if args.unit_spec else None) or found or UnitSpec.of(args)
    args.unit_spec, args.num_units = asdict(spec), spec.num_units


def check_data(
    args: argparse.Namespace, model: str, spec: UnitSpec | None, spk_embed_dim: int
) -> UnitSpec | None:
    """Refuse training and validation data that a model does not take.

    Args:
        args: options of the training.
        model: what it is, for the message.
        spec: of the units it takes; None: any.
        spk_embed_dim: width of the speaker embeddings it takes.

    Returns:
        what the data's units are; None: nothing says.

    Raises:
        ValueError: see :func:`~espnet2_taste.units.unit_spec.check_fit`.
    """
    found = None
    for data in (
        args.train_data_path_and_name_and_type,
        args.valid_data_path_and_name_and_type,
    ):
        for path, name, _ in data:
            if name == "units":
                beside = UnitSpec.beside(path)
                check_fit(model, spec or found, path, beside)
                found = found or beside
            elif name == "spk_emb":
                width = len(first_array(first_part(path)))
                check_fit(model, None, path, None, (spk_embed_dim, width))
    return found


def first_part(path: str) -> str:
    """A table, or the first part of one that ``espnet2.bin.split_scps`` split."""
    part = Path(path, "split.0")
    return str(part) if part.is_file() else path


def complete_tokens(args: argparse.Namespace) -> None:
    """Replace ``bpe_model``, which recipes give whatever the token type is."""
    bpe_model = vars(args).pop("bpe_model")
    if args.token_type == "bpe" and args.token_model is None:
        args.token_model = bpe_model


def settle_fingerprints(args: argparse.Namespace) -> None:
    """``args.fingerprints`` of the vocabularies, for config.yaml: who loads the model
    with others is told so."""
    confs = {MAIN: vars(args)} | (getattr(args, "vocabularies", None) or {})
    args.fingerprints = {
        name: fingerprint(
            build_text_tokenizer(conf["token_type"], conf.get("token_model"))
        )
        for name, conf in confs.items()
    }


def data_files(args: argparse.Namespace) -> dict[str, str]:
    """Name of the data in a batch -> its file, of the training set."""
    paths = args.train_data_path_and_name_and_type
    return {name: path for path, name, _ in paths}
