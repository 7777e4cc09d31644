"""Tiny random ONNX files in the formats of the published ones."""

import re
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

MEL_BINS = 128


class Attention(nn.Module):
    """Whisper's self-attention."""

    def __init__(self, size: int, heads: int):
        super().__init__()
        self.heads, self.size = heads, size
        self.query, self.value = nn.Linear(size, size), nn.Linear(size, size)
        self.key = nn.Linear(size, size, bias=False)
        self.out = nn.Linear(size, size)

    def forward(self, x, bias):
        shape = (x.size(0), -1, self.heads, self.size // self.heads)
        q, k, v = (
            layer(x).view(shape).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        weights = q @ k.transpose(-1, -2) * (self.size // self.heads) ** -0.5 + bias
        heads = weights.softmax(-1) @ v
        return self.out(heads.transpose(1, 2).reshape(x.size(0), -1, self.size))


class Block(nn.Module):
    """Whisper's encoder block."""

    def __init__(self, size: int, heads: int):
        super().__init__()
        self.attn, self.attn_ln = Attention(size, heads), nn.LayerNorm(size)
        self.mlp_ln = nn.LayerNorm(size)
        self.mlp = nn.Sequential(
            nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size)
        )

    def forward(self, x, bias):
        x = x + self.attn(self.attn_ln(x), bias)
        return x + self.mlp(self.mlp_ln(x))


class Codebook(nn.Module):
    """Nearest code of the normalised vector."""

    def __init__(self, size: int, num_units: int):
        super().__init__()
        self.embed = nn.Parameter(F.normalize(torch.randn(num_units, size), dim=-1))

    def forward(self, x):
        embed = self.embed.t()
        x = x / x.norm(dim=-1, keepdim=True)
        distance = x.pow(2).sum(-1, keepdim=True) - 2 * x @ embed
        return -(distance + embed.pow(2).sum(0, keepdim=True))


class Scope(nn.Module):
    """A module within a module: a name in the graph."""

    def __init__(self, **inner: nn.Module):
        super().__init__()
        ((self.name, module),) = inner.items()
        self.add_module(self.name, module)

    def forward(self, x):
        inner = getattr(self, self.name)
        return inner[0](x) if isinstance(inner, nn.ModuleList) else inner(x)


class S3Network(nn.Module):
    """Version 1 of the S3 tokenizer: one utterance, (1, 128, T) -> (1, U)."""

    def __init__(self, size: int, layers: int, num_units: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv1d(MEL_BINS, size, 3, stride, 1)
        self.conv2 = nn.Conv1d(size, size, 3, 2, 1)
        self.blocks = nn.ModuleList([Block(size, size // 64) for _ in range(layers)])
        self.positional_embedding = nn.Parameter(0.3 * torch.randn(1500, size))
        codebook = Scope(_codebook=Codebook(size, num_units))
        layers = Scope(layers=nn.ModuleList([codebook]))
        self.quantizer = Scope(rq=Scope(model=layers))
        self.stride = stride
        for name, parameter in self.named_parameters():
            if "_ln." in name:  # equal ones would be stored once
                nn.init.normal_(parameter, float(name.endswith("weight")), 0.1)

    def forward(self, feats, feats_length):
        x = F.gelu(self.conv2(F.gelu(self.conv1(feats)))).transpose(1, 2)
        x = x + self.positional_embedding[: x.size(1)]
        lengths = (feats_length + 2 * self.stride - 1) // (2 * self.stride)
        outside = torch.arange(x.size(1)) >= lengths[:, None]
        bias = outside[:, None, None].float() * -1e10
        for block in self.blocks:
            x = block(x, bias)
        return self.quantizer(x).argmax(-1)


def export(model: nn.Module, inputs: tuple, path: Path, **names) -> None:
    """As the published files were made: one node per operation, named by module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(), inputs, str(path), dynamo=False, opset_version=14, **names
        )


def write_s3(path: Path, num_units: int = 48, stride: int = 1, seed: int = 0) -> Path:
    """A speech_tokenizer_v1.onnx of 64 dimensions and 2 blocks that onnxruntime runs.

    Args:
        path: of the file.
        num_units: 4096 in the published file.
        stride: 1 = 50 units a second, 2 = 25.
        seed: of the weights.
    """
    import onnx

    torch.manual_seed(seed)
    model = S3Network(64, 2, num_units, stride)
    export(
        model,
        (torch.randn(1, MEL_BINS, 50), torch.tensor([50], dtype=torch.int32)),
        path,
        input_names=["feats", "feats_length"],
        output_names=["indices"],
        dynamic_axes={"feats": {2: "T"}, "indices": {1: "U"}},
    )
    published = {
        "conv1.weight": "onnx::Conv_1519",
        "conv1.bias": "onnx::Conv_1520",
        "conv2.weight": "onnx::Conv_1521",
        "conv2.bias": "onnx::Conv_1522",
        "positional_embedding": "encoders.positional_embedding",
    }
    file = onnx.load(str(path))
    for initializer in file.graph.initializer:
        initializer.name = published.get(initializer.name, initializer.name)
    for node in file.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = published.get(name, name)
    onnx.save(file, str(path))
    return path


class CampplusNetwork(nn.Module):
    """(B, T, 80) -> (B, S): convolution, then mean and deviation over time."""

    def __init__(self, size: int):
        super().__init__()
        self.conv = nn.Conv1d(80, 16, 5, 2, 2)
        self.dense = nn.Linear(32, size)

    def forward(self, feature):
        x = F.relu(self.conv(feature.transpose(1, 2)))
        return self.dense(torch.cat([x.mean(-1), x.std(-1)], -1))


def write_campplus(
    path: Path, size: int = 12, any_batch_size: bool = True, seed: int = 0
) -> Path:
    """A campplus.onnx with the published inputs and outputs, of another width.

    Args:
        path: of the file.
        size: of the embedding; 192 in the published file.
        any_batch_size: the batch axis is dynamic, too.
        seed: of the weights.
    """
    torch.manual_seed(seed)
    axes = {1: "T"} | ({0: "B"} if any_batch_size else {})
    export(
        CampplusNetwork(size),
        (torch.randn(1, 60, 80),),
        path,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={
            "input": axes,
            "output": {k: v for k, v in axes.items() if not k},
        },
    )
    return path


def write_s3_v2(path: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    """The initialisers and node names of a speech_tokenizer_v2.onnx (not a network).

    Returns:
        the weights by the names of s3tokenizer's model.
    """
    import onnx
    from s3tokenizer.model_v2 import ModelConfig, S3TokenizerV2

    torch.manual_seed(seed)
    sizes = ModelConfig(n_audio_state=64, n_audio_head=1, n_audio_layer=2)
    state = S3TokenizerV2("speech_tokenizer_v2_25hz", sizes).state_dict()
    inputs = {  # initialisers known by their own name
        "encoder.conv1.weight": "onnx::Conv_2216",
        "encoder.conv1.bias": "onnx::Conv_2217",
        "encoder.conv2.weight": "onnx::Conv_2218",
        "encoder.conv2.bias": "onnx::Conv_2219",
        "quantizer._codebook.project_down.weight": "onnx::MatMul_2536",
        "quantizer._codebook.project_down.bias": "quantizer.project_in.bias",
    }
    nodes, initializers = [], []
    for layer in dict.fromkeys(key.rpartition(".")[0] for key in state):
        scope = "/" + layer.removeprefix("encoder.").replace(".attn.", "/attn/")
        scope = re.sub(r"(blocks\.\d)\.", r"\1/", scope).replace("mlp.", "mlp/mlp.")
        names = []
        for part in ("weight", "bias"):
            if (value := state.get(f"{layer}.{part}")) is not None:
                name = inputs.get(f"{layer}.{part}", f"{layer}.{part}")
                value = value.t() if value.ndim == 2 else value
                array = value.contiguous().numpy()
                initializers.append(onnx.numpy_helper.from_array(array, name))
                names.append(name)
        if "_ln" in layer:
            kinds = [("LayerNormalization", names)]
        elif "conv" in layer or "fsmn" in layer:
            kinds = [("Conv", names)]
        else:
            kinds = zip(("MatMul", "Add"), ([n] for n in names), strict=False)
        for kind, used in kinds:
            strides = {"strides": [2]} if kind == "Conv" else {}
            nodes.append(
                onnx.helper.make_node(
                    kind, ["x", *used], ["y"], name=f"{scope}/{kind}", **strides
                )
            )
    graph = onnx.helper.make_graph(nodes, "v2", [], [], initializers)
    onnx.save(onnx.helper.make_model(graph), str(path))
    return state
