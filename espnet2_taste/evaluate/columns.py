"""The one place where metrics are named; definitions are those of their functions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A metric as tables show it.

    Attributes:
        key: of the metric. label: heading.
        meaning: one line: definition and range.
        digits: after the point.
        better: "lower", "higher" or "" where neither is.
        unit: "" for pure numbers.
    """

    key: str
    label: str
    meaning: str
    digits: int = 3
    better: str = "higher"
    unit: str = ""


_WER = (
    Column(
        "wer",
        "WER",
        "word errors of the recogniser per word of the text; 0 or more",
        better="lower",
    ),
    Column(
        "cer",
        "CER",
        "the same for characters, spaces between words included",
        better="lower",
    ),
)
_QUALITY = (
    Column("utmos", "UTMOS", "predicted naturalness, 1 to 5", digits=2),
    Column("dnsmos", "DNSMOS", "predicted overall quality, 1 to 5", digits=2),
)
_QUALITY_DETAILS = (
    Column("dnsmos_sig", "DNSMOS sig.", "that of the speech signal", digits=2),
    Column("dnsmos_bak", "DNSMOS bak.", "that of the background", digits=2),
    Column("dnsmos_p808", "DNSMOS P.808", "overall, asked for alone", digits=2),
)
#: What only VERSA gives; definitions are its own.
_VERSA = (
    Column("versa_utmosv2", "UTMOSv2", "naturalness (VERSA), 1 to 5", digits=2),
    Column("versa_plcmos", "PLCMOS", "gaps concealed (VERSA), 1 to 5", digits=2),
    Column("versa_nisqa", "NISQA", "quality (VERSA), 1 to 5", digits=2),
    Column("versa_sheet_ssqa", "SSQA", "quality (VERSA), 1 to 5", digits=2),
    Column(
        "versa_scoreq_ref",
        "ScoreQ",
        "distance to the original (VERSA); 0 or more",
        digits=2,
        better="lower",
    ),
    Column("versa_pesq", "PESQ", "in step (VERSA), -0.5 to 4.5", digits=2),
    Column("versa_stoi", "STOI", "in step (VERSA), 0 to 1"),
    Column(
        "versa_mcd",
        "MCD (VERSA)",
        "VERSA's own; 0 or more",
        digits=2,
        better="lower",
        unit="dB",
    ),
    Column(
        "versa_f0_rmse",
        "F0 RMSE (VERSA)",
        "VERSA's; 0 or more",
        digits=2,
        better="lower",
        unit="Hz",
    ),
    Column("versa_f0_corr", "F0 PCC (VERSA)", "VERSA's, -1 to 1"),
    Column(
        "versa_speech_bert",
        "SpeechBERTScore",
        "similarity of self-supervised features (VERSA), -1 to 1",
    ),
)
_SPEAKER = Column(
    "speaker_similarity",
    "Speaker",
    "cosine of the speaker embeddings of the recording and the original, -1 to 1; "
    "whose embeddings: see the scorers",
)
RECONSTRUCTION = (
    *_WER,
    *_QUALITY,
    Column("visqol", "ViSQOL", "predicted similarity, 1 to 5", digits=2),
    Column(
        "duration_consistency",
        "Dur. < 25 ms",
        "share of words whose duration differs by less than 25 ms",
    ),
    _SPEAKER,
    Column(
        "duration_residual_corr",
        "Word duration",
        "correlation over words of duration residuals: ln duration minus the mean of "
        "the word type over the originals",
    ),
    Column(
        "rate_corr",
        "Rate",
        "the same averaged over each utterance: correlation of speaking rate",
    ),
    Column(
        "utterance_f0_corr",
        "Utterance F0",
        "correlation of an utterance's mean ln F0 within its speaker's range",
    ),
    Column(
        "word_f0_corr",
        "Word F0",
        "correlation of each word's mean ln F0, speaker's mean removed",
    ),
    Column("pause_corr", "Pause", "correlation of the pause after each word"),
    Column(
        "f0_corr",
        "F0 PCC",
        "correlation of ln F0 over time-warped frames voiced in both, each utterance's "
        "mean removed, -1 to 1",
    ),
    Column(
        "f0_rmse",
        "F0 RMSE",
        "root mean square F0 difference over the same frames; 0 or more",
        digits=2,
        better="lower",
        unit="semitones",
    ),
    Column(
        "energy_corr",
        "Energy PCC",
        "correlation of frame energy over time-warped frames, each utterance's mean "
        "removed, -1 to 1",
    ),
    Column(
        "energy_rmse",
        "Energy RMSE",
        "root mean square energy difference over the same frames; 0 or more",
        digits=2,
        better="lower",
        unit="dB",
    ),
    Column(
        "vde",
        "VDE",
        "share of time-warped frames voiced in one recording only, 0 to 1",
        better="lower",
    ),
    Column(
        "gpe",
        "GPE",
        "share of frames voiced in both whose F0 differs by more than 20 %, 0 to 1",
        better="lower",
    ),
    Column(
        "mcd",
        "MCD",
        "mel-cepstral distortion over time-warped frames; 0 or more",
        digits=2,
        better="lower",
        unit="dB",
    ),
    Column(
        "bitrate",
        "Bit rate",
        "nominal bits per second of what the row is made from besides text",
        digits=1,
        better="lower",
        unit="bit/s",
    ),
    Column("unit_top1", "Unit top-1", "teacher-forced unit accuracy"),
    Column("unit_top5", "Unit top-5", "the same among the five best"),
    Column(
        "coverage",
        "Coverage",
        "share of utterances aligned in both recordings, on which words are compared",
    ),
    *_QUALITY_DETAILS,
    *_VERSA,
)
CONTINUATION = (
    *_WER,
    *_QUALITY,
    _SPEAKER,
    Column(
        "judge",
        "Judge",
        "mean score a language model gave the continuation's text",
        digits=2,
    ),
    Column(
        "continuation_rate_corr",
        "Rate",
        "correlation of mean word-duration residuals of prompt and continuation",
    ),
    Column(
        "slow_prompt_factor",
        "After slow",
        "duration relative to usual after the slower half of the prompts",
        better="",
    ),
    Column(
        "fast_prompt_factor",
        "After fast",
        "duration relative to usual after the faster half of the prompts",
        better="",
    ),
    Column(
        "continuation_f0_corr",
        "F0 level",
        "correlation of mean ln F0 within the speaker's range",
    ),
    Column("coverage", "Coverage", "share of prompts compared"),
    *_QUALITY_DETAILS,
    *_VERSA,
)
LIKELIHOOD = (
    Column(
        "accuracy",
        "Accuracy",
        "share of pairs whose right member is more likely, each stream's "
        "log-likelihood per token; ties count half; 0 to 1, chance 0.5",
    ),
    Column(
        "accuracy_sum",
        "Accuracy, summed",
        "the same with log-likelihoods summed over tokens",
    ),
    Column(
        "accuracy_text",
        "Text only",
        "the same with the text's part of the log-likelihood alone, per token",
    ),
    Column(
        "accuracy_codes", "Codes only", "the same with the codes' part alone, per word"
    ),
    Column(
        "coverage",
        "Coverage",
        "share of pairs of which both sides have a score; the others are ties",
    ),
)
QA = (
    Column(
        "accuracy",
        "Accuracy",
        "share of questions whose generated text contains an answer, 0 to 1",
    ),
    Column(
        "coverage", "Answered", "share of questions after which anything was generated"
    ),
)
#: table -> its columns, in the order shown
COLUMNS = {
    "reconstruction": RECONSTRUCTION,
    "continuation": CONTINUATION,
    "likelihood": LIKELIHOOD,
    "qa": QA,
}
#: table, or part of the results without columns -> title
TITLES = {
    "reconstruction": "Reconstruction",
    "continuation": "Continuation of a prompt",
    "likelihood": "Likelihood tests",
    "qa": "Question answering",
    "codes": "Codes",
    "rtf": "Real-time factors",
    "failures": "Utterances that could not be compared",
    "errors": "Word errors (%)",
    "not_computed": "Not computed",
}


def find_column(table: str, key: str) -> Column | None:
    """The column of a metric; None if the table shows none."""
    return next((c for c in COLUMNS[table] if c.key == key), None)
