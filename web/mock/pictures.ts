// Draws the pictures of the stand-in server: a disc on a ground, behind noise that fades.
import { crc32, deflateSync } from 'node:zlib';

type Colour = readonly [red: number, green: number, blue: number];

const COLOURS: Record<string, Colour> = {
  red: [196, 52, 44],
  green: [60, 138, 84],
  blue: [58, 104, 178],
  yellow: [236, 190, 62],
  purple: [124, 78, 160],
  orange: [226, 124, 48],
  white: [244, 243, 239],
};

const KEYWORD = 'parameters\0';

interface Drawing {
  prompt: string;
  seed: number;
  width: number;
  height: number;
  /** How much of the noise is gone, 0 to 1. */
  clear: number;
  infotext?: string;
}

/** A PNG, with its infotext if there is one. */
export function drawPicture({ prompt, seed, width, height, clear, infotext = '' }: Drawing): Buffer {
  const named = [...prompt.matchAll(/[a-z]+/g)]
    .map(([word]) => COLOURS[word])
    .filter((colour) => colour !== undefined);
  const [disc = [150, 90, 70], ground = [222, 214, 200]] = named as Colour[];
  const random = generator(seed + Math.round(clear * 1000));
  const radius = Math.min(width, height) * (0.28 + (seed % 7) / 80);
  const rows = Buffer.alloc(height * (1 + width * 3));
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const distance = Math.hypot(x - width / 2, y - height / 2) / radius;
      const light = 1.12 - 0.35 * Math.hypot(x / width - 0.38, y / height - 0.36);
      const inside = Math.min(1, Math.max(0, (1 - distance) * radius));
      for (let channel = 0; channel < 3; channel += 1) {
        const paint = (disc[channel] ?? 0) * inside * light + (ground[channel] ?? 0) * (1 - inside);
        const value = paint * clear + random() * 255 * (1 - clear);
        rows[y * (1 + width * 3) + 1 + x * 3 + channel] = Math.min(255, value);
      }
    }
  }
  return png(width, height, rows, infotext);
}

/** The infotext in a PNG of `drawPicture`; empty if there is none. */
export function readInfotext(file: Buffer): string {
  const start = file.indexOf(KEYWORD);
  return start < 4 ? '' : file.toString('utf8', start + KEYWORD.length, start + file.readUInt32BE(start - 8));
}

function png(width: number, height: number, rows: Buffer, infotext: string): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const text = infotext ? chunk('tEXt', Buffer.from(KEYWORD + infotext)) : Buffer.alloc(0);
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    text,
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

/** mulberry32: small, and the same for the same seed. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
