"""Whisper's decoder in batches: language, no-speech, greedy or sampled tokens.

A batch gives what its items give alone: every item draws from a stream of its own.
"""

import inspect
from collections.abc import Collection
from copy import copy
from dataclasses import dataclass

import torch
from transformers import EncoderDecoderCache

from espnet2_taste.asr.transcript import Transcript
from espnet2_taste.nn.random_streams import item_generator

_LOOK = 8  # steps between looks which have ended


@dataclass(frozen=True)
class Heard:
    """What the decoder says of N encoded windows before it writes anything.

    Attributes:
        states: (N, T, D) encoder states.
        cache: the decoder's, of these states and the first token of every prompt.
        no_speech: (N,) probability that there is no speech.
        languages: codes of the most probable ones, N; [] if it knows one only.
        language_probs: theirs, N.
    """

    states: torch.Tensor
    cache: EncoderDecoderCache
    no_speech: list[float]
    languages: list[str]
    language_probs: list[float]

    def rows(self, items: list[int]) -> tuple[torch.Tensor, EncoderDecoderCache]:
        """States and cache of M windows, for a text: what it adds is not kept here."""
        parts = self.cache.self_attention_cache, self.cache.cross_attention_cache
        parts = [copy(part) for part in parts]
        for part in parts:
            part.layers = [copy(layer) for layer in part.layers]
        cache = EncoderDecoderCache(*parts)
        if items == list(range(len(self.states))):
            return self.states, cache
        index = torch.tensor(items, device=self.states.device)
        cache.batch_select_indices(index)
        return self.states[index], cache


