/** The doctor for other programs: what `firn doctor` finds, as data. Prints nothing and changes nothing. */

/** What to look at. */
export interface DiagnoseOptions {
  /** The folder of the project, with or without a pipeline.yaml; where the process is, unless told. */
  directory?: string;
  /** Targets, runs (`dataset/run`) and paths of the project to limit it to; everything when empty. */
  only?: readonly string[];
  /** Read and hash every byte, instead of headers and sizes. */
  full?: boolean;
  /** The call then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** How many bytes are read, and how many there are; with `full`. */
  onProgress?: (done: number, total: number) => void;
}

/** One thing that is wrong, or could be better. */
export interface DoctorFinding {
  /** error and warning: something is wrong. advice: nothing is, and something could be better. */
  severity: 'error' | 'warning' | 'advice';
  /** Such as `run-unusable`; docs/reference.md lists all. */
  code: string;
  /** Relative to the project; null for what has no place, such as memory. */
  path: string | null;
  /** What is wrong, for people. */
  message: string;
  /** What to do, for people: a command in backticks where there is one. */
  remedy: string;
}

/** What was looked at, and what was found. */
export interface Diagnosis {
  /** The folder of the project, absolute. */
  root: string;
  mode: 'quick' | 'full';
  /** One line for each kind of thing that was looked at. */
  checked: { group: string; text: string }[];
  /** Errors first, then warnings, then advice. */
  findings: DoctorFinding[];
}

/** Throws FirnError (`usage`) when the folder or a word in `only` is nothing; never for what is wrong with the project. */
export async function diagnose(options: DiagnoseOptions = {}): Promise<Diagnosis> {
  const doctor = await import('../doctor/doctor.js');
  return doctor.diagnose({ ...options, directory: options.directory ?? '.' });
}
