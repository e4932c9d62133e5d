/** The tag files of a bag that firn writes: their text, and putting it where it waits for its name. */
import { createHash } from 'node:crypto';
import { basename, dirname } from 'node:path';
import type { Port } from '../files/port.js';
import { writeFileAtomic } from '../files/write-file.js';
import { FIRN_VERSION } from '../firn-version.js';
import { isoLocal } from '../runs/versions.js';
import {
  DECLARATION,
  DECLARATION_FILE,
  formatInfo,
  formatOxum,
  INFO_FILE,
  type InfoElement,
} from './bag-info.js';
import { ALGORITHMS, type Held, payloadPath } from './destination.js';
import { formatManifest } from './manifest.js';
import { formatNotes, NOTES_FILE, type Notes } from './notes.js';
import { stagedPath } from './switch.js';

export interface BagContent {
  notes: Notes;
  /** By path in the project. */
  files: ReadonlyMap<string, Held>;
  /** Of the bag as it is: what others added to it stays. */
  info: readonly InfoElement[];
  /** milliseconds since 1970 */
  now: number;
}

/** Writes all tag files into the staging folder; their names, payload manifests last. */
export async function stageTagFiles(port: Port, directory: string, content: BagContent): Promise<string[]> {
  const texts = tagTexts(content);
  for (const [file, text] of texts) {
    const path = stagedPath(directory, file);
    await port.makeDirectory(dirname(path));
    await writeFileAtomic(port, path, text);
  }
  return [...texts.keys()];
}

/** file -> text, in the order in which they are to be given their names. */
function tagTexts({ notes, files, info, now }: BagContent): Map<string, string> {
  const manifests = ALGORITHMS.map((algorithm, i): [string, string] => [
    `manifest-${algorithm}.txt`,
    formatManifest([...files].map(([path, { digests }]) => [payloadPath(path), digests[i]])),
  ]);
  const listed: [string, string][] = [
    [DECLARATION_FILE, DECLARATION],
    [INFO_FILE, formatInfo(infoOf(notes, files, info, now))],
    [NOTES_FILE, formatNotes(notes)],
  ];
  const tagManifests = ALGORITHMS.map((algorithm): [string, string] => [
    `tagmanifest-${algorithm}.txt`,
    formatManifest(
      [...listed, ...manifests].map(([file, text]) => [
        file,
        createHash(algorithm).update(text).digest('hex'),
      ]),
    ),
  ]);
  return new Map([...listed, ...tagManifests, ...manifests]);
}

/** What firn says of a bag; other labels, which people or programs added, stay behind it. */
function infoOf(
  { project, include }: Notes,
  files: ReadonlyMap<string, Held>,
  info: readonly InfoElement[],
  now: number,
): InfoElement[] {
  const bytes = [...files.values()].reduce((sum, { note }) => sum + note.size, 0);
  const holds = ['references, releases, the registry of model versions, pipeline.yaml and rules', ...include];
  const own: InfoElement[] = [
    ['Bag-Software-Agent', `firn ${FIRN_VERSION}`],
    ['Bagging-Date', isoLocal(new Date(now)).slice(0, 10)],
    ['Payload-Oxum', formatOxum({ bytes, files: files.size })],
    ['External-Identifier', basename(project)],
    [
      'External-Description',
      `Backup of the firn project ${basename(project)}: ${holds.join(', ')}. Paths below data/ are those of the project; \`firn restore\` puts them back.`,
    ],
  ];
  const labels = new Set(own.map(([label]) => label.toLowerCase()));
  return [...own, ...info.filter(([label]) => !labels.has(label.toLowerCase()))];
}
