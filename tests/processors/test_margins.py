from tests.processors.margins import smallest


def test_the_smallest_size_that_is_caught_is_found() -> None:
    """Half by half, as long as each is caught."""
    tried = []

    def caught(size: float) -> bool:
        tried.append(size)
        return size > 0.2

    assert smallest(caught, 1.0) == 0.25
    assert tried == [1.0, 0.5, 0.25, 0.125]


def test_what_is_never_caught_has_no_size() -> None:
    """Nor is anything smaller tried."""
    assert smallest(lambda size: False, 1.0) is None


def test_what_is_always_caught_comes_to_an_end() -> None:
    """At what float64 cannot show any more."""
    assert 1e-16 < (smallest(lambda size: True, 1.0) or 0) < 1e-15
