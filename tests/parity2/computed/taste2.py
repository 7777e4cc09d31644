"""The expected tensors of TASTE2's stages, ``t_stage1`` and ``t_stage2``."""

from unittest import mock

import torch
from on_device import DEVICE
from parity.compare import Result

from espnet2_taste.hub.compat import unread_last_token
from espnet2_taste.hub.published_names import FLAG, Table, to_ours, to_published
from espnet2_taste.hub.taste2 import stage1_arguments, stage1_table
from espnet2_taste.hub.taste2_arguments import (
    LM_HEAD,
    SPOKEN_LM,
    STAGE1,
    TASLM,
    lm_arguments,
    qwen2_config,
)
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.taslm import generation
from espnet2_taste.taslm.build import build_taslm_model
from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taslm.sampling_options import SamplingOptions
from espnet2_taste.taslm.vocabulary import Vocabulary
from espnet2_taste.taste.auxiliary import unit_accuracy
from espnet2_taste.taste.build import build_taste_model
from espnet2_taste.taste.espnet_model import TasteModel
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    Sampling,
    SpeechDecoderOutput,
)
from espnet2_taste.taste.speech_decoder.interleaved_layout import fits_blocks
from espnet2_taste.text.view import TextView


def ours(table: Table, published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that a table names, under our names."""
    named = ((to_ours(table, name), tensor) for name, tensor in published.items())
    return {
        name: tensor.reshape(()) if name.endswith(FLAG) else tensor
        for name, tensor in named
        if name is not None
    }


def stage1(folder) -> dict:
    """``t_stage1``: tokenizer, mixed condition, losses, gradients, greedy units."""
    model, data = tokenizer(folder), folder.load("t_stage1")
    text = text_of(folder)
    feats = data["audio_feature"], data["audio_feature_len"].long()
    encoded = model.encoder(*feats)
    before, _ = model.aggregator.decode(text.ids, text.lengths, encoded)
    taste = model.tokenize_feats(*feats, text)
    valid = length_mask(text.lengths, text.ids.size(1))
    codes, audio = taste.quantizer.codes, taste.quantizer.embeddings
    decoder = model.speech_decoder
    out = teacher_forced(folder, model, audio)
    results = {
        "aggregator": Result(before, valid),
        "affine": Result(model.aggregator.projection(before), valid),
        "quantized_indices": codes.int(),
        "taste_token_emb": Result(audio, valid),
        "taste_latent": Result(model.quantizer.codes_to_latent(codes), valid),
        "mixed": Result(decoder.fused_text(text.ids, audio), valid),
        "loss": out.loss,
        "acc": unit_accuracy(out.logits, out.targets, decoder.num_units + 3)[0],
        **gradients(folder, model, out.loss, "grad."),
    }
    model.train()
    model.quantizer.rvq.quantize_dropout = False
    taste = model.tokenize_feats(*feats, text)
    loss = teacher_forced(folder, model, taste.quantizer.embeddings).loss
    loss = loss + taste.quantizer.loss
    return results | {
        "train.commit_loss": taste.quantizer.loss,
        "train.loss": loss,
        **gradients(folder, model, loss, "train.grad."),
        "greedy_units": greedy_units(folder),
    }


def teacher_forced(folder, model: TasteModel, audio) -> SpeechDecoderOutput:
    """The speech decoder's output with the layouts that were drawn."""
    data, text, decoder = folder.load("t_stage1"), text_of(folder), model.speech_decoder
    units, lengths = data["speech_token"].long(), data["speech_token_len"].long()
    draws = torch.tensor(folder.values["taste2_stage1"]["python_draws"])
    fits = fits_blocks(text.lengths, lengths, decoder.mix_ratio)
    cond = Conditioning(text, audio, torch.zeros(len(units), 1))
    in_blocks = fits & (draws < decoder.bistream_prob)
    return decoder.teacher_forced(cond, units, lengths, in_blocks)


def gradients(folder, model: TasteModel, loss: torch.Tensor, prefix: str) -> dict:
    """Of the weights that the folder names."""
    table, found = stage1_table(stage2=False), folder.load("t_stage1")
    names = [n.removeprefix(prefix) for n in found if n.startswith(prefix)]
    weights = dict(model.named_parameters())
    weights = [weights[to_ours(table, name)] for name in names]
    found = torch.autograd.grad(loss, weights)
    return {prefix + n: g for n, g in zip(names, found, strict=True)}


def greedy_units(folder) -> torch.Tensor:
    """(U,) units of item 0, the most likely ones."""
    model, text = tokenizer(folder), text_of(folder)
    size = int(text.lengths[0])
    codes = folder.load("t_stage1")["quantized_indices"][:1, :size].long()
    first = TextView(text.ids[:1, :size], text.lengths[:1], text.word_ids[:1, :size])
    audio = model.quantizer.codes_to_embeddings(codes)
    cond = Conditioning(first, audio, torch.zeros(1, 1))
    sampling = Sampling(top_k=1, seed=0)
    return model.speech_decoder.generate(cond, sampling, [0]).units[0].int()


def tokenizer(folder) -> TasteModel:
    """Tokenizer and speech decoder, built as the converter builds them."""
    published = folder.weights_of("t_stage1_model")
    sizes = folder.config["taste2"]
    config = qwen2_config(published, "llm.model.") | {
        "num_attention_heads": sizes["heads"],
        "num_key_value_heads": sizes["kv"],
    }
    args = stage1_arguments(published, config)
    args.encoder_conf["config"]["encoder_attention_heads"] = sizes["wh"]
    args.aggregator_conf["num_heads"] = sizes["wh"]
    model = build_taste_model(args)
    model.load_state_dict(ours(stage1_table(stage2=False), published))
    return model.to(DEVICE).eval()


def text_of(folder) -> TextView:
    """The texts of ``t_stage1``, a segment for each token."""
    data = folder.load("t_stage1")
    ids, lengths = data["text_token"].long(), data["text_token_len"].long()
    index = torch.arange(ids.size(1)).expand_as(ids)
    return TextView(ids, lengths, index)


def stage2(folder) -> dict:
    """``t_stage2``: inputs, targets, losses, gradients and generation of each case."""
    results = {}
    for case, facts in folder.values["taste2_stage2"].items():
        if isinstance(facts, dict):
            found = training(folder, case) | continuations(folder, case)
            results |= {f"{case}.{name}": value for name, value in found.items()}
    return results


def spoken_lm(folder, case: str) -> TaslmModel:
    """The model of a case, built as the converter builds it, in eval mode."""
    facts, sizes = folder.values["taste2_stage2"], folder.config["taste2"]
    stored, weights = folder.load("t_stage2"), f"{case}.w."
    stage1 = folder.load("t_stage1_model")
    published = {STAGE1 + name: stage1[name] for name in stage1}
    for name in stored:
        if name.startswith((SPOKEN_LM, weights)):
            published[name.removeprefix(weights)] = stored[name]
    config = qwen2_config(published, SPOKEN_LM) | {
        "num_attention_heads": sizes["heads"],
        "num_key_value_heads": sizes["kv"],
        "eos_token_id": facts["eos_token_id"],
    }
    args = lm_arguments(published, config)
    args.model_conf["delay"] = facts[case]["delay"]
    model = build_taslm_model(args)
    published[LM_HEAD] = published[SPOKEN_LM + "model.embed_tokens.weight"]
    model.load_state_dict(ours(TASLM, published))
    return model.to(DEVICE).eval()


def training(folder, case: str) -> dict:
    """What a training step computes."""
    model, text, data = (
        spoken_lm(folder, case),
        text_of(folder),
        folder.load("t_stage2"),
    )
    codes = folder.load("t_stage1")["quantized_indices"].long()
    inputs = model.assemble(text, codes)
    hidden = model.lm(inputs.embeds).hidden
    text_loss, stats = model.text_loss(hidden, inputs, text)
    size = data[f"{case}.lm_input"].size(1)  # the last position predicts nothing
    labels = inputs.taste_labels[:, :size]
    head = model.speech_head(
        hidden[:, :size], labels, model.quantizer, noise=data[f"{case}.eps"]
    )
    loss = model.loss_weights[0] * text_loss + model.loss_weights[1] * head.loss
    mask = length_mask(inputs.lengths - 1, size)
    labelled = labels[..., 0] >= 0
    latents = model.quantizer.codes_to_latent(labels)
    trained = {k: p for k, p in model.named_parameters() if not k.startswith("lm.")}
    trained = {k: p for k, p in trained.items() if p.requires_grad}
    found = torch.autograd.grad(loss, list(trained.values()))
    return {
        "lm_input": Result(inputs.embeds[:, :size], mask),
        "lm_input_len": (inputs.lengths - 1).int(),
        "lm_text_target": inputs.text_labels[:, :size].int(),
        "lm_taste_latent_target": Result(latents, labelled),
        "lm_taste_mask": labelled.to(torch.uint8),
        "lm_output": Result(hidden[:, :size], mask),
        "text_logit": Result(model.lm.logits(hidden[:, :size]), mask),
        "loss": loss,
        "taste_loss": head.loss,
        "text_acc": stats["text_acc"],
        **{
            f"grad.{to_published(TASLM, name)}": gradient
            for name, gradient in zip(trained, found, strict=True)
        },
    }


def continuations(folder, case: str) -> dict:
    """Runs from item 0's prompt that the length or a stop id ends."""
    facts, results = folder.values["taste2_stage2"][case], {}
    for name, run in facts["generation"].items():
        model, data = spoken_lm(folder, case), folder.load("t_stage2")
        made = continued(folder, model, run, data[f"{case}.{name}.eps"])
        said = made.latents[0][made.codes[0, :, 0] >= 0]
        results |= {
            f"{name}.text": made.text[0][made.emitted[0]].int(),
            f"{name}.taste": model.quantizer.project_out(said.to(DEVICE)),
        }
    return results


def continued(
    folder, model: TaslmModel, run: dict, eps: torch.Tensor, compat: bool = True
) -> generation.Generated:
    """Greedy text without repetition, latents with the recorded noise."""
    text, codes = text_of(folder), folder.load("t_stage1")["quantized_indices"].long()
    size = int(text.lengths[0])
    first = TextView(text.ids[:1, :size], text.lengths[:1], text.word_ids[:1, :size])
    prompt = generation.Prompt("audio", first, codes[:1, :size])
    delay, none = model.inputs.delay, torch.zeros(model.lm.vocab_size).bool()
    options = SamplingOptions(
        max_tokens=run["max_len"],
        min_tokens=run["min_len"],
        stop_id=run["stop_id"],
        end_symbol=False,
        first_starts_word=False,
        max_tokens_per_word=run["max_len"] + 1,
        taste_top_p=1.0,
    )
    chosen, logits = none.clone(), model.lm.logits

    def never_twice(hidden):
        found = logits(hidden).masked_fill(chosen, -torch.inf)
        chosen[found.argmax(-1)] = True
        return found

    def recorded(seed, item_seeds, steps, draws):
        uniforms = torch.full((1, steps, draws), 0.5, dtype=torch.float64)
        uniforms[0, delay : delay + len(eps), 1:] = torch.special.ndtr(eps.double())
        return uniforms

    limited = run["stop_id"] is None and compat
    with (
        mock.patch.object(model.lm, "logits", never_twice),
        mock.patch.object(generation, "random_streams", recorded),
        unread_last_token(model, run["max_len"] if limited else -1),
    ):
        return generation.generate(
            model, Vocabulary(none, none, none, none), prompt, options
        )


FILES = {"t_stage1": stage1, "t_stage2": stage2}
