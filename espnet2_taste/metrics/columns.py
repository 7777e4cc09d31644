"""The one place where metrics are named; definitions are those of their functions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A metric as tables show it.

    Attributes:
        key: of the metric. label: heading. digits: after the point.
        better: "lower", "higher" or "" where neither is.
        unit: "" for pure numbers.
        meaning: one line: definition and range.
    """

    key: str
    label: str
    digits: int
    better: str
    unit: str
    meaning: str


_WER = (
    Column(
        "wer",
        "WER",
        3,
        "lower",
        "",
        "word errors of the recogniser per word of the text; 0 or more",
    ),
    Column(
        "cer",
        "CER",
        3,
        "lower",
        "",
        "the same for characters, spaces between words included",
    ),
)
_QUALITY = (
    Column("utmos", "UTMOS", 2, "higher", "", "predicted naturalness, 1 to 5"),
    Column("dnsmos", "DNSMOS", 2, "higher", "", "predicted overall quality, 1 to 5"),
)
_QUALITY_DETAILS = (
    Column("dnsmos_sig", "DNSMOS sig.", 2, "higher", "", "that of the speech signal"),
    Column("dnsmos_bak", "DNSMOS bak.", 2, "higher", "", "that of the background"),
    Column("dnsmos_p808", "DNSMOS P.808", 2, "higher", "", "overall, asked for alone"),
)
#: What only VERSA gives; definitions are its own.
_VERSA = (
    Column("versa_utmosv2", "UTMOSv2", 2, "higher", "", "naturalness (VERSA), 1 to 5"),
    Column("versa_plcmos", "PLCMOS", 2, "higher", "", "gaps concealed (VERSA), 1 to 5"),
    Column("versa_nisqa", "NISQA", 2, "higher", "", "quality (VERSA), 1 to 5"),
    Column("versa_sheet_ssqa", "SSQA", 2, "higher", "", "quality (VERSA), 1 to 5"),
    Column(
        "versa_scoreq_ref",
        "ScoreQ",
        2,
        "lower",
        "",
        "distance to the original (VERSA); 0 or more",
    ),
    Column("versa_pesq", "PESQ", 2, "higher", "", "in step (VERSA), -0.5 to 4.5"),
    Column("versa_stoi", "STOI", 3, "higher", "", "in step (VERSA), 0 to 1"),
    Column("versa_mcd", "MCD (VERSA)", 2, "lower", "dB", "VERSA's own; 0 or more"),
    Column("versa_f0_rmse", "F0 RMSE (VERSA)", 2, "lower", "Hz", "VERSA's; 0 or more"),
    Column("versa_f0_corr", "F0 PCC (VERSA)", 3, "higher", "", "VERSA's, -1 to 1"),
    Column(
        "versa_speech_bert",
        "SpeechBERTScore",
        3,
        "higher",
        "",
        "similarity of self-supervised features (VERSA), -1 to 1",
    ),
)
_SPEAKER = Column(
    "speaker_similarity",
    "Speaker",
    3,
    "higher",
    "",
    "cosine of the speaker embeddings of the recording and the original, -1 to 1",
)
RECONSTRUCTION = (
    *_WER,
    *_QUALITY,
    Column("visqol", "ViSQOL", 2, "higher", "", "predicted similarity, 1 to 5"),
    Column(
        "duration_consistency",
        "Dur. < 25 ms",
        3,
        "higher",
        "",
        "share of words whose duration differs by less than 25 ms",
    ),
    _SPEAKER,
    Column(
        "duration_residual_corr",
        "Word duration",
        3,
        "higher",
        "",
        "correlation over words of duration residuals: ln duration minus the mean "
        "of the word type over the originals",
    ),
    Column(
        "rate_corr",
        "Rate",
        3,
        "higher",
        "",
        "the same averaged over each utterance: correlation of speaking rate",
    ),
    Column(
        "utterance_f0_corr",
        "Utterance F0",
        3,
        "higher",
        "",
        "correlation of an utterance's mean ln F0 within its speaker's range",
    ),
    Column(
        "word_f0_corr",
        "Word F0",
        3,
        "higher",
        "",
        "correlation of each word's mean ln F0, speaker's mean removed",
    ),
    Column(
        "pause_corr",
        "Pause",
        3,
        "higher",
        "",
        "correlation of the pause after each word",
    ),
    Column(
        "f0_corr",
        "F0 PCC",
        3,
        "higher",
        "",
        "correlation of ln F0 over time-warped frames voiced in both, each utterance's "
        "mean removed, -1 to 1",
    ),
    Column(
        "f0_rmse",
        "F0 RMSE",
        2,
        "lower",
        "semitones",
        "root mean square F0 difference over the same frames; 0 or more",
    ),
    Column(
        "energy_corr",
        "Energy PCC",
        3,
        "higher",
        "",
        "correlation of frame energy over time-warped frames, each utterance's mean "
        "removed, -1 to 1",
    ),
    Column(
        "energy_rmse",
        "Energy RMSE",
        2,
        "lower",
        "dB",
        "root mean square energy difference over the same frames; 0 or more",
    ),
    Column(
        "vde",
        "VDE",
        3,
        "lower",
        "",
        "share of time-warped frames voiced in one recording only, 0 to 1",
    ),
    Column(
        "gpe",
        "GPE",
        3,
        "lower",
        "",
        "share of frames voiced in both whose F0 differs by more than 20 %, 0 to 1",
    ),
    Column(
        "mcd",
        "MCD",
        2,
        "lower",
        "dB",
        "mel-cepstral distortion over time-warped frames; 0 or more",
    ),
    Column(
        "bitrate",
        "Bit rate",
        1,
        "lower",
        "bit/s",
        "nominal bits per second of what the row is made from besides text",
    ),
    Column("unit_top1", "Unit top-1", 3, "higher", "", "teacher-forced unit accuracy"),
    Column("unit_top5", "Unit top-5", 3, "higher", "", "the same among the five best"),
    Column(
        "coverage",
        "Coverage",
        3,
        "higher",
        "",
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
        2,
        "higher",
        "",
        "mean score a language model gave the continuation's text",
    ),
    Column(
        "continuation_rate_corr",
        "Rate",
        3,
        "higher",
        "",
        "correlation of mean word-duration residuals of prompt and continuation",
    ),
    Column(
        "slow_prompt_factor",
        "After slow",
        3,
        "",
        "",
        "duration relative to usual after the slower half of the prompts",
    ),
    Column(
        "fast_prompt_factor",
        "After fast",
        3,
        "",
        "",
        "duration relative to usual after the faster half of the prompts",
    ),
    Column(
        "continuation_f0_corr",
        "F0 level",
        3,
        "higher",
        "",
        "correlation of mean ln F0 within the speaker's range",
    ),
    Column("coverage", "Coverage", 3, "higher", "", "share of prompts compared"),
    *_QUALITY_DETAILS,
    *_VERSA,
)
LIKELIHOOD = (
    Column(
        "accuracy",
        "Accuracy",
        3,
        "higher",
        "",
        "share of pairs whose right member is more likely, each stream's "
        "log-likelihood per token; ties count half; 0 to 1, chance 0.5",
    ),
    Column(
        "accuracy_sum",
        "Accuracy, summed",
        3,
        "higher",
        "",
        "the same with log-likelihoods summed over tokens",
    ),
    Column(
        "accuracy_text",
        "Text only",
        3,
        "higher",
        "",
        "the same with the text's part of the log-likelihood alone, per token",
    ),
    Column(
        "accuracy_codes",
        "Codes only",
        3,
        "higher",
        "",
        "the same with the codes' part alone, per word",
    ),
    Column(
        "coverage",
        "Coverage",
        3,
        "higher",
        "",
        "share of pairs of which both sides have a score; the others are ties",
    ),
)
QA = (
    Column(
        "accuracy",
        "Accuracy",
        3,
        "higher",
        "",
        "share of questions whose generated text contains an answer, 0 to 1",
    ),
    Column(
        "coverage",
        "Answered",
        3,
        "higher",
        "",
        "share of questions after which anything was generated",
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
