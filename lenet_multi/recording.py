"""A computation of PyTorch recorded as the list of its kernels, with faster matrix products."""

from collections.abc import Callable, Iterator
from typing import Any

Tensor = Any  # PyTorch's

Computation = Callable[..., tuple[Tensor, ...]]
Layout = tuple[tuple[int, ...], tuple[int, ...], int]


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
        kind = tuple((_layout(t), t.dtype, t.device) for t in tensors)
        if kind not in recordings:
            graph = make_fx(compute)(*tensors)
            if _has_onednn():
                _multiply_by_onednn(graph.graph)
            with torch.no_grad():
                _view_at_once(graph, tensors)
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
    linear layers: it multiplies by its second argument transposed. A batch of one product, as
    which PyTorch computes an einsum of two matrices, is one.
    """
    import torch

    aten = torch.ops.aten
    for node in _products(graph):
        *bias, first, second = node.args
        is_batch = node.target is aten.bmm.default
        with graph.inserting_before(node):
            if is_batch:
                first, second = (graph.call_function(aten.select.int, (m, 0, 0)) for m in node.args)
            transposed = graph.call_function(aten.t.default, (second,))
            faster = graph.call_function(
                torch.ops.mkldnn._linear_pointwise.default,
                (first, transposed, *(bias or [None]), "none", [], ""),
            )
            if is_batch:
                faster = graph.call_function(aten.unsqueeze.default, (faster, 0))
        node.replace_all_uses_with(faster)
        graph.erase_node(node)


def _products(graph: Any) -> Iterator[Any]:
    """Yield the float32 products on a CPU, with nothing or a row of numbers added."""
    import torch

    aten = torch.ops.aten
    for target in (aten.mm.default, aten.addmm.default, aten.bmm.default):
        for node in graph.find_nodes(op="call_function", target=target):
            product, (*bias, _, _) = node.meta["val"], node.args
            is_float32 = (product.dtype, product.device.type) == (torch.float32, "cpu")
            is_one = product.ndim == 2 or len(product) == 1
            adds_row = all(added.meta["val"].ndim == 1 for added in bias)
            if is_float32 and is_one and adds_row and not node.kwargs:
                yield node


def _view_at_once(module: Any, tensors: tuple[Tensor, ...]) -> None:
    """Replace each view of views, half of a recording, by one view of what they look at.

    A view computes nothing, but is called as a kernel is. What lies where is known by running the
    recording `module` once, on `tensors`: it is the same for all of their kind. Views as another
    type stay as they are.
    """
    import torch

    types: dict[Any, Any] = {}  # by node
    layouts: dict[Any, Layout] = {}

    class Run(torch.fx.Interpreter):  # type: ignore[misc]  # torch is not read
        def run_node(self, node: Any) -> Any:
            found = super().run_node(node)
            if isinstance(found, torch.Tensor):
                types[node], layouts[node] = found.dtype, _layout(found)
            return found

    Run(module).run(*tensors)
    for node in module.graph.nodes:
        base = node
        while _is_view(base):
            base = base.args[0]
        if base is node or types[base] != types[node]:
            continue
        if layouts[base] == layouts[node]:
            node.replace_all_uses_with(base)
        elif base is not node.args[0]:
            with module.graph.inserting_before(node):
                view = (base, *layouts[node])
                at_once = module.graph.call_function(torch.ops.aten.as_strided.default, view)
            node.replace_all_uses_with(at_once)


def _is_view(node: Any) -> bool:
    """Return whether a node gives another look at its first argument, nothing computed."""
    if getattr(node.target, "namespace", "") != "aten":
        return False
    returns = node.target._schema.returns
    if len(returns) != 1 or str(returns[0].type) != "Tensor":
        return False
    alias = returns[0].alias_info
    return alias is not None and not alias.is_write


def _layout(tensor: Tensor) -> Layout:
    """Return where a tensor's numbers lie in memory: shape, strides, the first one's place."""
    return tuple(tensor.shape), tensor.stride(), tensor.storage_offset()
