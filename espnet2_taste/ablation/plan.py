"""What an ablation trains: variants, seeds, and which sub-stages they share."""

import copy
import itertools
from dataclasses import dataclass, field
from pathlib import Path

import yaml

#: The sub-stages of tokenizer training and the one each starts from.
SUB_STAGES = {
    "text_only": None,
    "text_only_matched": "text_only",
    "no_vq": "text_only",
    "rvq": "no_vq",
}
#: Never hear the audio: trained once for all seeds, as the baseline of all.
SHARED_BY_SEEDS = ("text_only", "text_only_matched")
DESIGNS = ("product", "one_at_a_time")
KEYS = {"axes", "seeds", "design", "metrics", "options"}


@dataclass(frozen=True)
class Variant:
    """One choice of every axis.

    Attributes:
        choices: axis -> choice.
        overrides: sub-stage -> configuration key -> value; see :func:`override`.
    """

    choices: dict[str, str]
    overrides: dict[str, dict]

    @property
    def name(self) -> str:
        """Its choices, as in ``fsq-one_layer``."""
        return "-".join(self.choices.values())


@dataclass(frozen=True)
class Ablation:
    """A configuration file of ``bin.ablate``.

    Attributes:
        name: of the file.
        axes: axis -> choices.
        variants: what is trained, the first one being what others are compared to.
        seeds: of training.
        metrics: keys of the reconstruction table to show; [] for all.
        options: of ``./run.sh``, for every run.
    """

    name: str
    axes: dict[str, list[str]]
    variants: list[Variant]
    seeds: list[int]
    metrics: list[str]
    options: dict[str, str]


@dataclass
class System:
    """A variant trained with one seed: a run of the recipe with its own tag.

    Attributes:
        variant: what it is.
        seed: of training.
        tag: ``--tag`` of its run.
        confs: sub-stage -> configuration.
        reuse: sub-stage -> tag of the run that trains it ("" is the recipe's own).
    """

    variant: Variant
    seed: int
    tag: str
    confs: dict[str, dict]
    reuse: dict[str, str] = field(default_factory=dict)

    @property
    def needs(self) -> list[str]:
        """Tags of the systems that have to be trained before."""
        return [tag for tag in dict.fromkeys(self.reuse.values()) if tag]


def read_ablation(path: Path) -> Ablation:
    """Read and check a configuration file.

    Raises:
        FileNotFoundError, ValueError: with the file and what is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        conf = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not YAML ({reason})") from None
    if not isinstance(conf, dict) or not isinstance(conf.get("axes"), dict):
        raise ValueError(f"{path}: no mapping with axes")
    unknown = sorted(conf.keys() - KEYS)
    if unknown:
        raise ValueError(f"{path}: unknown key {unknown[0]}; {', '.join(sorted(KEYS))}")
    axes = {axis: _choices(path, axis, conf["axes"][axis]) for axis in conf["axes"]}
    seeds = conf.get("seeds", [0])
    if not isinstance(seeds, list) or not all(isinstance(s, int) for s in seeds):
        raise ValueError(f"{path}: seeds must be a list of integers, not {seeds}")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"{path}: seeds {seeds} must be one or more, each once")
    design = conf.get("design", DESIGNS[0])
    if design not in DESIGNS:
        raise ValueError(f"{path}: design must be one of {DESIGNS}, not {design!r}")
    names = {axis: list(choices) for axis, choices in axes.items()}
    variants = []
    for chosen in itertools.product(*names.values()):
        choices = dict(zip(names, chosen, strict=True))
        others = sum(c != names[axis][0] for axis, c in choices.items())
        if design == "one_at_a_time" and others > 1:
            continue
        overrides: dict[str, dict] = {}
        for axis, choice in choices.items():
            for stage, changes in axes[axis][choice].items():
                overrides.setdefault(stage, {}).update(changes)
        variants.append(Variant(choices, overrides))
    metrics, options = conf.get("metrics", []), conf.get("options", {})
    return Ablation(path.stem, names, variants, seeds, metrics, options)


def _choices(path: Path, axis: str, choices: dict | list) -> dict[str, dict[str, dict]]:
    """choice -> sub-stage -> overrides, of one axis."""
    if not isinstance(choices, dict) or not choices:
        raise ValueError(f"{path}: axis {axis} must map choices to overrides")
    result = {}
    for choice, stages in choices.items():
        where = f"{path}: {axis}: {choice}"
        expanded: dict[str, dict] = {}
        for names, changes in (stages or {}).items():
            for name in str(names).split():
                if name not in SUB_STAGES:
                    known = ", ".join(SUB_STAGES)
                    raise ValueError(f"{where}: no sub-stage {name}, but {known}")
                if not isinstance(changes, dict):
                    raise ValueError(f"{where}: {name}: overrides must be a mapping")
                expanded.setdefault(name, {}).update(changes)
        result[str(choice)] = expanded
    return result


def override(conf: dict, changes: dict) -> dict:
    """A copy of a training configuration with some values replaced.

    Args:
        conf: of a sub-stage.
        changes: ``quantizer_conf: {...}`` replaces the whole value;
            ``encoder_conf.value_source: 1`` an entry inside.
    """
    conf = copy.deepcopy(conf)
    for key, value in changes.items():
        *parents, last = key.split(".")
        inside = conf
        for parent in parents:
            inside = inside.setdefault(parent, {})
            if not isinstance(inside, dict):
                raise ValueError(f"override {key}: {parent} holds no entries")
        inside[last] = copy.deepcopy(value)
    return conf


def plan_systems(
    ablation: Ablation, confs: dict[str, dict], recipe_seed: int | None
) -> list[System]:
    """The systems to train, those others depend on first.

    A sub-stage whose configuration, seed and ancestors are those of another one is
    taken from there: from the recipe's own run, or from an earlier system.

    Args:
        ablation: what to train.
        confs: sub-stage -> the recipe's configuration.
        recipe_seed: of the recipe's own run.
    """
    owners: list[tuple[list, str]] = []  # (what a sub-stage is made of, tag)

    def made_of(stage: str, confs: dict[str, dict], seed: int | None) -> list:
        chain = []
        name: str | None = stage
        while name is not None:
            chain.append((confs[name], None if name in SHARED_BY_SEEDS else seed))
            name = SUB_STAGES[name]
        return chain

    owners += [(made_of(stage, confs, recipe_seed), "") for stage in confs]
    systems = []
    for variant, seed in itertools.product(ablation.variants, ablation.seeds):
        unknown = [stage for stage in variant.overrides if stage not in confs]
        if unknown:
            raise ValueError(f"{variant.name}: the recipe has no {unknown[0]}")
        own = {s: override(c, variant.overrides.get(s, {})) for s, c in confs.items()}
        tag = f"{ablation.name}-{variant.name}-seed{seed}"
        system = System(variant, seed, tag, own)
        for stage in own:
            parts = made_of(stage, own, seed)
            owner = next((tag for known, tag in owners if known == parts), None)
            if owner is None:
                owners.append((parts, tag))
            else:
                system.reuse[stage] = owner
        systems.append(system)
    return sorted(systems, key=lambda system: len(system.needs))
