/** Which program will do the arithmetic, without loading it: the answer belongs into keys and must cost nothing. */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** What `loadEngine` will call itself. */
export function engineVersion(): string {
  const version = versionOf('onnxruntime-node');
  return version === undefined ? 'javascript' : `onnxruntime-node ${version}`;
}

/** Of faiss-node; `none` when it is not installed. */
export function factoryVersion(): string {
  return versionOf('faiss-node') ?? 'none';
}

function versionOf(name: string): string | undefined {
  try {
    return (require(`${name}/package.json`) as { version: string }).version;
  } catch {
    return undefined;
  }
}
