"""ESPnet task of the vocoder's flow: speech units -> mel."""

import argparse

from espnet2.tasks.abs_task import AbsTask
from espnet2.utils.get_default_kwargs import get_default_kwargs
from espnet2.utils.nested_dict_action import NestedDictAction

from espnet2_taste.io.checkpoint import check_init_freeze
from espnet2_taste.tasks.collate import TasteCollate
from espnet2_taste.tasks.preprocessor import VocoderPreprocessor
from espnet2_taste.tasks.trainer import TasteTrainer
from espnet2_taste.vocoder.cosyvoice.espnet_model import FlowModel


class VocoderTask(AbsTask):
    """Builds and trains
    :class:`~espnet2_taste.vocoder.cosyvoice.espnet_model.FlowModel`.
    """

    num_optimizers = 1
    class_choices_list = []
    trainer = TasteTrainer

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group(description="Task related")
        group.add_argument(
            "--model_conf",
            action=NestedDictAction,
            default=get_default_kwargs(FlowModel),
            help="The keyword arguments for model class.",
        )

    @classmethod
    def build_collate_fn(cls, args: argparse.Namespace, train: bool):
        return TasteCollate()

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool):
        conf = get_default_kwargs(FlowModel) | args.model_conf
        return VocoderPreprocessor(conf["fs"])

    @classmethod
    def required_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> tuple[str, ...]:
        return ("speech", "units", "spk_emb")

    @classmethod
    def optional_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> tuple[str, ...]:
        return ()

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> FlowModel:
        model = FlowModel(**args.model_conf)
        check_init_freeze(args, model)
        return model
