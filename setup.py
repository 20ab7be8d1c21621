"""Build the kernels: each ``matconv/kernels/*.pyx`` becomes one extension module.

Those with loops become one more for each SIMD variant: the same C with other flags, in a
sub-folder, ``matconv/kernels/avx2/_winograd.*.so``. ``matconv/kernels/simd.py`` chooses among them at
run time. Everything else about the package stands in pyproject.toml.

Environment variables for builds that are not released:

MATCONV_BUILD_DEBUG=1
    With debugging symbols, almost without optimization.
MATCONV_BUILD_SANITIZE=address,undefined
    The same with sanitizers of gcc or clang. Signed integers may not wrap.
MATCONV_BUILD_VARIANTS=avx2
    The SIMD variants to build, separated by commas; none if empty.
"""

import copy
import os
import runpy
import sys
import tempfile
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

SANITIZERS = os.environ.get("MATCONV_BUILD_SANITIZE", "")
LINK_FLAGS = [f"-fsanitize={SANITIZERS}"] if SANITIZERS else []
DEBUG = bool(SANITIZERS or os.environ.get("MATCONV_BUILD_DEBUG"))
if sys.platform == "linux" and not DEBUG:
    LINK_FLAGS = ["-Wl,-s"]  # no symbols of local functions

# No flag changes a result, except that products and sums may be contracted to one operation.
# -fno-trapping-math says only that nobody reads the exception flags; without it the compiler may
# not replace `x if not x <= 0 else 0` by a SIMD mask. The loops that copy a few elements must stay
# loops instead of becoming calls of memcpy.
if sys.platform == "win32":
    FLAGS = ["/O2"]
else:
    FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math"]
    if sys.platform == "linux":
        # without debugging symbols the wheel has a quarter of the size; without procedure linkage
        # tables the modules are three percent smaller
        FLAGS += ["-fno-tree-loop-distribute-patterns", "-g0", "-fno-plt"]
        if not DEBUG:
            FLAGS += ["-fno-asynchronous-unwind-tables"]  # no exception passes through this code
    if DEBUG:
        FLAGS += ["-O1", "-g", "-fno-omit-frame-pointer"]
    if SANITIZERS:
        FLAGS += [*LINK_FLAGS, "-fno-sanitize-recover=undefined", "-fno-wrapv"]
SMALL = ["-Os"]  # three quarters of the size
# loops in SIMD form, but fewer copies of functions and loops than by -O3
PLAIN = [
    "-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic", "-funswitch-loops", "-fpeel-loops",
]  # fmt: skip

# By the names that matconv.kernels.cpu knows. Vectors of 512 bits leave a long scalar rest of the
# 6 or 20 channels that such loops often run over, and are no faster where none is left.
VARIANTS = {
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=256"],
}
if "MATCONV_BUILD_VARIANTS" in os.environ:
    chosen = [name for name in os.environ["MATCONV_BUILD_VARIANTS"].split(",") if name]
    if not VARIANTS.keys() >= {*chosen}:
        sys.exit(f"MATCONV_BUILD_VARIANTS: expected some of {', '.join(VARIANTS)}, got {chosen}")
    VARIANTS = {name: VARIANTS[name] for name in chosen}

# the modules with loops over elements
WITH_VARIANTS = {
    *("_bias_relu", "_columns", "_conv_direct", "_conv_driver", "_conv_im2col", "_conv_offsets"),
    *("_conv_taps", "_im2col", "_lrn", "_operations", "_pool_loops", "_rounded", "_winograd"),
    "sums",
}
# Modules that wait for divisions and square roots, which AVX-512 makes no faster in vectors of 256
# bits: their variant for AVX2 is used.
WITHOUT_AVX512 = {"_lrn"}

# Modules whose loops -O3 copies several times without making them faster: they wait for memory, or
# for divisions and square roots.
WITH_PLAIN_LOOPS = {"_lrn", "_operations"}

# Products and sums are not contracted to one operation in these, so that every loop and variant
# gives the same bits.
UNCONTRACTED = {"sums"}

# what a compiler must understand beside the flags; other processors' compilers do not
PROBE = """\
int main(void) {
    return __builtin_cpu_supports("x86-64-v3") && __builtin_cpu_supports("x86-64-v4");
}
"""

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "embedsignature": True,
    "autotestdict": False,
    "auto_pickle": False,  # classes that can be pickled have a __reduce__ of their own
}


