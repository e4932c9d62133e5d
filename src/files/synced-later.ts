/** A port for work whose files somebody else syncs before they get their names. Knows no step. */
import type { Port, WriteHandle } from './port.js';

/** The same port, but writers do not wait for the disk when they are done: whoever names the files syncs them. */
export function syncedLater(port: Port): Port {
  const create = async (path: string): Promise<WriteHandle> => {
    const handle = await port.create(path);
    return {
      path: handle.path,
      write: (data, position) => handle.write(data, position),
      sync: async () => {},
      close: () => handle.close(),
    };
  };
  return { ...port, create };
}
