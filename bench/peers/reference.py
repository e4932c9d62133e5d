"""What a lab's script does: load every run, stack them, save the array and the metadata, build an IVF index."""
import json
import sys
from pathlib import Path

import faiss
import numpy as np

runs, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
arrays, rows = [], []
for path in sorted(runs.rglob("embeddings.npy")):
    array = np.load(path, mmap_mode="r")
    name = str(path.relative_to(runs))
    rows += [
        {"dataset": path.parent.parent.name, "run_id": path.parent.name, "seq_idx": i, "source_file": name}
        for i in range(len(array))
    ]
    arrays.append(np.array(array))
everything = np.vstack(arrays)
np.save(out / "consolidated_embeddings.npy", everything)
with open(out / "consolidated_metadata.json", "w") as file:
    json.dump({"total_sequences": len(rows), "embedding_dim": everything.shape[1], "sequences": rows}, file, indent=2)
nlist = min(100, len(everything) // 100)
index = faiss.IndexIVFFlat(faiss.IndexFlatL2(everything.shape[1]), everything.shape[1], nlist)
index.train(everything.astype(np.float32))
index.add(everything.astype(np.float32))
faiss.write_index(index, str(out / "consolidated_index.faiss"))
