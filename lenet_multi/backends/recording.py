"""Record a PyTorch computation as a list of its kernels, with faster matrix products."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from lenet_multi.backends import private
from lenet_multi.backends.unfit import UnfitError
from lenet_multi.errors import named_reason

Tensor = Any  # PyTorch's

Computation = Callable[..., tuple[Tensor, ...]]

# Recording takes a second, and a replay saves milliseconds.
_MOST_KINDS = 8


class ManyKindsError(UnfitError):
    """The tensors have other shapes than all recorded ones, and no more are recorded."""


def recorded(compute: Computation, *held: Tensor) -> Computation:
    """Trace `compute` once per input signature; return a function that replays its kernels.

    `compute` takes tensors, then the `held` ones, and returns detached tensors. It may change
    tensors in place but keep no other state, and must run the same operations for all values of a
    signature (shape, strides, dtype, device). A replay runs no Keras, autograd or Python: only the
    same kernels in the same order, with the backward pass if `compute` asks for gradients. Its bits
    are the same, except for the matrix products that oneDNN takes over. Raises `UnfitError`
    for a computation that no recording holds, and `ManyKindsError` for one signature too many.
    """
    import torch

    recordings: dict[tuple[Any, ...], Computation] = {}

    def play(*tensors: Tensor) -> tuple[Tensor, ...]:
        kind = tuple((t.shape, t.stride(), t.dtype, t.device) for t in tensors)
        if kind not in recordings:
            if len(recordings) == _MOST_KINDS:
                raise ManyKindsError
            graph = _traced(compute, *tensors, *held)
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


def _traced(compute: Computation, *tensors: Tensor) -> Any:
    """Return the kernels that `compute` calls, as a `torch.fx` module.

    A recording may draw from PyTorch's own generator: each replay then draws the next numbers.
    """
    import torch

    make_fx = private.find(private.MAKE_FX)
    try:
        with torch.random.fork_rng():  # tracing computes: the first replay draws these numbers
            graph = make_fx(compute)(*map(_copy, tensors))  # ... and changes its tensors
    except UnfitError:
        raise
    except Exception as error:
        if "data-dependent control flow" in str(error):
            raise UnfitError(
                "Python reads values in its step, as dropout with a seed does"
            ) from error
        raise UnfitError(f"PyTorch cannot record its step ({named_reason(error)})") from error
    given = (value for node in graph.graph.nodes for value in (*node.args, *node.kwargs.values()))
    if any(isinstance(value, torch.Generator) for value in given):
        raise UnfitError("its step has a random generator of its own, as dropout with a seed")
    return graph


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def _multiply_by_onednn(graph: Any, multiply: Any) -> None:
    """Make oneDNN compute float32 products of two matrices on a CPU, as it does convolutions.

    PyTorch uses MKL, which takes twice as long on other processors than Intel's
    (`benchmarks/README.md`). PyTorch's compiler calls `multiply` for linear layers: it multiplies
    by its second argument transposed.
    """
    import torch

    aten = torch.ops.aten
    for target in (aten.mm.default, aten.addmm.default):
        for node in graph.find_nodes(op="call_function", target=target):
            product, (*bias, first, second) = node.meta["val"], node.args
            is_float32 = (product.dtype, product.device.type) == (torch.float32, "cpu")
            adds_row = all(added.meta["val"].ndim == 1 for added in bias)
            if node.kwargs or not (is_float32 and adds_row):
                continue
            with graph.inserting_before(node):
                transposed = graph.call_function(aten.t.default, (second,))
                arguments = (first, transposed, *(bias or [None]), "none", [], "")
                faster = graph.call_function(multiply, arguments)
            node.replace_all_uses_with(faster)
            graph.erase_node(node)


def _add_slices_in_place(graph: Any) -> None:
    """Add the gradients of overlapping slices in place, without padding each with zeros.

    Autograd pads each slice's gradient to the whole size, and adds these: three slices take three
    tensors of zeros and two sums. In place the numbers are the same, except for a zero's sign.
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
        is_one = places.isdisjoint(other.users)  # not a sum in place already
        if is_one and size == whole.args[1] and set(whole.users) - places == {node}:
            with graph.inserting_before(node):
                place = graph.call_function(aten.slice.Tensor, (whole, *where))
                graph.call_function(aten.add_.Tensor, (place, gradient))
            places.add(place)
            node.replace_all_uses_with(whole)
            graph.erase_node(node)


def _at_once(recording: Any, given: Sequence[Tensor], held: Sequence[Tensor]) -> Computation:
    """Return a function that launches all kernels of a recording as one CUDA graph.

    Launching a kernel takes longer than computing this network's few numbers. A CUDA graph starts
    all of them at once. It keeps the tensors' addresses, so each call copies
    the `given` ones to its places, and clones the results.
    """
    import torch

    with warnings.catch_warnings(action="ignore", category=UserWarning):  # PyTorch's own
        # A CUDA graph cannot hold a constant's copy from the host's memory.
        recording = private.find(private.SPLIT_CONSTANTS)(recording, _is_no_constant, "cuda")
    places = [tensor.detach().clone() for tensor in given]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(stream):  # libraries set themselves up
        recording(*map(_copy, (*places, *held)))  # copies, because it changes them
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Meanwhile Keras's threads may read earlier metrics.
    with torch.no_grad(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        results = recording(*places, *held)

    def play(*tensors: Tensor) -> tuple[Tensor, ...]:
        for place, tensor in zip(places, tensors, strict=False):  # the held ones follow, in place
            place.copy_(tensor, non_blocking=True)
        graph.replay()
        return tuple(result.clone() for result in results)

    play.recording = recording  # type: ignore[attr-defined]  # the graph reads its constants
    return play


def _is_no_constant(node: Any) -> bool:
    """Return whether `node` makes a new tensor, or an operation changes its result in place."""
    makes = node.op == "call_function" and not node.all_input_nodes
    return makes or any(map(_changes_something, node.users))


def _without_python(recording: Any) -> Computation:
    """Return a function that runs a recording (a `torch.fx` module) without Python in between.

    TorchScript's interpreter runs it. PyTorch will drop TorchScript; without it Python calls the
    same kernels, and a step takes 7 % longer (medians of 60 in turn on an otherwise idle machine:
    9.6 and 10.3 ms).
    """
    import torch

    graph = recording.graph
    lists = []
    for node in graph.nodes:
        # TorchScript drops an operation that changes a list's tensors unless the list is returned.
        if _changes_something(node) and isinstance(node.args[0], list):
            with graph.inserting_before(node):
                lists.append(graph.call_function(list, (node.args[0],)))
            node.update_arg(0, lists[-1])
        node.type = None  # `compute`'s type hint, which TorchScript may not know
        node.args = tuple(() if value == [] else value for value in node.args)  # fits any type
        if private.schema_of(node.target):  # TorchScript picks the overload by arguments
            node.target = node.target.overloadpacket
    graph.output_node().args = ((graph.output_node().args[0], lists),)
    recording.recompile()
    with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated
        interpreted = torch.jit.script(recording).forward

    def play(*tensors: Tensor) -> tuple[Tensor, ...]:
        # Its optimizer rounds otherwise, and is no faster: a CPU has nothing to fuse.
        with torch.jit.optimized_execution(False):
            results: tuple[Tensor, ...] = interpreted(*tensors)[0]
        return results

    return play


def _changes_something(node: Any) -> bool:
    schema = private.schema_of(node.target)
    return bool(schema and schema.is_mutable)
