/** The version of this program, and of the Node it needs. */
import { readFileSync } from 'node:fs';

const { version, engines } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { version: string; engines: { node: string } };

export const FIRN_VERSION = version;
/** The oldest Node that firn is made for. */
export const NODE_FLOOR = engines.node.replace('>=', '');
