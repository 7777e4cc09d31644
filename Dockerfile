# The demo, the server and every other command of espnet2_taste.
#
#   docker build -t taste .                          # for CPUs
#   docker build -t taste --build-arg TORCH=cu128 .  # for NVIDIA GPUs
#   docker run --rm -p 7860:7860 -v "$PWD/models:/models:ro" taste
#   docker run --rm taste tokenize --help            # any command of espnet2_taste.bin
ARG PYTHON=3.12.11-slim-bookworm

FROM python:${PYTHON} AS build
# a build of torch: cpu, or one for a CUDA (cu126, cu128, cu130)
ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/taste
ENV PATH=/opt/taste/bin:$PATH
# torch first: it is large, and changes less often than this package
RUN pip install torch==2.11.0 torchaudio==2.11.0 \
    --index-url="https://download.pytorch.org/whl/${TORCH}"
COPY . .
# this folder, not a package without a version
# hadolint ignore=DL3013
RUN pip install ".[demo,serve]"

FROM python:${PYTHON}
# Debian keeps one version of a package: a pinned one is gone in a month.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 taste
COPY --from=build /opt/taste /opt/taste
ENV PATH=/opt/taste/bin:$PATH PYTHONUNBUFFERED=1
USER 1000
WORKDIR /home/taste
EXPOSE 7860 8000
# The first word names the command. exec: it gets the signals.
ENTRYPOINT ["/bin/sh", "-c", "exec python -m \"espnet2_taste.bin.$0\" \"$@\""]
CMD ["demo", "--model", "/models/packed.zip", "--host", "0.0.0.0"]
