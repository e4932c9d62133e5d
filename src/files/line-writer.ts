/** Text into a new file, gathered into large writes. Knows nothing of what the text says. */
import type { WriteHandle, WritePort } from './port.js';

const FLUSH_CHARACTERS = 1024 * 1024;

export class LineWriter {
  private parts: string[] = [];
  private gathered = 0;

  private constructor(
    private readonly port: WritePort,
    private readonly handle: WriteHandle,
  ) {}

  static async create(port: WritePort, path: string): Promise<LineWriter> {
    return new LineWriter(port, await port.create(path));
  }

  /** Text as it is: line ends are the caller's. */
  async write(text: string): Promise<void> {
    this.parts.push(text);
    this.gathered += text.length;
    if (this.gathered >= FLUSH_CHARACTERS) await this.flush();
  }

  private async flush(): Promise<void> {
    const bytes = Buffer.from(this.parts.join(''), 'utf8');
    this.parts = [];
    this.gathered = 0;
    await this.handle.write(bytes);
  }

  async finish(): Promise<void> {
    await this.flush();
    await this.handle.sync();
    await this.handle.close();
  }

  /** Closes and removes the file. */
  async abort(): Promise<void> {
    await this.handle.close();
    await this.port.unlink(this.handle.path);
  }
}

/** A new file of this text, synced. What is left of it after a failure is closed and gone. */
export async function writeNewText(port: WritePort, path: string, text: string): Promise<void> {
  const writer = await LineWriter.create(port, path);
  try {
    await writer.write(text);
    await writer.finish();
  } catch (error) {
    await writer.abort().catch(() => undefined);
    throw error;
  }
}
