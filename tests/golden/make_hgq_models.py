"""Small models of HGQ2 as `.keras` files with their own predictions, to compare with.

    PYTHON tests/golden/make_hgq_models.py tests/golden/hgq_models

where PYTHON has hgq2 0.2.0. The networks are those of make_hgq_ebops.py, a width for each value.
"""

import sys
from pathlib import Path

import keras
import numpy as np
from make_hgq_ebops import dense, draw, line

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for make in (dense, line):
        random = np.random.default_rng(3)
        model = make("weight")
        draw(model, random)
        x = random.normal(0, 1, (60, *model.input_shape[1:])).astype(np.float32)
        from hgq.utils import trace_minmax

        trace_minmax(model, x, verbose=False)
        model.save(folder / f"{make.__name__}.keras")
        np.savez_compressed(folder / f"{make.__name__}.npz", x=x, y=keras.ops.convert_to_numpy(model(x)))
        print(make.__name__)
