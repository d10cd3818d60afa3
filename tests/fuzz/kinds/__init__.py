"""The kinds of input: one file per kind, with a `KIND`, or several in `KINDS`."""

from tests.fuzz.inputs import Kind
from tests.fuzz.kinds import (
    arguments,
    class_names,
    csv,
    folders,
    h5,
    idx,
    idx_names,
    images,
    mat,
    models,
    npy,
    npz,
    parquet,
    runs,
    settings,
)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        idx.KIND,
        idx_names.KIND,
        npz.KIND,
        npy.KIND,
        csv.KIND,
        mat.KIND,
        h5.KIND,
        parquet.KIND,
        folders.KIND,
        class_names.KIND,
        images.KIND,
        *models.KINDS,
        *runs.KINDS,
        settings.KIND,
        arguments.KIND,
    )
}
