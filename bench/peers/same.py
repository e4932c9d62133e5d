"""
Compares two answers to the same queries. Where ids differ, their distances are computed in double precision: they are
a tie when float32 cannot tell them apart, that is when they differ by less than the rounding of a product of that many
dimensions. same.py ARRAY QUERIES IDS IDS -> JSON
"""
import json
import sys

import numpy as np

vectors, queries = np.load(sys.argv[1], mmap_mode="r"), np.load(sys.argv[2]).astype("f8")
left, right = [np.fromfile(path, "<f8").astype("i8").reshape(len(queries), 10) for path in sys.argv[3:5]]
different, wrong, worst = 0, 0, 0.0
for query, rank in zip(*np.nonzero(left != right)):
    different += 1
    a, b = (vectors[ids[query, rank]].astype("f8") for ids in (left, right))
    q = queries[query]
    apart = abs(((a - q) ** 2).sum() - ((b - q) ** 2).sum())
    limit = vectors.shape[1] * 2.0**-24 * ((q**2).sum() + max((a**2).sum(), (b**2).sum()))
    worst = max(worst, apart)
    wrong += bool(apart > limit)
print(json.dumps({"places": left.size, "different": different, "wrong": wrong, "worst": worst}))
