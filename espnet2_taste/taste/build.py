"""The tokenizer's ClassChoices and how a model is put together from them.

Apart from the ESPnet task, whose base class takes ten seconds to import: inference
starts without it.
"""

import argparse
import functools
import inspect

from espnet2.asr.frontend.abs_frontend import AbsFrontend

from espnet2_taste.asr.log_mel import LogMelFrontend
from espnet2_taste.asr.mel_pitch import MelPitchFrontend
from espnet2_taste.io.audio import parse_rate
from espnet2_taste.io.class_choices import ClassChoices
from espnet2_taste.io.class_conf import check_conf
from espnet2_taste.nn.fusion import AbsFusion, ConcatFusion, WeightedSumFusion
from espnet2_taste.taste.ctc_head import CTCHead
from espnet2_taste.taste.espnet_model import TasteModel
from espnet2_taste.taste.predicted_text import PredictedText
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import AbsSpeechDecoder
from espnet2_taste.taste.speech_decoder.interleaved_lm import InterleavedLMDecoder
from espnet2_taste.taste.speech_decoder.masked_parallel import MaskedParallelDecoder
from espnet2_taste.taste.speech_decoder.unit_transformer import UnitTransformerDecoder
from espnet2_taste.taste.speech_decoder.word_synchronous import WordSynchronousDecoder
from espnet2_taste.taste.taste_tokenizer import READERS
from espnet2_taste.taste.tokenizer.abs_aggregator import AbsAggregator
from espnet2_taste.taste.tokenizer.abs_encoder import AbsTasteEncoder
from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer
from espnet2_taste.taste.tokenizer.cross_attention import CrossAttentionAggregator
from espnet2_taste.taste.tokenizer.espnet_encoder import EspnetEncoder
from espnet2_taste.taste.tokenizer.fsq import FSQQuantizer
from espnet2_taste.taste.tokenizer.multi_layer import MultiLayerAggregator
from espnet2_taste.taste.tokenizer.no_quantizer import NoQuantizer
from espnet2_taste.taste.tokenizer.rvq import ResidualVQQuantizer
from espnet2_taste.taste.tokenizer.whisper_encoder import WhisperEncoder
from espnet2_taste.taste.tokenizer.whisper_mel import WhisperMelFrontend
from espnet2_taste.text.abs_word_tokenizer import AbsWordTokenizer
from espnet2_taste.text.segmenters import SEGMENTERS
from espnet2_taste.text.tokenizers import build_text_tokenizer, text_vocab_size
from espnet2_taste.text.view import MAIN
from espnet2_taste.units.unit_spec import UnitSpec

frontend_choices = ClassChoices(
    "frontend",
    {
        "whisper_mel": WhisperMelFrontend,
        "mel_pitch": MelPitchFrontend,
        "default": LogMelFrontend,
    },
    type_check=AbsFrontend,
    default="whisper_mel",
)
encoder_choices = ClassChoices(
    "encoder",
    {"whisper": WhisperEncoder, "espnet": EspnetEncoder},
    type_check=AbsTasteEncoder,
    default="whisper",
)
aggregator_choices = ClassChoices(
    "aggregator",
    {
        "cross_attention": CrossAttentionAggregator,
        "multi_layer": MultiLayerAggregator,
    },
    type_check=AbsAggregator,
    default="cross_attention",
)
# "none" is ESPnet's word for "no class": --quantizer none builds NoQuantizer.
quantizer_choices = ClassChoices(
    "quantizer",
    {"rvq": ResidualVQQuantizer, "fsq": FSQQuantizer},
    type_check=AbsQuantizer,
    default="rvq",
    optional=True,
)
fusion_choices = ClassChoices(
    "fusion",
    {"weighted_sum": WeightedSumFusion, "concat": ConcatFusion},
    type_check=AbsFusion,
    default="weighted_sum",
)
speech_decoder_choices = ClassChoices(
    "speech_decoder",
    {
        "unit_transformer": UnitTransformerDecoder,
        "word_synchronous": WordSynchronousDecoder,
        "masked_parallel": MaskedParallelDecoder,
        "interleaved_lm": InterleavedLMDecoder,
    },
    type_check=AbsSpeechDecoder,
    default="unit_transformer",
)


def build_quantizer(name: str | None, dim: int, conf: dict) -> AbsQuantizer:
    """Build a quantizer by its ClassChoices name; None or "none" is NoQuantizer."""
    quantizer_class = quantizer_choices.get_class(name) if name != "none" else None
    quantizer_class = quantizer_class or NoQuantizer
    check_conf("--quantizer_conf", quantizer_class, conf, ["dim"])
    return quantizer_class(dim=dim, **conf)


