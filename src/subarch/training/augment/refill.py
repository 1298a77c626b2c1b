"""Words that carry meaning, masked and guessed anew by a masked-language model, each from the whole of its text.

The nearest τ to the "perturbations" of Agora's paper (de Wynter 2019), and that of conditional BERT augmentation (Wu et
al. 2019, arXiv 1812.06705) without its training. A chosen word becomes one [MASK], however many tokens it had, and a
token that is a whole word takes its place: no piece of a word is glued to another. Only masked positions go through the
vocabulary head. Shapes: B texts of S tokens, M masked positions, V the vocabulary, K candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from subarch.arch.families import family_of
from subarch.errors import ConfigError, ModelError
from subarch.training.augment.base import Source
from subarch.training.augment.whole_words import WholeWords
from subarch.training.augment.words import Word, carries_meaning, is_other_word, replaced, words_of
from subarch.training.masked_lm import decode, encode
from subarch.training.precision import Precision, cast_weights, resolve_precision


class _Blank(NamedTuple):
    """A word to be guessed."""

    word: Word
    around: tuple[str, str]
    """The words before and after it, which it must not repeat."""
    chance: float
    """Uniform in [0, 1): where in the candidates' distribution the guess falls."""


@dataclass
class _Masked:
    """A text with its blanks, as the model sees it."""

    row: int
    ids: list[int]
    places: list[int]
    blanks: list[_Blank]


