"""PyTorch as its best practitioners write it: channels last in memory, fused Adam.

Seconds per 60,000 images on two cores: stock order, channels first 6.7; channels last 4.7; pooling
before bias and ReLU 4.3; as matrix products 10.8; pooling by slices 8.0. The benchmark also
measures torch.compile, and a step that is recorded once. On a CPU, `make_fx` records the step with
Winograd's second layer and TorchScript replays it. On a GPU, the step is a CUDA graph. In all
variants, malloc keeps freed memory (`malloc`); without that, some epochs take half as long again.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from benchmarks.peers import (
    BETA_1,
    BETA_2,
    EPSILON,
    RATE,
    Bytes,
    Epoch,
    Figures,
    Loop,
    initial_weights,
)
from benchmarks.peers.malloc import keep_freed_memory
from benchmarks.peers.winograd import OF_IMAGES, OF_PRODUCTS, OF_TAPS, ROUNDING

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

# Takes images and labels and trains on them; returns the loss and the number of right answers.
Step = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]]

Recording = Callable[..., tuple[torch.Tensor, ...]]


class LeNet(torch.nn.Module):  # type: ignore[misc]  # mypy skips torch
    """The LeNet on images (N, 1, 28, 28), with channels last in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = torch.nn.Conv2d(1, 20, 5), torch.nn.Conv2d(20, 50, 5)
        self.dense1, self.dense2 = torch.nn.Linear(800, 500), torch.nn.Linear(500, 10)
        with torch.no_grad():
            for parameter, weight in zip(self.parameters(), initial_weights(), strict=True):
                # (h, w, in, out) to (out, in, h, w), (in, out) to (out, in)
                order = (
                    (3, 2, 0, 1)[: weight.ndim] if weight.ndim == 4 else range(weight.ndim)[::-1]
                )
                parameter.copy_(torch.from_numpy(weight.transpose(order).copy()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 10)."""
        images = self.second(self.first(images))
        flat = images.permute(0, 2, 3, 1).flatten(1)
        logits: torch.Tensor = self.dense2(functional.relu(self.dense1(flat)))
        return logits

    def first(self, images: torch.Tensor) -> torch.Tensor:
        """Return the first block's outputs (N, 20, 12, 12)."""
        return _block(images, self.conv1)

    def second(self, images: torch.Tensor) -> torch.Tensor:
        """Return the second block's outputs (N, 50, 4, 4) from the first block's."""
        return _block(images, self.conv2)


class Winograd(LeNet):
    """The same network, with layers as in `backends.forms.row_pairs` and `winograd`."""

    def first(self, images: torch.Tensor) -> torch.Tensor:
        """Return the first block's outputs (N, 20, 12, 12)."""
        places = [functional.pad(self.conv1.weight, (0, 0, i, 1 - i)) for i in range(2)]
        convolved = functional.conv2d(images, torch.cat(places), stride=(2, 1))  # (N, 40, 12, 24)
        windows = convolved.permute(0, 2, 3, 1).reshape(-1, 2, 2, 20).permute(0, 3, 1, 2)
        pooled = functional.max_pool2d(windows, 2).flatten(1)
        assert self.conv1.bias is not None
        return functional.relu(pooled + self.conv1.bias).view(-1, 12, 12, 20).permute(0, 3, 1, 2)

    def second(self, images: torch.Tensor) -> torch.Tensor:
        """Return the second block's outputs (N, 50, 4, 4) from the first block's."""
        of_images, of_taps, of_products = (
            torch.from_numpy(matrix).to(images.device)
            for matrix in (OF_IMAGES, OF_TAPS, OF_PRODUCTS)
        )
        columns = images.permute(2, 3, 1, 0).unflatten(0, (6, 2)).permute(2, 1, 3, 0, 4)
        sums = (of_images @ columns.reshape(12, -1)).view(8, 2, 40, 6, -1)
        sums = sums.permute(0, 2, 3, 1, 4)  # (8, 2 20, pairs of rows, 2, N)
        patches = torch.stack([sums[:, :, i : i + 4] for i in range(3)], 1).view(8, 120, -1)
        taps = (of_taps @ self.conv2.weight.permute(3, 0, 2, 1).reshape(5, -1)).view(8, 50, 5, 20)
        places = [functional.pad(taps, (0, 0, i, 1 - i)) for i in range(2)]
        products = torch.stack(places, 1).view(8, 100, 120) @ patches
        windows = (of_products @ products.view(8, -1)).view(2, 2, 2, -1).permute(0, 3, 1, 2)
        assert self.conv2.bias is not None
        best = functional.max_pool2d(windows, 2).permute(0, 2, 3, 1).reshape(2, 50, 4, 2, -1)
        with torch.no_grad():
            rounding = torch.where(best.abs() <= ROUNDING * best.abs().max(), best, 0)
        pooled = functional.relu(best - rounding + self.conv2.bias.view(-1, 1, 1, 1))
        return pooled.permute(2, 3, 0, 1, 4).reshape(4, 4, 50, -1).permute(3, 2, 0, 1)


def _block(images: torch.Tensor, conv: torch.nn.Conv2d) -> torch.Tensor:
    pooled = functional.max_pool2d(functional.conv2d(images, conv.weight), 2)
    assert conv.bias is not None
    return functional.relu(pooled + conv.bias.view(1, -1, 1, 1))


def eager(images: Bytes, labels: Bytes, batch_size: int) -> Epoch:
    """Return an epoch as PyTorch runs it by default."""
    return _epoch(images, labels, batch_size, lambda model: _by_autograd(model, model))


def compiled(images: Bytes, labels: Bytes, batch_size: int) -> Epoch:
    """Return an epoch with the model through torch.compile."""

    def prepare(model: LeNet) -> Step:
        return _by_autograd(model, torch.compile(model))

    return _epoch(images, labels, batch_size, prepare)


def bfloat16(images: Bytes, labels: Bytes, batch_size: int) -> Epoch:
    """Return an epoch under autocast to bfloat16."""

    def prepare(model: LeNet) -> Step:
        return _by_autograd(model, model, autocast=True)

    return _epoch(images, labels, batch_size, prepare)


def recorded(images: Bytes, labels: Bytes, batch_size: int) -> Epoch:
    """Return an epoch that records its step once and replays it."""
    if DEVICE.type == "cuda":  # CUDA has no kernels for Winograd's form
        return _epoch(images, labels, batch_size, _by_cuda_graph)
    return _epoch(images, labels, batch_size, _by_recording, Winograd())


def _by_autograd(
    model: LeNet,
    run: Callable[[torch.Tensor], torch.Tensor],
    *,
    autocast: bool = False,
    capturable: bool = False,
) -> Step:
    optimizer = torch.optim.Adam(
        model.parameters(),
        RATE,
        betas=(BETA_1, BETA_2),
        eps=EPSILON,
        fused=True,
        capturable=capturable,
    )

    def step(images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=autocast):
            logits = run(images).float()
            loss = functional.cross_entropy(logits, targets)
        loss.backward()
        optimizer.step()
        return loss.detach(), _right(logits, targets)

    return step


def _right(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (logits.detach().argmax(1) == targets).sum()


def _by_recording(model: LeNet) -> Step:
    names, weights = zip(*model.named_parameters(), strict=True)
    means, squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    time = torch.zeros(())
    recordings: dict[torch.Size, Recording] = {}

    def compute(
        images: torch.Tensor, targets: torch.Tensor, *weights: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        in_place = dict(zip(names, weights, strict=True))
        logits = torch.func.functional_call(model, in_place, images)
        loss = functional.cross_entropy(logits, targets)
        gradients = torch.autograd.grad(loss, weights)
        return loss.detach(), _right(logits, targets), *map(_as_adam_walks, gradients)

    def step(images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if images.shape not in recordings:
            recordings[images.shape] = _recording(compute, images, targets, *weights)
        with torch.no_grad():
            loss, right, *gradients = recordings[images.shape](images, targets, *weights)
            time.add_(1)
            torch._fused_adam_(
                weights,
                gradients,
                means,
                squares,
                [],
                [time] * len(weights),
                lr=RATE,
                beta1=BETA_1,
                beta2=BETA_2,
                weight_decay=0.0,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )
        return loss, right

    return step


def _as_adam_walks(gradient: torch.Tensor) -> torch.Tensor:
    """Return a gradient in the memory order of its weight; Adam walks both together."""
    layout = torch.channels_last if gradient.ndim == 4 else torch.contiguous_format
    return gradient.contiguous(memory_format=layout)


def _recording(compute: Recording, *tensors: torch.Tensor) -> Recording:
    """Record the kernels of `compute` for such tensors; return a function that replays them.

    The replay runs without Python.
    """
    recording = make_fx(compute, decomposition_table=ONEDNN)(*tensors)
    for node in recording.graph.nodes:
        if isinstance(node.target, torch._ops.OpOverload):
            node.target = node.target.overloadpacket  # TorchScript chooses the overload itself
    recording.recompile()
    with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated
        script = torch.jit.script(recording)

    def play(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.jit.optimized_execution(False):  # on a CPU there is nothing to fuse
            results: tuple[torch.Tensor, ...] = script(*tensors)
        return results

    return play


def _product(
    first: torch.Tensor, second: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
        first, second.t(), bias, "none", [], ""
    )
    return product


# oneDNN computes products of two matrices. PyTorch would use MKL, which is slower on AMD.
ONEDNN = {
    torch.ops.aten.mm.default: _product,
    torch.ops.aten.addmm.default: lambda bias, first, second: _product(first, second, bias),
}


def _by_cuda_graph(model: LeNet) -> Step:
    eager = _by_autograd(model, model, capturable=True)
    stream = torch.cuda.Stream()
    graphs: dict[torch.Size, Step] = {}
    begun: set[torch.Size] = set()

    def step(images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if images.shape in graphs:
            return graphs[images.shape](images, targets)
        if images.shape in begun:
            graphs[images.shape] = _captured(eager, images, targets)
            return graphs[images.shape](images, targets)
        begun.add(images.shape)  # first run normally: libraries initialize themselves then
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            results = eager(images, targets)
        torch.cuda.current_stream().wait_stream(stream)
        return results

    return step


def _captured(step: Step, *tensors: torch.Tensor) -> Step:
    """Return `step` as one launch of all its kernels, for tensors of the same shapes."""
    places = [tensor.clone() for tensor in tensors]  # CUDA always reads these
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = step(*places)

    def play(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        for place, tensor in zip(places, tensors, strict=True):
            place.copy_(tensor)
        graph.replay()
        return results

    return play


def _epoch(
    images: Bytes,
    labels: Bytes,
    batch_size: int,
    prepare: Callable[[LeNet], Step],
    model: LeNet | None = None,
) -> Epoch:
    keep_freed_memory()
    step = prepare((model or LeNet()).to(DEVICE, memory_format=torch.channels_last))
    pixels = torch.tensor(images, device=DEVICE).permute(0, 3, 1, 2)  # channels last
    targets = torch.tensor(labels, dtype=torch.int64, device=DEVICE)

    def epoch(order: NDArray[np.int64]) -> Figures:
        losses, right = torch.zeros((), device=DEVICE), torch.zeros((), dtype=int, device=DEVICE)
        for chosen in torch.from_numpy(order).to(DEVICE).split(batch_size):
            loss, now_right = step(pixels[chosen].float().div_(255), targets[chosen])
            losses.add_(loss, alpha=len(chosen))
            right.add_(now_right)
        return Figures(float(losses) / len(order), int(right) / len(order))

    return epoch


LOOPS: dict[str, Loop] = {
    "recorded": recorded,
    "eager": eager,
    "compile": compiled,
    "bfloat16": bfloat16,
}
