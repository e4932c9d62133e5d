/** Several asynchronous jobs at a time. Knows no job. */

/** Runs `work` for every item, begun in order, at most `limit` under way. The first failure is thrown when all have ended. */
export async function atOnce<T>(
  limit: number,
  items: Iterable<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failed: { error: unknown } | undefined;
  const line = async (): Promise<void> => {
    for (let next = iterator.next(); !next.done && failed === undefined; next = iterator.next()) {
      try {
        await work(next.value);
      } catch (error) {
        failed ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, line));
  if (failed !== undefined) throw failed.error;
}
