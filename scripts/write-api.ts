/** Writes down the public API: `npm run api`, after a change of it that is meant. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { API_FILE, publicApi } from './public-api.js';

mkdirSync(dirname(API_FILE), { recursive: true });
writeFileSync(API_FILE, publicApi().text);