class BuildVariants(build_ext):
    """`build_ext` where the modules of a variant have object files of their own."""

    def build_extensions(self):
        if VARIANTS and self.compiler_knows_variants():
            for extension in self.extensions:
                if extension.name == "matconv.kernels.cpu":
                    extension.define_macros.append(("MATCONV_VARIANTS", None))
                if variant_of(extension) is None and not DEBUG:
                    # the fast loops are in the variants
                    flags = [flag for flag in extension.extra_compile_args if flag not in PLAIN]
                    extension.extra_compile_args = [*flags, *SMALL]
        else:
            print("no SIMD variants are built: baseline only")
            self.extensions[:] = [e for e in self.extensions if variant_of(e) is None]
        super().build_extensions()

    def compiler_knows_variants(self):
        if sys.platform == "win32":
            return False
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(PROBE)
            try:
                for flags in VARIANTS.values():
                    self.compiler.compile([str(source)], folder, extra_postargs=flags)
            except CompileError:
                return False
        return True

    def build_extension(self, ext):
        variant = variant_of(ext)
        if variant is None:
            super().build_extension(ext)
        else:
            # a copy of the command, for several threads build at once
            own = copy.copy(self)
            own.build_temp = os.path.join(self.build_temp, variant)
            build_ext.build_extension(own, ext)

    def copy_extensions_to_source(self):
        for variant in filter(None, map(variant_of, self.extensions)):
            os.makedirs(f"matconv/kernels/{variant}", exist_ok=True)
        super().copy_extensions_to_source()


def variant_of(extension):
    """The variant that an extension belongs to; None for the baseline."""
    folder = extension.name.split(".")[-2]
    return folder if folder in VARIANTS else None


def with_variants(extensions):
    """The extensions, and again for each variant those that have one."""
    yield from extensions
    for variant, flags in VARIANTS.items():
        for extension in extensions:
            package, _, module = extension.name.rpartition(".")
            if variant == "avx512" and module in WITHOUT_AVX512 and "avx2" in VARIANTS:
                continue
            if module in WITH_VARIANTS:
                other = copy.copy(extension)
                other.name = f"{package}.{variant}.{module}"
                other.extra_compile_args = [*extension.extra_compile_args, *flags]
                yield other


def flags_of(path):
    """The flags of one module."""
    if sys.platform == "win32":
        return FLAGS
    if path.stem in UNCONTRACTED:
        return [*FLAGS, "-ffp-contract=off"]
    if path.stem not in WITH_VARIANTS and not DEBUG:
        return [*FLAGS, *SMALL]  # no loops
    if path.stem in WITH_PLAIN_LOOPS and sys.platform == "linux" and not DEBUG:
        return [*FLAGS, *PLAIN]
    return [*FLAGS]


# The loops of Winograd's transforms are written here, from exact rationals; see toom_cook.
GENERATED = Path("build/cython")
GENERATED.mkdir(parents=True, exist_ok=True)
LOOPS = GENERATED / "winograd_loops.h"
loops = runpy.run_path("matconv/kernels/toom_cook.py")["header"]()
if not LOOPS.exists() or LOOPS.read_text(encoding="utf-8") != loops:
    LOOPS.write_text(loops, encoding="utf-8")

extensions = [
    Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        include_dirs=[np.get_include(), str(GENERATED), "include", "matconv/kernels"],
        define_macros=[
            ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
            ("CYTHON_COMPRESS_STRINGS", "0"),  # the wheel compresses them better
        ],
        extra_compile_args=flags_of(path),
        extra_link_args=LINK_FLAGS,
        depends=[
            "setup.py",  # the flags
            *map(str, Path("include").rglob("*.h")),  # the structs
            *map(str, path.parent.glob(f"{path.stem}_*.h")),  # loops in C
        ],
    )
    for path in sorted(Path("matconv/kernels").glob("*.pyx"))
]

setup(
    # the headers stand beside the package in the source, inside it where it is installed; the
    # folders of the SIMD variants are no packages
    packages=[*find_packages(include=["matconv", "matconv.*"]), "matconv.include.matconv"],
    package_dir={"matconv.include.matconv": "include/matconv"},
    package_data={
        "matconv": ["py.typed"],
        "matconv.data": ["*.csv.gz"],
        "matconv.include.matconv": ["*.h"],
        "matconv.kernels": ["*.pxd", "*.pyi"],
    },
    ext_modules=list(
        with_variants(
            cythonize(
                extensions,
                build_dir="build/cython",
                compiler_directives=DIRECTIVES,
                nthreads=0 if sys.platform == "win32" else os.cpu_count() or 1,
            )
        )
    ),
    cmdclass={"build_ext": BuildVariants},
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
