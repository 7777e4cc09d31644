"""Train the cosyvoice vocoders' HiFT (ESPnet options; ``--help``)."""

from espnet2_taste.bin import run
from espnet2_taste.tasks.gan_vocoder import GANVocoderTask
from espnet2_taste.tasks.train import train


def main(cmd: list[str] | None = None) -> None:
    train(GANVocoderTask, cmd)


if __name__ == "__main__":
    run(main)
