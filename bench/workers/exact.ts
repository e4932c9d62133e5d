/**
 * The ten nearest rows to many queries by a complete scan, by firn's library, in a process of its own. Writes the ids
 * (float64, ten a query), prints its own time in seconds. Usage: exact.js ARRAY QUERIES OUT
 */
import { writeFileSync } from 'node:fs';
import { openArray } from '../../src/arrays/open.js';
import { exactSearch } from '../../src/faiss/exact.js';
import { disk } from '../../src/files/disk.js';
import { readAllFloats } from './read-all-floats.js';

const K = 10;

const [array, asked, out] = process.argv.slice(2);
const queries = await readAllFloats(asked);
const reader = await openArray(disk, array);
const began = performance.now();
const found = await exactSearch(reader, queries, K, 'l2');
const search = (performance.now() - began) / 1000;
await reader.close();
const ids = Float64Array.from(found.flatMap((neighbours) => neighbours.map(({ id }) => id)));
writeFileSync(out, new Uint8Array(ids.buffer));
console.log(JSON.stringify({ search }));