def frontend_rate(name: str, conf: dict) -> int:
    """Hz of the speech that a frontend takes: its option ``fs``, or a base class'."""
    known = {}
    for base in reversed(frontend_choices.get_class(name).__mro__):
        known |= inspect.signature(base.__init__).parameters
    return parse_rate(conf.get("fs", known["fs"].default))


def text_views(args: argparse.Namespace) -> dict[str, str]:
    """Which vocabulary each of ``READERS`` reads, by training options, old ones too.

    Raises:
        ValueError: there is no such reader or vocabulary.
    """
    views = getattr(args, "text_views", None) or {}
    names = {MAIN, *(getattr(args, "vocabularies", None) or {})}
    for reader, name in views.items():
        if reader not in READERS or name not in names:
            raise ValueError(
                f"text_views: {reader}={name}: expected one of {', '.join(READERS)} "
                f"and one of the vocabularies {', '.join(sorted(names))}"
            )
    return dict.fromkeys(READERS, MAIN) | views


def _vocab_size(args: argparse.Namespace, vocabulary: str) -> int:
    if vocabulary == MAIN:
        return text_vocab_size(args)
    conf = {"token_model": None} | args.vocabularies[vocabulary]
    return text_vocab_size(argparse.Namespace(**conf))


#: Arguments of the model that are built here.
_BUILT = ("frontend", "encoder", "aggregator", "quantizer", "speech_decoder")
_BUILT += ("vocab_sizes", "views", "predict")


def build_predicted_text(
    args: argparse.Namespace, views: dict[str, str], longest: int
) -> PredictedText:
    """For training on what the CTC head hears, see :class:`PredictedText`."""
    read = {views[reader] for reader in READERS if reader != "ctc_inner"}

    def load() -> dict[str, AbsWordTokenizer]:  # in training only
        main = {"token_type": args.token_type, "token_model": args.token_model}
        confs = {MAIN: main} | (getattr(args, "vocabularies", None) or {})
        return {
            name: build_text_tokenizer(
                confs[name]["token_type"], confs[name].get("token_model")
            )
            for name in sorted(read)
        }

    segmenter = SEGMENTERS[getattr(args, "segmenter", None) or "whitespace"]
    return PredictedText(load, segmenter, views["ctc"], longest)


def build_taste_model(args: argparse.Namespace) -> TasteModel:
    """Build a model from training options (the command line's or config.yaml's)."""
    views = text_views(args)
    sizes = {name: _vocab_size(args, name) for name in set(views.values())}
    frontend = frontend_choices.build(args)
    encoder_class = encoder_choices.get_class(args.encoder)
    check_conf("--encoder_conf", encoder_class, args.encoder_conf, ["input_size"])
    # Saved to config.yaml: inference needs no ASR folder.
    args.encoder_conf = encoder_class.resolve_conf(args.encoder_conf, frontend)
    encoder = encoder_choices.build(args, input_size=frontend.output_size())
    aggregator = aggregator_choices.build(
        args,
        vocab_size=sizes[views["aggregator"]],
        key_size=encoder.key_size,
        value_size=encoder.value_size,
        num_values=encoder.num_values,
    )
    if not getattr(frontend, "pad_to_30s", False):
        # Alone, an utterance has no padding to attend to: nor must it in a batch.
        for part in (encoder, aggregator):
            if hasattr(part, "mask_padding"):
                part.mask_padding = True
    quantizer = build_quantizer(
        args.quantizer, aggregator.output_size, args.quantizer_conf
    )
    fusion = fusion_choices.get_class(args.fusion)
    check_conf("--fusion_conf", fusion, args.fusion_conf, ("size", "audio_size"))
    check_conf("--model_conf", TasteModel, args.model_conf, _BUILT)
    ctc_conf, own = args.model_conf.get("ctc_conf") or {}, ("weight",)
    own += ("key_size", "vocab_size", "inner_vocab_size")
    check_conf("--model_conf ctc_conf", CTCHead, ctc_conf, own)
    predict = None
    if args.model_conf.get("predicted_text"):
        predict = build_predicted_text(args, views, aggregator.longest)
    speech_decoder = speech_decoder_choices.build(
        args,
        vocab_size=sizes[views["speech_decoder"]],
        audio_size=quantizer.dim,
        num_units=UnitSpec.of(args).num_units,
        spk_embed_dim=args.spk_embed_dim,
        fusion=functools.partial(fusion, **args.fusion_conf),
    )
    return TasteModel(
        frontend=frontend,
        encoder=encoder,
        aggregator=aggregator,
        quantizer=quantizer,
        speech_decoder=speech_decoder,
        vocab_sizes=sizes,
        views=views,
        predict=predict,
        **args.model_conf,
    )
