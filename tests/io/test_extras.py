"""Formats that need a package that may be missing: the error names the extra of matconv."""

import sys

import numpy as np
import pytest
from PIL import Image
from support.cli_runs import complaint
from support.matlab_contents import SIMPLE
from support.matlab_files import save5, save73

from matconv import Dense, Network, load_model, save_model
from matconv.io import read_picture

MATLAB = "h5py is needed for MATLAB files of version 7.3: pip install 'matconv[matlab]'"
IMAGES = "Pillow is needed for PNG and JPEG files: pip install 'matconv[images]'"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files in the current folder; h5py and Pillow cannot be imported afterwards."""
    monkeypatch.chdir(tmp_path)
    save73("net73.mat", SIMPLE)
    save5("net5.mat", SIMPLE)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save("p.png")
    net = Network((5, 5, 1), [Dense(3)])
    save_model("m.npz", net, net.init(0))
    for name in ("h5py", "PIL"):
        monkeypatch.setitem(sys.modules, name, None)


def test_load_model_without_h5py_names_the_extra(files):
    with pytest.raises(ImportError) as caught:
        load_model("net73.mat")
    assert str(caught.value) == MATLAB
    assert load_model("net5.mat").network.n == 10


def test_read_picture_without_pillow_names_the_extra(files):
    with pytest.raises(ImportError) as caught:
        read_picture("p.png")
    assert str(caught.value) == IMAGES


def test_commands_without_extras_name_them_in_one_line(files, capsys):
    for command in (["info", "net73.mat"], ["convert", "net73.mat", "b.npz"]):
        assert complaint(capsys, *command, status=1) == MATLAB
    for command in (["predict", "m.npz", "--data", "p.png"], ["predict", "m.npz", "--data", "."]):
        assert complaint(capsys, *command, status=1) == IMAGES
