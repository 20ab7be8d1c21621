"""Builds with some of the SIMD variants: each module is found where it is, whatever was built.

setup.py is executed without compiling anything; its modules are empty files of a package with the
`simd` of the library, on a processor that runs some of the variants.
"""

import importlib
import os
import runpy
import shutil
import sys
from importlib.machinery import EXTENSION_SUFFIXES

import pytest
from support import TESTS

KERNELS = TESTS.parent / "matconv" / "kernels"
ALL = ("avx512", "avx2", "baseline")
# what MATCONV_BUILD_VARIANTS is set to
CHOICES = {
    None: {"avx2", "avx512"},
    "avx2,avx512": {"avx2", "avx512"},
    "avx512,avx2": {"avx2", "avx512"},
    "avx2": {"avx2"},
    "avx512": {"avx512"},
    "": set(),
}


@pytest.fixture
def extensions(tmp_path, monkeypatch):
    """Function that returns what setup.py would compile, {variant: {module: flags}}."""
    sources = tmp_path / "matconv" / "kernels"
    sources.mkdir(parents=True)
    for path in [*KERNELS.glob("*.pyx"), KERNELS / "toom_cook.py"]:
        shutil.copy(path, sources)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("Cython.Build.cythonize", lambda extensions, **options: extensions)

    def list_extensions(chosen):
        given = {}
        monkeypatch.setattr("setuptools.setup", given.update)
        if chosen is None:
            monkeypatch.delenv("MATCONV_BUILD_VARIANTS", raising=False)
        else:
            monkeypatch.setenv("MATCONV_BUILD_VARIANTS", chosen)
        runpy.run_path(str(TESTS.parent / "setup.py"))
        found = {"baseline": {}}
        for one in given["ext_modules"]:
            *folder, module = one.name.removeprefix("matconv.kernels.").split(".")
            found.setdefault("".join(folder) or "baseline", {})[module] = one.extra_compile_args
        return found

    return list_extensions


@pytest.fixture
def selected(tmp_path, monkeypatch):
    """Function that returns `simd` of a package with these modules, on a processor."""

    def select(modules, supported, simd=None):
        name = f"kernels_{len(os.listdir(tmp_path))}"
        package = tmp_path / name
        for variant in ALL:
            folder = package / variant.replace("baseline", "")
            folder.mkdir(parents=True, exist_ok=True)
            for module in modules.get(variant, {}).keys() - {"cpu"}:
                (folder / f"{module}{EXTENSION_SUFFIXES[0]}").touch()
        (package / "cpu.py").write_text(f"def variants():\n    return {supported}\n")
        shutil.copy(KERNELS / "simd.py", package)
        monkeypatch.setenv("MATCONV_SIMD", simd or "")
        monkeypatch.syspath_prepend(tmp_path)
        try:
            return importlib.import_module(f"{name}.simd")
        finally:
            for module in [one for one in sys.modules if one.partition(".")[0] == name]:
                del sys.modules[module]

    return select


def place(simd, module):
    """The variant of the file that is imported for a module."""
    for folder in [*simd.path, simd._FOLDER]:
        if os.path.exists(os.path.join(folder, module + EXTENSION_SUFFIXES[0])):
            return "baseline" if folder == simd._FOLDER else os.path.basename(folder)
    raise AssertionError(module)


@pytest.mark.parametrize("chosen", CHOICES, ids=repr)
def test_build_has_the_chosen_variants_of_every_module_with_loops(chosen, extensions):
    found, variants = extensions(chosen), CHOICES[chosen]
    assert found.keys() == {"baseline", *variants}
    assert found["baseline"].keys() == {path.stem for path in KERNELS.glob("*.pyx")}
    loops = extensions("avx2")["avx2"].keys()
    assert {"_conv_offsets", "_lrn", "_winograd"} <= loops < found["baseline"].keys()
    for variant in variants:
        # the one module without a variant for AVX-512 has that for AVX2, or it has one
        left_out = {"_lrn"} if variant == "avx512" and "avx2" in variants else set()
        assert found[variant].keys() == loops - left_out
        if sys.platform != "win32":
            march = {"avx2": "-march=x86-64-v3", "avx512": "-march=x86-64-v4"}[variant]
            assert all(march in flags for flags in found[variant].values())
    assert not any("-march" in flag for flags in found["baseline"].values() for flag in flags)


@pytest.mark.parametrize("chosen", CHOICES, ids=repr)
@pytest.mark.parametrize("supported", [ALL, ALL[1:], ALL[2:]], ids=lambda x: x[0])
def test_module_is_that_of_the_best_variant_built_that_runs(
    supported, chosen, extensions, selected
):
    found = extensions(chosen)
    simd = selected(found, supported)
    usable = [name for name in supported if name in {"baseline", *CHOICES[chosen]}]
    assert (simd.usable, simd.variant) == (usable, usable[0])
    for module in found["baseline"].keys() - {"cpu"}:
        having = [name for name in usable if module in found[name]]
        assert place(simd, module) == having[0]
    # also where another one is asked for
    for name in usable:
        simd = selected(found, supported, name)
        rest = usable[usable.index(name) :]
        assert simd.variant == name
        assert place(simd, "_lrn") == next(one for one in rest if "_lrn" in found[one])


def test_variant_that_is_not_built_is_refused(extensions, selected):
    found = extensions("avx512")
    with pytest.raises(ImportError, match="MATCONV_SIMD is 'avx2', expected one of avx512, base"):
        selected(found, ALL, "avx2")


def test_unknown_build_variant_is_refused(extensions):
    with pytest.raises(SystemExit) as caught:
        extensions("avx2,sse9")
    assert str(caught.value) == (
        "MATCONV_BUILD_VARIANTS: expected some of avx2, avx512, got ['avx2', 'sse9']"
    )
