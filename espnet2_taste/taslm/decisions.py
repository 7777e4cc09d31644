"""A step of continuations, between two steps of the LM."""

import torch

from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taslm.sampler import Sampler
from espnet2_taste.taslm.sampling_options import SamplingOptions
from espnet2_taste.taslm.vocabulary import Vocabulary


class Decisions:
    """What a batch of continuations says next, and what the LM then reads.

    Args:
        model: in eval mode.
        vocabulary: of its text.
        options: how to draw, where to stop.
        seen: (B, V) bool tokens of the prompts.
        pending: (B, delay, projected_size) what of the prompts is still to be read.

    Attributes:
        steps: that a continuation takes at most.

    Raises:
        ValueError: options that the model cannot follow.
    """

    def __init__(
        self,
        model: TaslmModel,
        vocabulary: Vocabulary,
        options: SamplingOptions,
        seen: torch.Tensor,
        pending: torch.Tensor | None,
    ):
        if options.end_symbol and not model.end_symbol:
            raise ValueError("this model was trained without an end symbol")
        lm = model.lm
        for name, ids in options.ids.items():
            if any(index >= lm.vocab_size for index in ids):
                raise ValueError(f"{name} {max(ids)}: the LM has {lm.vocab_size} ids")
        self.model, self.options = model, options
        # read as text after the end; its last, padding, stays
        closing = torch.tensor(options.ids["closing"], dtype=torch.long)
        closing = lm.embed(closing.to(seen.device)).detach()
        self.closing = torch.cat([closing, model.inputs.pad_text[None].to(closing)])
        delay = model.inputs.delay
        self.steps = options.max_steps * vocabulary.tokens_per_character + delay
        self.sampler = Sampler(
            options,
            vocabulary.to(seen.device),
            delay,
            model.inputs.delay_level,
            lm.eos_id,
            seen,
            model.granularity,
        )
        self.state = self._beginning(seen, pending)
        self.reads_pending = bool(delay) and pending is not None

    def _beginning(
        self, seen: torch.Tensor, pending: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """What is remembered besides the sampler's state, (B, ...) by name."""
        inputs = self.model.inputs
        padding = inputs.padding.expand(len(seen), -1)
        no = torch.zeros(len(seen), dtype=torch.bool, device=seen.device)
        if pending is None:
            nothing = padding[:, None].expand(-1, inputs.delay, -1)
        return {
            "audio": padding,
            "stopped": no,
            "closed": no.long(),
            "pending": nothing if pending is None else pending,
            "has_pending": no if pending is None else ~no,
        }

    def arrange(self, rows: torch.Tensor) -> None:
        """From now on continuation i is what ``rows[i]`` was; (n,) int64 rows."""
        for state, name in self._all():
            state[name] = state[name][rows]

    def enter(
        self, rows: torch.Tensor, seen: torch.Tensor, pending: torch.Tensor | None
    ) -> None:
        """Others begin in (n,) int64 ``rows``, see the constructor."""
        new = self.sampler.beginning(seen) | self._beginning(seen, pending)
        for state, name in self._all():
            like = state[name]
            state[name] = like.index_copy(0, rows, new[name].to(like.dtype))
        anew = self.sampler.delay > 0 and pending is not None
        self.reads_pending = self.reads_pending or anew

    def _all(self) -> list[tuple[dict, str]]:
        """Every tensor of the state: where it is."""
        sampler = self.sampler.beginning(self.sampler.seen)
        where = [(vars(self.sampler), name) for name in sampler]
        return where + [(self.state, name) for name in self.state]

    def __call__(
        self, hidden: torch.Tensor, uniforms: torch.Tensor
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """One step.

        Args:
            hidden: (B, size) states of the LM.
            uniforms: (B, 1 + num_draws) in [0, 1).

        Returns:
            the columns of :class:`Generated`, and (B, size) what is read next.
        """
        model, options, state = self.model, self.options, self.state
        lm, inputs = model.lm, model.inputs
        decision = self.sampler.step(lm.logits(hidden), uniforms[:, 0])
        codes, latents = model.speech_head.sample(
            hidden,
            model.quantizer,
            uniforms[:, 1:],
            options.taste_top_p,
            options.taste_temperature,
        )
        codes = torch.where(decision.taste[:, None], codes, -1)
        audio = state["audio"]
        if self.reads_pending:
            audio = self._use_pending(audio, decision)
        vectors = inputs.fusion.project(model.quantizer.project_out(latents))
        audio = torch.where(decision.taste[:, None], vectors, audio)
        # After an end symbol the model was trained to read padding as text.
        stopped, closed = state["stopped"] | decision.stopped, state["closed"]
        after = self.closing[-1]
        if len(self.closing) > 1:
            after = self.closing[closed.clamp(max=len(self.closing) - 1)]
            closed = closed + stopped
        state |= {"audio": audio, "stopped": stopped, "closed": closed}
        text = lm.embed(decision.text)
        text = torch.where(stopped[:, None], after.to(text.dtype), text)
        chosen = (decision.text, decision.emitted, decision.starts)
        return (*chosen, codes, latents, decision.done), inputs.fusion.mix(text, audio)

    def _use_pending(self, audio: torch.Tensor, decision) -> torch.Tensor:
        """The prompt's next unread TASTE vector where codes are not yet predicted."""
        state, pending = self.state, self.state["pending"]
        if self.sampler.delay_level == "word":
            count, due = self.sampler.segments, decision.begins
        else:
            count, due = self.sampler.steps, torch.ones_like(decision.begins)
        rows = torch.arange(len(audio), device=audio.device)
        following = pending[rows, (count - 1).clamp(0, pending.size(1) - 1)]
        due = due & ~decision.sampling & state["has_pending"]
        return torch.where(due[:, None], following, audio)
