"""recall@10 of an index file at the nprobe it stores, on rows of the collection drawn by a fixed seed, each without itself."""
import json
import sys

import faiss
import numpy as np

directory, count = sys.argv[1], int(sys.argv[2])
vectors = np.load(f"{directory}/consolidated_embeddings.npy", mmap_mode="r")
index = faiss.read_index(f"{directory}/consolidated_index.faiss")
if len(sys.argv) > 3:
    index.nprobe = int(sys.argv[3])
chosen = np.sort(np.random.default_rng(20240501).choice(len(vectors), count, replace=False))
queries = np.array(vectors[chosen])
best = np.full((count, 11), np.inf, "f4")
ids = np.full((count, 11), -1, "i8")
for start in range(0, len(vectors), 100_000):
    exact = faiss.IndexFlatL2(vectors.shape[1])
    exact.add(np.array(vectors[start : start + 100_000]))
    distances, found = exact.search(queries, 11)
    best = np.hstack([best, distances])
    ids = np.hstack([ids, found + start])
    order = np.argsort(best, axis=1, kind="stable")[:, :11]
    best = np.take_along_axis(best, order, 1)
    ids = np.take_along_axis(ids, order, 1)
_, found = index.search(queries, 11)
hits = [len((set(t) - {q}) & (set(f) - {q})) / 10 for q, t, f in zip(chosen, ids, found)]
print(json.dumps({"recall": float(np.mean(hits)), "nprobe": index.nprobe, "nlist": index.nlist}))
