/** What a check of files found to be wrong. */

export interface Finding {
  /** Of the file, as seen from the directory that is checked. */
  path: string;
  /** Reads on from the path: `is not what SHA256SUMS says`. */
  problem: string;
}
