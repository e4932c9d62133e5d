"""
The ten nearest rows to many queries by FAISS's complete scan. Writes the ids (float64, ten a query), prints its own
times in seconds. exact.py ARRAY QUERIES OUT
"""
import json
import sys
import time

import faiss
import numpy as np

vectors, queries = np.load(sys.argv[1]), np.load(sys.argv[2])
began = time.perf_counter()
index = faiss.IndexFlatL2(vectors.shape[1])
index.add(vectors)
added = time.perf_counter()
_, ids = index.search(queries, 10)
ended = time.perf_counter()
ids.astype("<f8").tofile(sys.argv[3])
print(json.dumps({"add": added - began, "search": ended - added}))
