"""Small models in MATLAB files: a SimpleNN and a DagNN of MatConvNet, a model of simpleNN."""

import numpy as np

from .matlab_files import Structs

RANDOM = np.random.default_rng(0)
SIMPLE = {
    "net": {
        "layers": [
            {
                "type": "conv",
                "weights": [RANDOM.standard_normal((2, 2, 1, 2)), np.zeros((1, 2))],
                "pad": np.array([0.0, 1, 0, 1]),
            },
            {"type": "relu", "name": "r"},
            {"type": "pool", "pool": 2.0, "method": "max", "stride": 2.0},
        ],
        "meta": {
            "inputSize": np.array([5.0, 5, 1]),
            "normalization": {"imageSize": np.array([5.0, 5, 1]), "averageImage": np.ones((5, 5))},
        },
    }
}
DAG = {
    "net": {
        "vars": Structs([{"name": "x"}, {"name": "y"}]),
        "params": Structs([{"name": "f", "value": RANDOM.standard_normal((2, 2, 1, 2))}]),
        "layers": Structs(
            {
                "name": output,
                "type": f"dagnn.{kind}",
                "inputs": inputs,
                "outputs": [output],
                "params": params,
                "block": {"pad": 1.0},
            }
            for kind, inputs, output, params in (
                ("Conv", ["x"], "y", ["f"]),
                ("Conv", ["x"], "z", ["f"]),
                ("Sum", ["y", "z"], "w", []),
            )
        ),
        "meta": {"inputs": Structs([{"name": "x", "size": np.array([5.0, 5, 1])}])},
    }
}
MODEL = {
    "model": {
        "net_config": {
            "L": 1.0,
            "LC": 0.0,
            "LF": 1.0,
            "wd_input": 2.0,
            "ht_input": 2.0,
            "ch_input": 1.0,
            "wd_pad_added": np.empty((0, 0)),
            "wd_filter": np.empty((0, 0)),
            "strides": np.empty((0, 0)),
            "wd_subimage_pool": np.empty((0, 0)),
            "full_neurons": 3.0,
        },
        "weight": [RANDOM.standard_normal((3, 4))],
        "bias": [RANDOM.standard_normal((3, 1))],
        "matconv": {
            "preprocessing": '{"shift":1,"scale":0.5,"transpose":true,"mean":[3]}',
            "labels": ["cat", "cow", "dog"],
        },
    }
}
CONTENTS = {"simple": SIMPLE, "dag": DAG, "simplenn": MODEL}