class WhisperDecoding:
    """The tokens of a Whisper of transformers, without timestamps.

    Args:
        model: ``WhisperForConditionalGeneration`` in eval mode.
        tokenizer: its own.
        max_new_tokens: of a window.
        vocabulary: words that it may write, of whose tokens any order is a text; none:
            all.
    """

    def __init__(
        self, model, tokenizer, max_new_tokens: int, vocabulary: Collection[str] = ()
    ):
        self.model, self.tokenizer = model, tokenizer
        config = model.generation_config
        self.start = config.decoder_start_token_id
        self.end = model.config.eos_token_id
        self.no_timestamps = config.no_timestamps_token_id
        self.no_speech = self.no_timestamps - 1  # in every Whisper's vocabulary
        self.languages = language_ids(config)
        self.task = (config.task_to_id or {}).get("transcribe") if self.languages else 0
        self.steps = min(max_new_tokens, model.config.max_target_positions - 4)
        arguments = inspect.signature(model.model.decoder.forward).parameters
        self._cache = "cache" if "cache" in arguments else "past_key_values"
        self.banned = self._never(config.suppress_tokens)
        if vocabulary:
            forms = [form for word in vocabulary for form in (word, f" {word}")]
            tokens = tokenizer(forms, add_special_tokens=False).input_ids
            spelt = {self.end, *(token for form in tokens for token in form)}
            self.banned += self._never(set(range(len(self.banned))) - spelt)
        self._banned_first = self._never(config.begin_suppress_tokens) + self.banned

    def _never(self, tokens) -> torch.Tensor:
        """(V,) to add to logits: -inf for these tokens, else 0."""
        bias = torch.zeros(self.model.config.vocab_size)
        bias[[t for t in tokens or () if t < len(bias)]] = -torch.inf
        return bias.to(self.model.device)

    def _logits(self, tokens, states, cache=None) -> tuple[torch.Tensor, object]:
        """(N, S) after what is cached -> (N, S, V) float32 logits, and the cache."""
        output = self.model.model.decoder(
            input_ids=tokens,
            encoder_hidden_states=states,
            use_cache=True,
            **({self._cache: cache} if cache is not None else {}),
        )
        logits = self.model.proj_out(output.last_hidden_state).float()
        return logits, output[self._cache]

    @torch.inference_mode()
    def listen(self, features: torch.Tensor) -> Heard:
        """Encode (N, mels, frames) windows and look what they are."""
        return self.look(self.model.model.encoder(features).last_hidden_state)

    def look(self, states: torch.Tensor) -> Heard:
        """What (N, T, D) encoder states are."""
        start = torch.full((len(states), 1), self.start, device=states.device)
        logits, cache = self._logits(start, states)
        logits = logits[:, 0]
        no_speech = logits.softmax(-1)[:, self.no_speech].tolist()
        if not self.languages:
            return Heard(states, cache, no_speech, [], [])
        ids = torch.tensor(list(self.languages.values()), device=logits.device)
        probs, found = logits[:, ids].softmax(-1).max(-1)
        codes = list(self.languages)
        languages = [codes[i] for i in found.tolist()]
        return Heard(states, cache, no_speech, languages, probs.tolist())

    def prompts(self, languages: list[str]) -> torch.Tensor:
        """(N, P) tokens that come before the text."""
        if not self.languages:
            rows = [[self.start, self.no_timestamps] for _ in languages]
        else:
            rows = [
                [self.start, self.languages[code], self.task, self.no_timestamps]
                for code in languages
            ]
        return torch.tensor(rows, device=self.model.device)

    @torch.inference_mode()
    def write(
        self, heard: Heard, languages: list[str], items: list[int], temperature: float
    ) -> list[Transcript]:
        """Transcripts of some of the windows.

        Args:
            heard: what :meth:`listen` made.
            languages: of all N windows.
            items: numbers of M windows.
            temperature: 0: the most probable token each time; else tokens are drawn.
        """
        prompts = self.prompts([languages[i] for i in items])
        tokens, logprobs = self.tokens(*heard.rows(items), prompts, temperature)
        return self._texts(
            heard, languages, items, temperature, tokens.tolist(), logprobs.tolist()
        )

    def tokens(
        self,
        states: torch.Tensor,
        cache: EncoderDecoderCache,
        prompts: torch.Tensor,
        temperature: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What comes after the prompts.

        Windows that have ended are left out as soon as they are half of the batch: one
        that repeats itself to the last step costs what it would alone.

        Args:
            states, cache: (N, T, D) and its cache, which grows; see :meth:`Heard.rows`.
            prompts: (N, P).
            temperature: see :meth:`write`.

        Returns:
            (N, S) int64 tokens, S at most ``max_new_tokens``, the end's from the end
            on, and (N,) sums of their log-probabilities up to the first end.
        """
        uniform = None
        if temperature:
            # One stream: what is said next to a window does not change its draws.
            stream = item_generator(0, round(1000 * temperature))
            uniform = torch.rand(self.steps, generator=stream).to(states.device)
        written = prompts.new_full((len(prompts), self.steps), self.end)
        total = torch.zeros(len(prompts), device=states.device)
        rows = torch.arange(len(prompts), device=states.device)  # that are in the cache
        last, given = prompts[:, -1], prompts[:, 1:]  # the cache has the first
        for step in range(self.steps):
            logits, cache = self._logits(given, states, cache)
            scores = logits[:, -1] + (self.banned if step else self._banned_first)
            if uniform is None:
                token = scores.argmax(-1)
            else:
                token = _draw(scores / temperature, uniform[step])
            gained = scores.log_softmax(-1).gather(1, token[:, None])[:, 0]
            ended = last == self.end
            last = token.masked_fill(ended, self.end)
            written[rows, step] = last
            total[rows] += gained.masked_fill(ended, 0.0)
            if step % _LOOK == _LOOK - 1:
                left = (last != self.end).nonzero()[:, 0]
                if not len(left):
                    break
                if 2 * len(left) <= len(rows):
                    rows, last, states = rows[left], last[left], states[left]
                    cache.batch_select_indices(left)
            given = last[:, None]
        return written[:, : step + 1], total

    def _texts(
        self, heard, languages, items, temperature, rows, logprobs
    ) -> list[Transcript]:
        transcripts = []
        for i, row, logprob in zip(items, rows, logprobs, strict=True):
            tokens = row[: row.index(self.end)] if self.end in row else row
            transcripts.append(
                Transcript.of(
                    self.tokenizer.decode(tokens, skip_special_tokens=True),
                    language=languages[i],
                    detected=heard.languages[i] if heard.languages else None,
                    language_prob=heard.language_probs[i] if heard.languages else None,
                    avg_logprob=logprob / (len(tokens) + 1),
                    no_speech_prob=heard.no_speech[i],
                    temperature=temperature,
                    tokens=len(tokens),
                )
            )
        return transcripts


def language_ids(generation_config) -> dict[str, int]:
    """Code -> token of the languages that a Whisper knows; {}: English alone."""
    if not getattr(generation_config, "is_multilingual", False):
        return {}
    known = generation_config.lang_to_id
    return {name.strip("<|>"): token for name, token in known.items()}


def _draw(scores: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """(N, V) logits and a number in [0, 1) -> (N,) tokens, by inverse CDF."""
    ordered = scores.double().softmax(-1)
    cdf = ordered.cumsum(-1)
    drawn = (cdf <= uniform.double() * cdf[:, -1:]).sum(-1, keepdim=True)
    last = (ordered > 0).long().cumsum(-1).argmax(-1, keepdim=True)  # rounding
    return torch.minimum(drawn, last)[:, 0]
