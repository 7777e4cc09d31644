"""The expected tensors of ``h_end_to_end``: calls of the whole model."""

import re

import torch
from parity.compare import Result, Unknown
from parity.computed.extract_vq import tokenize
from parity.computed.generation import run, runs
from parity.models import taslm_model, taste_model, taste_state

from espnet2_taste.hub.published_arguments import taste_arguments
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.taste.build import build_taste_model
from espnet2_taste.taste.espnet_model import TasteModel
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    Sampling,
)
from espnet2_taste.text.tokenizers import build_text_tokenizer
from espnet2_taste.text.view import TextView

FILE = "h_end_to_end"
#: name of a gradient -> our parameter
GRADIENTS = (
    (r"l(\d+)_encattn_([qkv])", r"aggregator.layers.\1.encoder_attn.\2_proj.weight"),
    (r"vq_(\w+)", r"quantizer.\1.weight"),
    (r"dec_(\w+)_rowsum", r"aggregator.\1.weight"),
)


def end_to_end(parity) -> dict:
    """Tokenizer and speech decoder, then with the spoken LM between them."""
    return stage1_training(parity) | inference(parity)


@torch.no_grad()
def inference(parity) -> dict:
    """Everything without gradients."""
    model, spoken = taste_model(parity), taslm_model(parity, padding_labels=True)
    codes = model.segment_codes(tokenize(parity, model), TextView(*asr(parity)))
    llm = TextView(*llm_batch(parity))
    inputs = spoken.assemble(llm, codes)
    hidden = spoken.lm(inputs.embeds, inputs.mask).hidden
    head = spoken.speech_head(hidden, inputs.taste_labels, spoken.quantizer)
    labelled = inputs.taste_labels[..., 0] >= 0
    predicted = torch.nn.utils.rnn.pad_sequence(
        [item[at] for item, at in zip(head.codes, labelled, strict=True)],
        batch_first=True,
        padding_value=-1,
    )
    stage1, stage2 = (conditioning(parity, model, x) for x in (codes, predicted))
    return {
        "stage1_eval_speech_logits": speech_logits(parity, model, stage1),
        "stage2_eval_speech_logits": speech_logits(parity, model, stage2),
        "stage2_eval_text_logits": Result(spoken.lm.logits(hidden), inputs.mask),
        "scoring_loss": scoring_loss(spoken, llm, codes),
        "recon_stage1_tokens": greedy_units(model, stage1),
        "recon_slm_tokens": greedy_units(model, stage2),
        "completion_tokens": completion(parity, model, codes),
    }


def stage1_training(parity) -> dict[str, torch.Tensor]:
    """Loss and gradients of a training step, without quantise dropout."""
    args = taste_arguments(parity.config, parity.model)
    args.quantizer_conf["quantize_dropout"] = False
    model = build_taste_model(args)
    model.load_state_dict(taste_state(parity.model))
    inputs, (units, units_lengths, spk_emb) = parity.load("inputs"), target(parity)
    names = ("text", "text_lengths", "word_ids")
    loss, _, _ = model.train()(
        units,
        units_lengths,
        spk_emb,
        feats=inputs["audio_features"],
        feats_lengths=inputs["audio_feature_lengths"].long(),
        **dict(zip(names, asr(parity), strict=True)),
    )
    loss.backward()
    named = dict(model.named_parameters())
    results = {"stage1_train_loss": loss.squeeze()}
    for match in parity.match(FILE, r"stage1_grad_(.+)"):
        pattern, ours = next(x for x in GRADIENTS if re.fullmatch(x[0], match[1]))
        gradient = named[re.sub(pattern, ours, match[1])].grad
        if match[1].endswith("_rowsum"):  # of the first rows
            (rows,) = parity.shapes(FILE)[match[0]]
            # LayerNorm everywhere: the sums are zero but for rounding
            scale = gradient.abs().sum(1).max()
            gradient = Result(gradient.sum(1)[:rows], scale=scale)
        results[match[0]] = gradient
    return results


def asr(parity) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """text, lengths, word ids in the tokenizer's vocabulary."""
    inputs = parity.load("inputs")
    names = ("token_ids", "token_lengths", "word_ids")
    return tuple(inputs[f"asr_{name}"].long() for name in names)


def llm_batch(parity) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same in the LLM's vocabulary."""
    inputs = parity.load("inputs")
    names = ("token_ids", "token_lengths", "word_ids")
    return tuple(inputs[f"llm_{name}"].long() for name in names)


def target(parity) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """units, lengths, speakers: those of ``c_speech_decoder``."""
    data = parity.load("c_speech_decoder")
    lengths = data["speech_token_lengths"].long()
    return data["speech_token_ids"], lengths, data["speaker_embeds"]


def conditioning(parity, model: TasteModel, codes: torch.Tensor) -> Conditioning:
    """What the speech decoder reads, from the codes of each word."""
    text = TextView(*asr(parity))
    audio = model.codes_to_embeddings(codes, text)
    return Conditioning(text, audio, target(parity)[2])


def speech_logits(parity, model: TasteModel, cond: Conditioning) -> Result:
    """Unit logits at every position, those of the prompt included."""
    units, lengths, _ = target(parity)
    decoder, seen = model.speech_decoder, []
    hook = decoder.llm.register_forward_hook(lambda _, args, out: seen.append(out))
    decoder(cond, units, lengths)
    hook.remove()
    valid = length_mask(cond.text.lengths + 3 + lengths, seen[0].size(1))
    return Result(decoder.llm_decoder(seen[0]), valid)


def greedy_units(model: TasteModel, cond: Conditioning, item: int = 0) -> torch.Tensor:
    """(1, U) most likely units of an item (the reference generates one at a time)."""
    made = model.speech_decoder.generate(cond, Sampling(top_k=1))
    return made.units[item : item + 1, : made.lengths[item]]


def scoring_loss(spoken, llm: TextView, codes: torch.Tensor) -> torch.Tensor:
    """Loss of the batch without KL, padding labels as the reference has them (Q1)."""
    spoken.text_kl_weight = 0.0
    words = (codes >= 0).all(-1).sum(1)
    text = {"text": llm.ids, "text_lengths": llm.lengths, "word_ids": llm.word_ids}
    loss, _, _ = spoken(codes, words, **text)
    return loss.squeeze()


def completion(parity, model: TasteModel, codes: torch.Tensor):
    """Units of the first prompt and its continuation."""
    text = parity.case(FILE)["completion_text"].strip()
    same = [k for k, v in runs(parity).items() if v["text"].strip() == text]
    if not same:
        return Unknown("the folder does not store the run that was completed")
    _, generated = run(parity, same[0]).words(0)
    tokenizer = build_text_tokenizer("whisper")
    ids, word_ids = tokenizer.encode_words(text.split())
    prompt, lengths, prompt_word_ids = asr(parity)
    length = int(lengths[0])
    words = int(prompt_word_ids[0, length - 1]) + 1
    whole = torch.cat([prompt[:1, :length], torch.tensor([ids])], 1)
    whole_word_ids = torch.cat(
        [prompt_word_ids[:1, :length], torch.tensor([word_ids]) + words], 1
    )
    whole_codes = torch.cat([codes[:1, :words], generated[None].to(codes)], 1)
    text = TextView(whole, torch.tensor([whole.size(1)]), whole_word_ids)
    audio = model.codes_to_embeddings(whole_codes, text)
    return greedy_units(model, Conditioning(text, audio, target(parity)[2][:1]))


FILES = {FILE: end_to_end}
