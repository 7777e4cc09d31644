"""Public test sets of spoken language models, by the layout of their files."""

from espnet2_taste.io.lazy_choices import LazyChoices

_HERE = __name__

layout_choices = LazyChoices(
    "layout of a test set",
    {
        "salmon": f"{_HERE}.salmon.Salmon",
        "storycloze": f"{_HERE}.storycloze.StoryCloze",
        "swuggy": f"{_HERE}.zerospeech.Swuggy",
        "sblimp": f"{_HERE}.zerospeech.Sblimp",
        "llama_questions": f"{_HERE}.questions.LlamaQuestions",
        "web_questions": f"{_HERE}.questions.WebQuestions",
    },
)
