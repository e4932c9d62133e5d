#!/usr/bin/env node
/** The program `firn` under the name that scripts know; start.cts is what starts it. */
import { createRequire } from 'node:module';

createRequire(import.meta.url)('./start.cjs');