@dataclass(frozen=True, kw_only=True, eq=False)
class Refill:
    """Masks words and lets a masked-language model fill the blanks.

    The model is taken over: put into evaluation mode, its weights cast in place.

    Raises:
        ConfigError: A share or a number of candidates that cannot be.
        ModelError: A tokenizer without a mask token, or that does not say where its tokens stand.
    """

    model: PreTrainedModel
    """A `...ForMaskedLM` of `transformers`."""
    tokenizer: Any
    share: float = 0.15
    """Of the words that carry meaning and of the numbers, at least one; a number becomes another number. Words that the
    vocabulary lacks stay: mostly names, for which a small model has no other."""
    top_k: int = 50
    """Candidates for a blank."""
    kinship: float = 18.0
    """What the cosine of a candidate and the old word adds to its logit: at 0 the text around decides alone, and what
    it suggests is often another kind of word, the more so the weaker the model."""
    least: float = 0.15
    """Probability of a candidate at least, as a share of the best one's: a blank that has one good word gets it."""
    temperature: float = 1.0
    max_length: int = 256
    """Tokens that the model reads of a text; words beyond stay."""
    batch_tokens: int = 4096
    """Tokens of a batch, padding included."""
    precision: Precision = "auto"
    name: str = "refill"
    vocabulary: WholeWords = field(init=False, repr=False)
    _mean: Tensor = field(init=False, repr=False)
    """(H,) of the words' embeddings, without which all cosines are high."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.top_k < 1 or self.temperature <= 0:
            raise ConfigError(
                f"share {self.share}, top_k {self.top_k}, temperature {self.temperature} of {self.name}, "
                "expected a share up to 1, at least one candidate, and a temperature above 0"
            )
        if self.tokenizer.mask_token_id is None or not self.tokenizer.is_fast:
            raise ModelError(
                "the tokenizer has no mask token or is no fast one, expected that of a masked-language model"
            )
        cast_weights(self.model, resolve_precision(self.precision, self.model.device)).eval()
        words = WholeWords.of(self.tokenizer, int(self.model.config.vocab_size))
        object.__setattr__(self, "vocabulary", words)
        table = self.model.get_input_embeddings().weight.detach()
        object.__setattr__(self, "_mean", table[torch.from_numpy(words.is_word)].float().mean(0).cpu())

    def __call__(self, sources: Sequence[Source], rng: np.random.Generator) -> list[str | None]:
        """See `Transformation`."""
        chosen = [self._choose(source, rng) for source in sources]
        result: list[str | None] = [None] * len(sources)
        for batch in self._batches(sources, chosen):
            for masked, guesses in zip(batch, self._guess(batch), strict=True):
                new = {blank.word: guess for blank, guess in zip(masked.blanks, guesses, strict=True) if guess}
                source = sources[masked.row]
                result[masked.row] = replaced(source.text, words_of(source), new) if new else None
        return result

    def _choose(self, source: Source, rng: np.random.Generator) -> list[_Blank]:
        """Words in random order, none beside another: two blanks in a row are guessed without regard to each other."""
        words = words_of(source)
        able = [index for index, word in enumerate(words) if self._can_stand_for(word.text)]
        wanted = max(1, round(self.share * len(able)))
        chosen: set[int] = set()
        for index in rng.permutation(able).tolist():
            if len(chosen) < wanted and not chosen & {index - 1, index + 1}:
                chosen.add(index)
        chances = rng.random(len(chosen))
        texts = ["", *(word.text.casefold() for word in words), ""]
        return [
            _Blank(words[index], (texts[index], texts[index + 2]), float(chance))
            for index, chance in zip(sorted(chosen), chances, strict=True)
        ]

    @property
    def _positions(self) -> int:
        """Tokens that the model can read."""
        unused = family_of(self.model.config.model_type).position_offset
        return int(self.model.config.max_position_embeddings) - unused

    def _can_stand_for(self, word: str) -> bool:
        # Capitals throughout are an abbreviation or a numeral.
        known = word.casefold() in self.vocabulary.ids and not word.isupper()
        return known and (carries_meaning(word) or word.isdecimal())

    def _batches(self, sources: Sequence[Source], chosen: list[list[_Blank]]) -> Iterator[list[_Masked]]:
        rows = [row for row, blanks in enumerate(chosen) if blanks]
        if not rows:
            return
        encoded = self.tokenizer(
            [sources[row].text for row in rows],
            return_offsets_mapping=True,
            truncation=True,
            max_length=min(self.max_length, self._positions),
        )
        every = [
            self._mask(row, ids, offsets, chosen[row])
            for row, ids, offsets in zip(rows, encoded["input_ids"], encoded["offset_mapping"], strict=True)
        ]
        batch: list[_Masked] = []
        for masked in sorted((masked for masked in every if masked.blanks), key=lambda masked: len(masked.ids)):
            if batch and (len(batch) + 1) * len(masked.ids) > self.batch_tokens:
                yield batch
                batch = []
            batch.append(masked)
        if batch:
            yield batch

    def _mask(self, row: int, ids: list[int], offsets: list[tuple[int, int]], blanks: list[_Blank]) -> _Masked:
        """One mask in the place of the tokens of each word that the model sees to its end."""
        starts, ends = np.array(offsets).T
        masked = _Masked(row, [], [], [])
        at = 0
        for blank in blanks:
            inside = np.flatnonzero((starts < blank.word.end) & (ends > blank.word.start) & (ends > starts))
            if not len(inside) or ends[inside].max() != blank.word.end:
                continue
            masked.ids += ids[at : inside[0]]
            masked.places.append(len(masked.ids))
            masked.ids.append(self.tokenizer.mask_token_id)
            masked.blanks.append(blank)
            at = int(inside[-1]) + 1
        masked.ids += ids[at:]
        return masked

    @torch.inference_mode()
    def _guess(self, batch: list[_Masked]) -> Iterator[list[str]]:
        """For each text a word for each of its blanks, "" where there is none."""
        length = max(len(masked.ids) for masked in batch)
        padding = self.tokenizer.pad_token_id
        ids = torch.tensor([masked.ids + [padding] * (length - len(masked.ids)) for masked in batch])
        inputs = {"input_ids": ids.to(self.model.device)}
        if any(len(masked.ids) < length for masked in batch):
            inputs["attention_mask"] = torch.tensor(
                [[1] * len(masked.ids) + [0] * (length - len(masked.ids)) for masked in batch]
            ).to(self.model.device)
        places = torch.tensor([row * length + place for row, masked in enumerate(batch) for place in masked.places])
        logits = decode(self.model, encode(self.model, inputs), places.to(self.model.device)).float().cpu()
        guesses = iter(self._draw(logits, [blank for masked in batch for blank in masked.blanks]))
        return iter([[next(guesses) for _ in masked.blanks] for masked in batch])

    def _draw(self, logits_MV: Tensor, blanks: list[_Blank]) -> list[str]:
        words, numbers = torch.from_numpy(self.vocabulary.is_word), torch.from_numpy(self.vocabulary.is_number)
        asks_number = torch.tensor([blank.word.is_number for blank in blanks])
        allowed = torch.where(asks_number[:, None], numbers, words)
        for row, blank in enumerate(blanks):
            for text in (blank.word.text.casefold(), *blank.around):
                allowed[row, self.vocabulary.ids.get(text, [])] = False
        best_MK, ids_MK = logits_MV.masked_fill(~allowed, -torch.inf).topk(min(self.top_k, logits_MV.shape[1]))
        best_MK = (best_MK + self.kinship * self._cosines(blanks, ids_MK)) / self.temperature
        best_MK = best_MK.masked_fill(~self._fit(blanks, ids_MK), -torch.inf)
        # Ratios to the best candidate's probability: the sum over the vocabulary is not needed.
        weights = (best_MK - best_MK.max(1, keepdim=True).values).exp().nan_to_num(0.0).double()
        weights[weights < self.least] = 0.0
        sums = weights.cumsum(1)
        chances = torch.tensor([[blank.chance] for blank in blanks], dtype=torch.float64) * sums[:, -1:]
        picked = torch.searchsorted(sums, chances, right=True).clamp(max=weights.shape[1] - 1)
        ids = ids_MK.gather(1, picked)[:, 0].tolist()
        some = (sums[:, -1] > 0).tolist()
        return [self.vocabulary.surfaces[index] if found else "" for index, found in zip(ids, some, strict=True)]

    def _cosines(self, blanks: list[_Blank], ids_MK: Tensor) -> Tensor:
        """(M, K): of each candidate's input embedding and that of the word it stands for."""
        known = [self.vocabulary.ids[blank.word.text.casefold()][-1] for blank in blanks]
        table = self.model.get_input_embeddings().weight
        old_M1H = (table[known].float().cpu() - self._mean)[:, None]
        new_MKH = table[ids_MK.to(table.device)].float().cpu() - self._mean
        return functional.cosine_similarity(old_M1H, new_MKH, dim=-1)

    def _fit(self, blanks: list[_Blank], ids_MK: Tensor) -> Tensor:
        """(M, K) bool, whether each candidate is another word than the old one, inflected like it; any number is."""
        surfaces = self.vocabulary.surfaces
        return torch.tensor(
            [
                [
                    blank.word.is_number or is_other_word(surfaces[index].lower(), blank.word.text.lower())
                    for index in ids
                ]
                for blank, ids in zip(blanks, ids_MK.tolist(), strict=True)
            ]
        )
