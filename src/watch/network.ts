/** File systems on which other machines change files without this one being told. */
import type { ReadPort } from '../files/port.js';

/** `f_type` of statfs(2); Linux, include/uapi/linux/magic.h and the file systems' own sources. */
const REMOTE: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x5346414f, 'AFS'],
  [0x6b414653, 'AFS'],
  [0x73757245, 'Coda'],
  [0x564c, 'NCP'],
  [0x00c36400, 'Ceph'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [0x01161970, 'GFS2'],
  [0x7461636f, 'OCFS2'],
  [0x19830326, 'BeeGFS'],
  [0xaad7aaea, 'PanFS'],
  [0x01021997, '9p'],
  [0x786f4256, 'a shared folder of VirtualBox'],
  [0xbacbacbc, 'a shared folder of VMware'],
  [0x65735546, 'FUSE'],
]);

/** The name of the file system, if it is one of these. Some report the number as a negative one of 32 bits. */
export function remoteFileSystem(type: number | undefined): string | undefined {
  return type === undefined ? undefined : REMOTE.get(type >>> 0);
}

/** The first of these folders (absolute) that is on such a file system. */
export function findRemote(
  port: ReadPort,
  folders: Iterable<string>,
): { folder: string; name: string } | undefined {
  for (const folder of folders) {
    const name = remoteFileSystem(port.fileSystem(folder));
    if (name !== undefined) return { folder, name };
  }
  return undefined;
}
