"""A computation of PyTorch recorded as the list of its kernels, with faster matrix products."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from lenet_multi.backends import private

Tensor = Any  # PyTorch's

Computation = Callable[..., tuple[Tensor, ...]]


def recorded(compute: Computation, *held: Tensor) -> Computation:
    """Return `compute` as the operations that it comes to, recorded once for each kind of tensors.

    `compute` takes tensors, after them those that are `held`, and returns detached ones. It may
    change tensors in place and keep nothing else. It must do the same for all values of one kind
    (shape, type, layout in memory, device). What is played back is neither Keras nor PyTorch's
    autograd nor Python, but the same kernels in the same order, the backward pass included where
    `compute` asks for gradients: to the same bits, but for the matrix products that oneDNN takes
    over.
    """
    import torch

    make_fx = private.find(private.MAKE_FX)
    recordings: dict[tuple[Any, ...], Computation] = {}

    def play(*tensors: Tensor) -> tuple[Tensor, ...]:
        kind = tuple((t.shape, t.stride(), t.dtype, t.device) for t in tensors)
        if kind not in recordings:
            copies = map(_copy, (*tensors, *held))  # for it computes too, and changes them
            graph = make_fx(compute)(*copies)
            if multiply := private.onednn_product():
                _multiply_by_onednn(graph.graph, multiply)
            _add_slices_in_place(graph.graph)
            graph.graph.eliminate_dead_code()
            graph.recompile()
            if held and all(tensor.is_cuda for tensor in (*tensors, *held)):
                recordings[kind] = _at_once(graph, tensors, held)
            elif hasattr(torch.jit, "script"):
                recordings[kind] = _without_python(graph)
            else:
                recordings[kind] = graph.forward
        with torch.no_grad():
            return recordings[kind](*tensors, *held)

    return play


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def _multiply_by_onednn(graph: Any, multiply: Any) -> None:
    """Have oneDNN compute the float32 products of two matrices on a CPU, as the convolutions.

    PyTorch gives them to MKL, which on processors of other makers than its own takes twice as long
    (`benchmarks/README.md`). The operation `multiply` is one of PyTorch's own, which its compiler
    calls for linear layers: it multiplies by its second argument transposed.
    """
    import torch

    aten = torch.ops.aten
    of_two, with_sum = (
        graph.find_nodes(op="call_function", target=target)
        for target in (aten.mm.default, aten.addmm.default)
    )
    for node in (*of_two, *with_sum):
        product, (*bias, first, second) = node.meta["val"], node.args
        is_float32 = (product.dtype, product.device.type) == (torch.float32, "cpu")
        adds_row = all(added.meta["val"].ndim == 1 for added in bias)
        if node.kwargs or not (is_float32 and adds_row):
            continue
        with graph.inserting_before(node):
            transposed = graph.call_function(aten.t.default, (second,))
            faster = graph.call_function(
                multiply,
                (first, transposed, *(bias or [None]), "none", [], ""),
            )
        node.replace_all_uses_with(faster)
        graph.erase_node(node)


def _add_slices_in_place(graph: Any) -> None:
    """Have the gradients of overlapping slices added where they lie, not each padded with zeros.

    Autograd pads the gradient of a slice to the size of what was sliced, and adds what it has
    padded: of three slices three tensors of zeros, and two sums. In place it comes to the same
    numbers, a zero's sign excepted.
    """
    import torch

    aten = torch.ops.aten
    padded = set(graph.find_nodes(op="call_function", target=aten.slice_backward.default))
    places: set[Any] = set()
    for node in graph.find_nodes(op="call_function", target=aten.add.Tensor):
        whole, other = node.args
        if node.kwargs or not {whole, other} <= padded:
            continue
        gradient, size, *where = other.args
        is_one = places.isdisjoint(other.users)  # and not itself a sum by now
        if is_one and size == whole.args[1] and set(whole.users) - places == {node}:
            with graph.inserting_before(node):
                place = graph.call_function(aten.slice.Tensor, (whole, *where))
                graph.call_function(aten.add_.Tensor, (place, gradient))
            places.add(place)
            node.replace_all_uses_with(whole)
            graph.erase_node(node)


def _at_once(recording: Any, given: Sequence[Tensor], held: Sequence[Tensor]) -> Computation:
    """Return what a recording computes on a CUDA device as one launch of all its kernels.

    Of each of them a launch takes longer than this network's few numbers do. CUDA keeps the list
    of what a stream is given, and starts all of it at once; where tensors lie in memory is part of
    that list, so that those `given` are copied to places of its own, and what comes out is copied
    from there.
    """
    import torch

    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of its own
        # A constant's copy from the host's memory cannot be on that list.
        recording = private.find(private.SPLIT_CONSTANTS)(recording, _is_no_constant, "cuda")
    places = [tensor.detach().clone() for tensor in given]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(stream):  # in which libraries make what they need
        recording(*map(_copy, (*places, *held)))  # copies, for it changes them
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Keras's threads may look at earlier figures meanwhile.
    with torch.no_grad(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        results = recording(*places, *held)

    def play(*tensors: Tensor) -> tuple[Tensor, ...]:
        for place, tensor in zip(places, tensors, strict=False):  # those that are held follow
            place.copy_(tensor, non_blocking=True)
        graph.replay()
        return tuple(result.clone() for result in results)

    play.recording = recording  # type: ignore[attr-defined]  # whose constants CUDA's list reads
    return play


def _is_no_constant(node: Any) -> bool:
    """Return whether `node` makes something new, or something that an operation on it changes."""
    makes = node.op == "call_function" and not node.all_input_nodes
    return makes or any(map(_changes_something, node.users))


def _without_python(recording: Any) -> Computation:
    """Return what a recording (a module of `torch.fx`) computes, called without Python between.

    PyTorch has an interpreter of its own for this, that of TorchScript. It is on its way out of
    PyTorch. Where it is missing, Python calls the same kernels, and a step takes 7 % longer (9.6 ms
    and 10.3, the medians of 60 in turn, on an otherwise idle machine).
    """
    import torch

    graph = recording.graph
    lists = []
    for node in graph.nodes:
        # An operation that changes a list's tensors is left out unless somebody sees the list.
        if _changes_something(node) and isinstance(node.args[0], list):
            with graph.inserting_before(node):
                lists.append(graph.call_function(list, (node.args[0],)))
            node.update_arg(0, lists[-1])
        node.type = None  # a hint of `compute`'s, which TorchScript may not know
        node.args = tuple(() if value == [] else value for value in node.args)  # fits any type
        if private.schema_of(node.target):  # TorchScript finds the overload by its arguments
            node.target = node.target.overloadpacket
    graph.output_node().args = ((graph.output_node().args[0], lists),)
    recording.recompile()
    with warnings.catch_warnings(action="ignore"):  # that it is deprecated
        interpreted = torch.jit.script(recording).forward

    def play(*tensors: Tensor) -> tuple[Tensor, ...]:
        # Its optimizer would round otherwise, and is no faster with nothing to fuse on a CPU.
        with torch.jit.optimized_execution(False):
            results: tuple[Tensor, ...] = interpreted(*tensors)[0]
        return results

    return play


def _changes_something(node: Any) -> bool:
    schema = private.schema_of(node.target)
    return bool(schema and schema.is_mutable)
