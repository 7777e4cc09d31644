"""What the ESPnet tasks of all parts of a system share."""

import argparse
from abc import abstractmethod

import torch
from espnet2.tasks.abs_task import AbsTask

import espnet2_taste.tasks.ark_data  # noqa: F401
from espnet2_taste.io.checkpoint import check_init_freeze
from espnet2_taste.nn.compiling import compile_blocks
from espnet2_taste.tasks.collate import TasteCollate
from espnet2_taste.tasks.trainer import TasteTrainer


class PartTask(AbsTask):
    """ESPnet task that trains one part of a system.

    A subclass adds ``build_preprocess_fn``, :meth:`new_model` and its options, if they
    are not just the choices of classes.

    Attributes:
        data_names: of the data that training needs.
        more_data_names: of what it also takes.
    """

    num_optimizers = 1
    class_choices_list = []
    trainer = TasteTrainer
    data_names: tuple[str, ...] = ()
    more_data_names: tuple[str, ...] = ()

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Options of each of ``class_choices_list``, and no others."""
        group = parser.add_argument_group(description="Task related")
        group.add_argument("--model_conf", default={}, help="Not used")
        for class_choices in cls.class_choices_list:
            class_choices.add_arguments(group)

    @classmethod
    def build_collate_fn(cls, args: argparse.Namespace, train: bool):
        return TasteCollate()

    @classmethod
    def required_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> tuple[str, ...]:
        return cls.data_names

    @classmethod
    def optional_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> tuple[str, ...]:
        return cls.more_data_names

    @classmethod
    @abstractmethod
    def new_model(cls, args: argparse.Namespace) -> torch.nn.Module:
        """The model to be trained; what is found in the data is written into args."""

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> torch.nn.Module:
        model = cls.new_model(args)
        check_init_freeze(args, model)
        if getattr(args, "compile", False):
            compile_blocks(model, "cuda" if args.ngpu > 0 else "cpu")
        return model
