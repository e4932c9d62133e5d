/** Written by scripts/write-validators.ts: what ajv makes of the schemas that firn brings along. */
import type { ValidateFunction } from 'ajv';

/** By the schema, as JSON. */
export declare const bySchema: ReadonlyMap<string, ValidateFunction>;
