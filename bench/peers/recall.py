"""
recall@10 of index files over one array, with two kinds of queries: rows of the collection drawn by a fixed seed, each
without itself, and rows of another file that is in no collection. The truth is a complete scan by FAISS.

recall.py ARRAY COUNT HELD_OUT NPROBE,... INDEX... -> JSON, one entry an index and nprobe. COUNT: rows of the collection,
may be 0; all of HELD_OUT are asked. nprobe 0: the one that the index stores.
"""
import json
import sys

import faiss
import numpy as np

K = 10
BLOCK = 100_000

vectors = np.load(sys.argv[1], mmap_mode="r")
count, held_out, nprobes, paths = int(sys.argv[2]), np.load(sys.argv[3]), sys.argv[4], sys.argv[5:]
own = np.sort(np.random.default_rng(20240501).choice(len(vectors), min(count, len(vectors)), replace=False))
queries = np.vstack([vectors[own], held_out]).astype("f4")
# One more than is asked for, since a row of the collection finds itself.
best = np.full((len(queries), K + 1), np.inf, "f4")
truth = np.full((len(queries), K + 1), -1, "i8")
for start in range(0, len(vectors), BLOCK):
    exact = faiss.IndexFlatL2(vectors.shape[1])
    exact.add(np.array(vectors[start : start + BLOCK], "f4"))
    distances, found = exact.search(queries, K + 1)
    best = np.hstack([best, distances])
    truth = np.hstack([truth, found + start])
    order = np.argsort(best, axis=1, kind="stable")[:, : K + 1]
    best = np.take_along_axis(best, order, 1)
    truth = np.take_along_axis(truth, order, 1)


def first(ids, query):
    """The ten nearest, without the query itself where it is a row."""
    itself = own[query] if query < len(own) else -1
    return {i for i in [i for i in ids if i != itself][:K] if i >= 0}


report = []
for path in paths:
    index = faiss.read_index(path)
    stored = getattr(index, "nprobe", 0)
    for nprobe in [int(text) or stored for text in nprobes.split(",")]:
        if nprobe > 0:
            index.nprobe = nprobe
        _, found = index.search(queries, K + 1)
        parts = [len(first(truth[q], q) & first(found[q], q)) / K for q in range(len(queries))]
        report.append(
            {
                "index": path,
                "nprobe": nprobe,
                "nlist": getattr(index, "nlist", 0),
                "rows": float(np.mean(parts[: len(own)])) if len(own) > 0 else None,
                "heldOut": float(np.mean(parts[len(own) :])),
            }
        )
print(json.dumps(report))
