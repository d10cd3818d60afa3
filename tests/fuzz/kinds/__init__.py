"""The kinds of input: one file per kind, with a `KIND`, or several in `KINDS`."""

from tests.fuzz.inputs import Kind
from tests.fuzz.kinds import arguments, idx, images, models, npz, runs, settings

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        idx.KIND,
        npz.KIND,
        images.KIND,
        *models.KINDS,
        *runs.KINDS,
        settings.KIND,
        arguments.KIND,
    )
}
