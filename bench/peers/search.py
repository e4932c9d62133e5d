"""One search as a lab's script does it: load everything, then ask."""
import json
import sys
from pathlib import Path

import faiss
import numpy as np

directory, row = Path(sys.argv[1]), int(sys.argv[2])
vectors = np.load(directory / "consolidated_embeddings.npy")
metadata = json.load(open(directory / "consolidated_metadata.json"))["sequences"]
index = faiss.read_index(str(directory / "consolidated_index.faiss"))
distances, ids = index.search(vectors[row : row + 1], 10)
for distance, i in zip(distances[0], ids[0]):
    print(f"{distance:.4f}", metadata[i]["dataset"], metadata[i]["run_id"], metadata[i]["seq_idx"])
