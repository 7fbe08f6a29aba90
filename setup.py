"""The compiled parts, and nothing else: metadata and tools live in pyproject.toml.

fastpath/*.c becomes one static library, each fastpath_ext/*.pyx one extension linked with it.
The environment variable SOTTO_PROFILE chooses how: release (the default), debug, sanitize, coverage.
SOTTO_WHEEL=1 (tools/wheel.sh) builds for every Python from 3.11 on, by its limited interface.
web/dist becomes the package's `control/page`: what `sotto serve` hands out.
"""

import os
import shutil
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_py import build_py

SANITIZE = ["-fsanitize=address,undefined"]
PROFILES = {
    "release": {"cflags": ["-O3", "-g"], "ldflags": [], "directives": {}},
    "debug": {"cflags": ["-O0", "-g3"], "ldflags": [], "directives": {"boundscheck": True}},
    "sanitize": {
        "cflags": ["-O1", "-g", *SANITIZE, "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"],
        "ldflags": SANITIZE,
        "directives": {"boundscheck": True},
    },
    "coverage": {
        "cflags": ["-O0", "-g", "-DCYTHON_TRACE_NOGIL=1", "-DCYTHON_USE_SYS_MONITORING=0"],
        "ldflags": [],
        "directives": {"linetrace": True},
    },
}
NAME = os.environ.get("SOTTO_PROFILE", "release")
PROFILE = PROFILES[NAME]
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "nonecheck": False,
    "cdivision": True,
    "embedsignature": True,
    # Both off so that stubtest sees exactly what the .pyi says.
    "auto_pickle": False,
    "autotestdict": False,
    **PROFILE["directives"],
}
CFLAGS = ["-std=gnu11", "-fPIC", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", *PROFILE["cflags"]]
if os.environ.get("SOTTO_WERROR"):
    CFLAGS.append("-Werror")
SOURCES = sorted(glob("fastpath/*.c"))
# tools/build.sh compiles in place and then asks pip only for the `sotto` command.
MODULES = [] if os.environ.get("SOTTO_ALREADY_BUILT") else sorted(glob("fastpath_ext/*.pyx"))
HEADERS = sorted(glob("fastpath/*.h"))

# libipsec-mb encrypts twice to five times as fast as OpenSSL; without it the core uses OpenSSL alone.
INCLUDES = [*os.environ.get("CPATH", "").split(":"), "/usr/include", "/usr/local/include"]
IPSEC_MB = any(os.path.exists(os.path.join(d, "intel-ipsec-mb.h")) for d in INCLUDES if d)
MACROS = [("_GNU_SOURCE", None), *([("SOTTO_HAVE_IPSEC_MB", "1")] if IPSEC_MB else [])]
# Python's limited interface as of 3.11, the oldest that has buffers in it: one wheel for all later ones.
LIMITED = bool(os.environ.get("SOTTO_WHEEL"))
LIMITED_MACROS = [("Py_LIMITED_API", "0x030B0000")] if LIMITED else []
# As plain arguments, because they must follow the static library that needs them.
LIBRARIES = ["-lcrypto", *(["-lIPSec_MB"] if IPSEC_MB else [])]


def extension(name: str) -> Extension:
    return Extension(
        f"fastpath_ext.{name}",
        [f"fastpath_ext/{name}.pyx"],
        # Not -I fastpath: its limits.h would stand before the system's <limits.h>.
        include_dirs=["."],
        define_macros=[*MACROS, *LIMITED_MACROS],
        py_limited_api=LIMITED,
        depends=[*HEADERS, *SOURCES, "setup.py"],
        extra_compile_args=[*CFLAGS, "-idirafter", "fastpath"],
        extra_link_args=[*LIBRARIES, *PROFILE["ldflags"]],
    )


class BuildPyWithPage(build_py):
    """The browser client lies outside of the packages while it is developed, and in one when installed."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode and os.path.isfile("web/dist/index.html"):
            target = Path(self.build_lib, "control", "page")
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree("web/dist", target)


setup(
    cmdclass={"build_py": BuildPyWithPage},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED else {},
    libraries=[
        (
            "fastpath",
            {
                "sources": SOURCES,
                "obj_deps": {"": [*HEADERS, "setup.py"]},
                "macros": MACROS,
                "cflags": CFLAGS,
            },
        )
    ]
    if MODULES
    else [],
    ext_modules=cythonize(
        [extension(Path(source).stem) for source in MODULES],
        compiler_directives=DIRECTIVES,
        # Coverage looks for the generated C beside the .pyx.
        build_dir=None if NAME == "coverage" else "build/cython",
    ),
)
