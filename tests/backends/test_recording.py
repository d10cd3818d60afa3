from collections import Counter
from typing import Any

import pytest

from lenet_multi.backends import private, recording
from lenet_multi.backends.recording import recorded

pytestmark = [pytest.mark.all_backends]

Tensor = Any

ONEDNN = "mkldnn::_linear_pointwise"
MKL = ("aten::mm", "aten::addmm")
PRODUCTS = {"float32": (ONEDNN,), "float64": MKL}
ROUNDING = {"float32": 1e-5, "float64": 0}  # of sums of 64 products in another order; seen 5e-7


def loss_and_gradients(inputs: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
    """Return a mean and its gradients, through a convolution, a linear layer and a product."""
    import torch

    kernel, first, bias, second = weights
    seen = torch.relu(torch.nn.functional.conv2d(inputs, kernel)).flatten(1)
    loss = (torch.relu(torch.addmm(bias, seen, first)) @ second).square().mean()
    return loss.detach(), *torch.autograd.grad(loss, weights)


def tensors(count: int, *, seed: int = 0, dtype: str = "float32") -> list[Tensor]:
    """Return `count` images and the weights of `loss_and_gradients`."""
    import torch

    torch.manual_seed(seed)
    shapes = [(count, 1, 6, 6), (4, 1, 3, 3), (64, 8), (8,), (8, 3)]
    return [
        torch.randn(shape, dtype=getattr(torch, dtype), requires_grad=index > 0)
        for index, shape in enumerate(shapes)
    ]


def kernels(play: Any, given: list[Tensor]) -> Counter[str]:
    """Return how often each operation of PyTorch runs."""
    import torch

    with torch.profiler.profile() as profile:
        play(*given)
    return Counter({event.key: event.count for event in profile.key_averages()})


@pytest.mark.parametrize("dtype", PRODUCTS)
def test_the_recording_computes_the_same(dtype: str) -> None:
    """A replay equals PyTorch, also with other values and numbers of images."""
    import torch

    play = recorded(loss_and_gradients)
    for count, seed in ((5, 0), (5, 1), (2, 2), (5, 3)):
        given = tensors(count, seed=seed, dtype=dtype)
        for ours, expected in zip(play(*given), loss_and_gradients(*given), strict=True):
            allowed = ROUNDING[dtype]
            torch.testing.assert_close(ours, expected, rtol=allowed, atol=allowed)
            assert not ours.requires_grad


@pytest.mark.parametrize("interpreter", [True, False], ids=["TorchScript", "Python"])
def test_without_onednn_the_bits_are_the_same(
    interpreter: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay runs the same kernels as PyTorch itself, whatever calls them."""
    import torch

    monkeypatch.setattr(private, "onednn_product", lambda: None)
    if not interpreter:
        monkeypatch.delattr(torch.jit, "script")
    play, given = recorded(loss_and_gradients), tensors(5)
    assert all(map(torch.equal, play(*given), loss_and_gradients(*given)))


def test_pytorchs_interpreter_calls_the_kernels() -> None:
    """TorchScript runs the recording as one function, without Python."""
    play, given = recorded(loss_and_gradients), tensors(5)
    play(*given)
    assert kernels(play, given)["forward"] == 1


@pytest.mark.parametrize("shape", [(8,), (5, 8)], ids=["row", "matrix"])
def test_what_is_added_to_a_product_is_a_row(shape: tuple[int, ...]) -> None:
    """A row is added to a product by oneDNN, a matrix by MKL."""
    import torch

    def compute(added: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        return (torch.addmm(added, first, second),)

    play, given = recorded(compute), [torch.randn(shape), torch.randn(5, 64), torch.randn(64, 8)]
    torch.testing.assert_close(play(*given), compute(*given), rtol=1e-5, atol=1e-5)
    assert kernels(play, given)[ONEDNN] == (len(shape) == 1)


@pytest.mark.parametrize("interpreter", [True, False], ids=["TorchScript", "Python"])
def test_what_is_held_is_changed_in_place(
    interpreter: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step changes tensors once, also the recorded first one; alone, in a list, in a slice."""
    import torch

    def compute(given: Tensor, *held: Tensor) -> tuple[Tensor, ...]:
        count, *weights = held
        count.add_(1)
        torch._foreach_add_(weights, 1.5)
        weights[0][1:3].mul_(given.sum())
        return (count * 1,)

    if not interpreter:
        monkeypatch.delattr(torch.jit, "script")
    ours, expected = ([torch.zeros(size) for size in (1, 4, 2)] for _ in range(2))
    play = recorded(compute, *ours)
    for size in (2, 3, 2):
        given = torch.ones(size)
        assert torch.equal(*play(given), *compute(given, *expected))
    assert all(map(torch.equal, ours, expected))
    assert ours[0] == 3


@pytest.mark.parametrize("count", [2, 3, 4])
def test_gradients_of_overlapping_slices_are_added_in_place(count: int) -> None:
    """For any number of slices only one tensor of zeros is made; the bits are the same."""
    import torch

    def compute(images: Tensor) -> tuple[Tensor, ...]:
        squares = images.square()
        views = [squares[:, begin : begin + 3] for begin in range(count)]
        weights = torch.arange(1.0, 3 * count + 1).view(count, 3)
        loss = (torch.stack(views).sum(1) * weights).sum()
        (gradient,) = torch.autograd.grad(loss, images)
        return (gradient,)

    play, images = recorded(compute), torch.randn(5, 7, requires_grad=True)
    assert all(map(torch.equal, play(images), compute(images)))
    assert kernels(compute, [images])["aten::slice_backward"] == count
    ran = kernels(play, [images])
    assert (ran["aten::slice_backward"], ran["aten::add_"], ran["aten::add"]) == (1, count - 1, 0)


def test_other_sums_of_slices_gradients_are_left_as_they_are() -> None:
    """A sum stays if a gradient is used elsewhere, counts twice, differs in size, or is a sum."""
    import torch

    def compute(given: Tensor) -> tuple[Tensor, ...]:
        pad = torch.ops.aten.slice_backward
        first, second, third, fourth = (pad(given, [6], 0, i % 2, i % 2 + 4, 1) for i in range(4))
        weighted = torch.add(pad(given, [6], 0, 0, 4, 1), pad(given, [6], 0, 2, 6, 1), alpha=2)
        wide = pad(given[:1], [1], 0, 0, 1, 1) + pad(given, [6], 0, 1, 5, 1)
        one, two, three = (pad(given, [6], 0, begin, begin + 4, 1) for begin in range(3))
        nested = one + (two + three)
        return first, first + second, third + fourth, fourth, weighted, wide, nested

    play, given = recorded(compute), torch.randn(4)
    assert all(map(torch.equal, play(given), compute(given)))


def test_each_kind_of_tensors_is_recorded_once() -> None:
    """Python runs only for a new shape or dtype."""
    asked = []

    def compute(*given: Tensor) -> tuple[Tensor, ...]:
        asked.append(given[0].shape)
        return loss_and_gradients(*given)

    play = recorded(compute)
    for count, dtype in ((5, "float32"), (5, "float32"), (2, "float32"), (5, "float64")) * 2:
        play(*tensors(count, dtype=dtype))
    assert len(asked) == 3


@pytest.mark.parametrize("dtype", PRODUCTS)
def test_onednn_multiplies_in_float32(dtype: str) -> None:
    """All six products of two layers and their gradients use oneDNN, in float32 only."""
    play, given = recorded(loss_and_gradients), tensors(5, dtype=dtype)
    play(*given)
    ran = kernels(play, given)
    assert sum(ran[name] for name in PRODUCTS[dtype]) == 6
    assert sum(ran[name] for name in (ONEDNN, *MKL)) == 6
    assert sum(kernels(loss_and_gradients, given)[name] for name in MKL) == 6


def views(images: Tensor) -> tuple[Tensor, ...]:
    """Return results of slices, transposed tensors, numbers, empty lists, dtypes and devices."""
    import torch

    upper, lower = images.flatten().view(2, -1).unbind(0)
    mean = images.mean(dim=[], keepdim=True).to(torch.float64).view([])
    masked = torch.full_like(images, -torch.inf, device=images.device).where(images < 0, 0.5)
    return upper.t() - lower, images.t() + mean, masked


def test_what_an_operation_is_given_is_spelled_as_pytorch_reads_it() -> None:
    """Lists (also empty ones), dtypes, devices and infinity give the same bits."""
    import torch

    play, images = recorded(views), torch.randn(4, 6)
    assert all(map(torch.equal, play(images), views(images)))


def test_a_tensor_may_begin_within_another() -> None:
    """A tensor's memory offset does not change its signature."""
    import torch

    play = recorded(views)
    for images in torch.randn(3, 4, 6):
        assert all(map(torch.equal, play(images), views(images)))


def test_only_what_stays_the_same_counts_as_constant() -> None:
    """Only unchanged constants are moved out of the graph, so two replays are equal."""
    import torch
    from torch.fx.experimental.const_fold import split_const_subgraphs
    from torch.fx.experimental.proxy_tensor import make_fx

    numbers = torch.arange(3.0)

    def compute(given: Tensor) -> Tensor:
        made, copied, turned = torch.zeros(3), numbers.clone(), numbers.to(torch.float64)
        return made.add_(given) + copied.add_(1) + turned

    graph = make_fx(compute)(torch.ones(3))
    folded = split_const_subgraphs(graph, recording._is_no_constant)
    for _ in range(2):
        assert torch.equal(folded(torch.ones(3)), compute(torch.ones(3)))
    called = {str(node.target) for node in folded.graph.nodes}
    assert "aten._to_copy.default" not in called
    assert {"aten.zeros.default", "aten.clone.default"} <= called
