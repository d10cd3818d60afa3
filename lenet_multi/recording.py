"""A computation of PyTorch recorded as the list of its kernels, with faster matrix products."""

from collections.abc import Callable, Iterator
from typing import Any

Tensor = Any  # PyTorch's

Computation = Callable[..., tuple[Tensor, ...]]


def recorded(compute: Computation) -> Computation:
    """Return `compute` as the operations that it comes to, recorded once for each kind of tensors.

    `compute` takes tensors and returns detached ones. It must do the same for all values of one
    kind (shape, type, layout in memory, device), and keep nothing. What is played back is neither
    Keras nor PyTorch's autograd, but the same kernels in the same order, the backward pass included
    where `compute` asks for gradients: to the same bits, but for the matrix products that oneDNN
    takes over.
    """
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    recordings: dict[tuple[Any, ...], Computation] = {}

    def play(*tensors: Tensor) -> tuple[Tensor, ...]:
        kind = tuple((t.shape, t.dtype, t.stride(), t.device) for t in tensors)
        if kind not in recordings:
            graph = make_fx(compute)(*tensors)
            if _has_onednn():
                _multiply_by_onednn(graph.graph)
            graph.graph.eliminate_dead_code()
            graph.recompile()
            recordings[kind] = graph.forward
        with torch.no_grad():
            return recordings[kind](*tensors)

    return play


def _has_onednn() -> bool:
    import torch

    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _multiply_by_onednn(graph: Any) -> None:
    """Have oneDNN compute the float32 products of two matrices on a CPU, as the convolutions.

    PyTorch gives them to MKL, which on processors of other makers than its own takes twice as long
    (`benchmarks/README.md`). The operation is one of PyTorch's own, which its compiler calls for
    linear layers: it multiplies by its second argument transposed.
    """
    import torch

    for node in _products(graph):
        *bias, first, second = node.args
        with graph.inserting_before(node):
            transposed = graph.call_function(torch.ops.aten.t.default, (second,))
            faster = graph.call_function(
                torch.ops.mkldnn._linear_pointwise.default,
                (first, transposed, *(bias or [None]), "none", [], ""),
            )
        node.replace_all_uses_with(faster)
        graph.erase_node(node)


def _products(graph: Any) -> Iterator[Any]:
    """Yield the float32 products on a CPU, with nothing or a row of numbers added."""
    import torch

    for target in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
        for node in graph.find_nodes(op="call_function", target=target):
            product, (*bias, _, _) = node.meta["val"], node.args
            is_float32 = (product.dtype, product.device.type) == (torch.float32, "cpu")
            if is_float32 and not node.kwargs and all(b.meta["val"].ndim == 1 for b in bias):
                yield node
