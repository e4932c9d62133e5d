"""numpy's compressed copy of an npy file. Prints its own time in seconds. compress.py ARRAY OUT"""
import json
import sys
import time

import numpy as np

began = time.perf_counter()
np.savez_compressed(sys.argv[2], embeddings=np.load(sys.argv[1]))
print(json.dumps({"seconds": time.perf_counter() - began}))
