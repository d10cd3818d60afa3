"""PyTorch as its best practitioners write it: channels last in memory, fused Adam.

Tried on two cores, seconds per 60,000 images: stock order, channels first 6.7; channels last 4.7;
pooling before bias and ReLU 4.3; as matrix products 10.8; pooling by slices 8.0. torch.compile is
measured beside it, and a step that is recorded once, Adam and all, by the `backends.recording`
that we use ourselves, with its second layer in Winograd's way. All have malloc keep what is freed
(`machine.allocator`), without which some epochs take half as long again.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from benchmarks.peers import BETA_1, BETA_2, EPSILON, RATE, Epoch, Figures, initial_weights
from benchmarks.peers.winograd import OF_IMAGES, OF_PRODUCTS, OF_TAPS, ROUNDING
from lenet_multi.backends.recording import recorded
from lenet_multi.data.sets import ImageSet
from lenet_multi.machine.allocator import keep_freed_memory

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

# Takes images and labels, trains on them, and returns the loss and how many were answered rightly.
Step = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]]


class LeNet(torch.nn.Module):  # type: ignore[misc]  # torch is not read
    """The LeNet on images (N, 1, 28, 28), its memory's layout channels last."""

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
        """Return the first block's (N, 20, 12, 12)."""
        return _block(images, self.conv1)

    def second(self, images: torch.Tensor) -> torch.Tensor:
        """Return the second block's (N, 50, 4, 4) of the first's."""
        return _block(images, self.conv2)


class Winograd(LeNet):
    """The same, its layers as `row_pairs` and `winograd` of `backends.forms` compute them."""

    def first(self, images: torch.Tensor) -> torch.Tensor:
        """Return the first block's (N, 20, 12, 12)."""
        places = [functional.pad(self.conv1.weight, (0, 0, i, 1 - i)) for i in range(2)]
        convolved = functional.conv2d(images, torch.cat(places), stride=(2, 1))  # (N, 40, 12, 24)
        windows = convolved.permute(0, 2, 3, 1).reshape(-1, 2, 2, 20).permute(0, 3, 1, 2)
        pooled = functional.max_pool2d(windows, 2).flatten(1)
        assert self.conv1.bias is not None
        return functional.relu(pooled + self.conv1.bias).view(-1, 12, 12, 20).permute(0, 3, 1, 2)

    def second(self, images: torch.Tensor) -> torch.Tensor:
        """Return the second block's (N, 50, 4, 4) of the first's."""
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


def eager(training: ImageSet, batch_size: int) -> Epoch:
    """Return an epoch as PyTorch runs it by default."""
    return _epoch(training, batch_size, lambda model: _by_autograd(model, model))


def compiled(training: ImageSet, batch_size: int) -> Epoch:
    """Return an epoch with the model through torch.compile."""
    return _epoch(training, batch_size, lambda model: _by_autograd(model, torch.compile(model)))


def bfloat16(training: ImageSet, batch_size: int) -> Epoch:
    """Return an epoch under autocast to bfloat16."""
    return _epoch(training, batch_size, lambda model: _by_autograd(model, model, autocast=True))


def recorded_step(training: ImageSet, batch_size: int) -> Epoch:
    """Return an epoch that plays back the whole step, recorded, with oneDNN's products."""
    on_cpu = DEVICE.type == "cpu"  # where there are no kernels that take fewer multiplications
    return _epoch(training, batch_size, _by_recording, Winograd() if on_cpu else LeNet())


def _by_autograd(
    model: LeNet, run: Callable[[torch.Tensor], torch.Tensor], *, autocast: bool = False
) -> Step:
    optimizer = torch.optim.Adam(
        model.parameters(), RATE, betas=(BETA_1, BETA_2), eps=EPSILON, fused=True
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
    count = len(weights)
    means, squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))

    def compute(
        images: torch.Tensor, targets: torch.Tensor, time: torch.Tensor, *held: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        weights, means, squares = (list(held[i : i + count]) for i in range(0, 3 * count, count))
        in_place = dict(zip(names, weights, strict=True))
        logits = torch.func.functional_call(model, in_place, images)
        loss = functional.cross_entropy(logits, targets)
        gradients = [
            # Adam walks both in the order of memory.
            gradient.contiguous(memory_format=torch.channels_last)
            if gradient.ndim == 4
            else gradient.contiguous()
            for gradient in torch.autograd.grad(loss, weights)
        ]
        with torch.no_grad():
            time.add_(1)
            torch._fused_adam_(
                weights,
                gradients,
                means,
                squares,
                [],
                [time] * count,
                lr=RATE,
                beta1=BETA_1,
                beta2=BETA_2,
                weight_decay=0.0,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )
        return loss.detach(), _right(logits, targets)

    return recorded(compute, torch.zeros((), device=DEVICE), *weights, *means, *squares)


def _epoch(
    training: ImageSet,
    batch_size: int,
    prepare: Callable[[LeNet], Step],
    model: LeNet | None = None,
) -> Epoch:
    keep_freed_memory()
    step = prepare((model or LeNet()).to(DEVICE, memory_format=torch.channels_last))
    pixels = torch.tensor(training.images, device=DEVICE).permute(0, 3, 1, 2)  # channels last
    labels = torch.tensor(training.labels, dtype=torch.int64, device=DEVICE)

    def epoch(order: NDArray[np.int64]) -> Figures:
        losses, right = torch.zeros((), device=DEVICE), torch.zeros((), dtype=int, device=DEVICE)
        for chosen in torch.from_numpy(order).to(DEVICE).split(batch_size):
            loss, now_right = step(pixels[chosen].float().div_(255), labels[chosen])
            losses.add_(loss, alpha=len(chosen))
            right.add_(now_right)
        return Figures(float(losses) / len(order), int(right) / len(order))

    return epoch


LOOPS = {"recorded": recorded_step, "eager": eager, "compile": compiled, "bfloat16": bfloat16}
