/** Whether a path, relative to a folder, stays inside that folder by its letters. Pure: knows no link and no disk. */
export function isInside(path: string): boolean {
  return (
    path !== '' &&
    !path.startsWith('/') &&
    !path.includes('\0') &&
    path.split('/').every((part) => part !== '' && part !== '..')
  );
}
