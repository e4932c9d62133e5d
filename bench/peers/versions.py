"""Versions of numpy and FAISS as text, with what decides how fast they are; a module that is missing is left out."""
import ctypes
import json

found = {}
try:
    import numpy

    found["numpy"] = numpy.__version__
except ImportError:
    pass
try:
    import faiss

    text = f"{faiss.__version__} (compiled: {faiss.get_compile_options().strip()}; {faiss.omp_get_max_threads()} threads"
    with open("/proc/self/maps") as maps:
        libraries = {line.split(maxsplit=5)[-1].strip() for line in maps if "openblas" in line}
    engines = set()
    for path in libraries:
        library = ctypes.CDLL(path)
        # Packages rename the functions, so that several copies can be loaded.
        for prefix in ("openblas", "scipy_openblas"):
            for suffix in ("", "64_"):
                try:
                    config = getattr(library, f"{prefix}_get_config{suffix}")
                    threads = getattr(library, f"{prefix}_get_num_threads{suffix}")
                except AttributeError:
                    continue
                config.restype = ctypes.c_char_p
                engines.add(f"{config().decode()}, {threads()} threads")
    found["faiss"] = "; ".join([text, *sorted(engines)]) + ")"
except ImportError:
    pass
print(json.dumps(found))
