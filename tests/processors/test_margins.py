from tests.processors.margins import smallest


def test_the_smallest_size_that_is_caught_is_found() -> None:
    """Each trial is a tenth of the last one, as long as that one was caught."""
    tried = []

    def caught(size: float) -> bool:
        tried.append(size)
        return size > 0.005

    assert smallest(caught, 1.0) == 0.01
    assert tried == [1.0, 0.1, 0.01, 0.001]


def test_what_is_never_caught_has_no_size() -> None:
    """If the first size is not caught, there is no size and no smaller trial."""
    assert smallest(lambda size: False, 1.0) is None


def test_what_is_always_caught_comes_to_an_end() -> None:
    """If every size is caught, the trials end where float64 shows nothing more."""
    assert 1e-16 < (smallest(lambda size: True, 1.0) or 0) < 2e-15
