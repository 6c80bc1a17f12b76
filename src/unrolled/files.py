"""Files of others: what they say they hold is read, and limited, before it is."""

import contextlib
import json
import math
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 2 << 30  # bytes, of a sample or of a model's weights


def check_size(what: str, size: int) -> None:
    """Raise a ValueError if `what` says that it holds more bytes than are read."""
    if size > LIMIT:
        raise ValueError(
            f"{what} says that it holds {size:,} bytes, and at most {LIMIT:,} are read"
        )


def read_sample(path: Path) -> Any:
    """An array from a .npy file, or a dict of arrays from a .npz file.

    Raises:
        Exception: of any kind, if the file is damaged.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            check_size("it", _declared(file))
        return np.load(path, allow_pickle=False)
    with zipfile.ZipFile(path) as archive:
        size = 0
        for name in archive.namelist():
            with archive.open(name) as file:
                size += _declared(file)
    check_size("it", size)
    with np.load(path, allow_pickle=False) as loaded:
        arrays = {key: loaded[key] for key in loaded.files}
    if not arrays:
        raise ValueError("it holds no array")
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def _declared(file: Any) -> int:
    """Bytes of the array that a .npy header announces."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_2_0
    if version == (1, 0):
        read = np.lib.format.read_array_header_1_0
    shape, _, dtype = read(file)
    return math.prod(shape) * dtype.itemsize


def check_model(path: Path, classes: dict[str, Any] | None) -> None:
    """Raise a ValueError if a model file declares more than is read."""
    import h5py

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for part in archive.infolist():
                check_size(part.filename, part.file_size)
            config = archive.read("config.json").decode()
            for name in archive.namelist():
                if name.endswith(".h5"):
                    with archive.open(name) as file, h5py.File(file, "r") as weights:
                        check_size(name, _datasets(weights))
    else:
        with h5py.File(path, "r") as weights:
            check_size("it", _datasets(weights))
            config = weights.attrs.get("model_config", "{}")
    check_size("its configuration", _weights(json.loads(config), classes))


def _datasets(file: Any) -> int:
    """Bytes that the arrays of an HDF5 file announce; one may store none of them."""
    sizes = [0]

    def visit(_: str, item: Any) -> None:
        if hasattr(item, "shape"):
            sizes.append(math.prod(item.shape or ()) * item.dtype.itemsize)

    file.visititems(visit)
    return sum(sizes)


def _weights(config: Any, classes: dict[str, Any] | None) -> int:
    """Bytes of the weights of a model so configured; none of them is made."""
    import keras

    try:
        with keras.StatelessScope(initialize_variables=False):
            model: Any = keras.saving.deserialize_keras_object(config, classes)
        return sum(4 * math.prod(map(int, v.shape)) for v in model.variables)
    except (
        Exception
    ):  # what cannot be made so is read as it is, and fails there by name
        return 0
    finally:
        keras.utils.clear_session(free_memory=False)  # they wait to be made


@contextlib.contextmanager
def as_keras_names_it(path: Path) -> Iterator[Path]:
    """The file under a name that Keras knows: it takes suffixes in small letters."""
    if path.suffix == path.suffix.lower():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"model{path.suffix.lower()}"
        link.symlink_to(path.resolve())
        yield link
