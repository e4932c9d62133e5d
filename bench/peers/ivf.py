"""
FAISS's IVF index of an array in memory. Prints its own times in seconds; reading and writing files are not in them.
ivf.py ARRAY OUT NLIST TRAINING_ROWS_PER_LIST
"""
import json
import sys
import time

import faiss
import numpy as np

array, out, nlist, per_list = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
vectors = np.load(array)
dims = vectors.shape[1]
index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dims), dims, nlist)
index.cp.max_points_per_centroid = per_list
began = time.perf_counter()
index.train(vectors)
trained = time.perf_counter()
index.add(vectors)
ended = time.perf_counter()
faiss.write_index(index, out)
rows = min(len(vectors), nlist * per_list)
print(json.dumps({"train": trained - began, "add": ended - trained, "trainingRows": rows}))
