"""Make the pages of the gallery: run every script in gallery/, each a model explained.

`python docs/make_gallery.py FOLDER` writes them into FOLDER, from fixed seeds.
"""

import os
import runpy
import sys
from pathlib import Path

import unrolled  # noqa: F401  (before keras: it selects the JAX backend)

import keras

SCRIPTS = Path(__file__).resolve().parent / "gallery"


def main(out: Path) -> None:
    """Run them one after the other: most of the time goes into the imports."""
    out.mkdir(parents=True, exist_ok=True)
    os.chdir(out)
    for script in sorted(SCRIPTS.glob("*.py")):
        keras.backend.clear_session()  # names do not depend on the scripts before
        keras.utils.set_random_seed(7)
        runpy.run_path(str(script))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
