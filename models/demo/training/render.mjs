// Renders SVG jobs to PNG files, one JSON object {svg, png} a line on standard input.
// Prints the job's number when it is done. Not a library: data.py runs it as a child process,
// because resvg-js ends its whole process on a few pictures, and data.py then goes on after them.
import { createInterface } from "node:readline";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Resvg } = createRequire(process.argv[2] + "/")("@resvg/resvg-js");
const width = Number(process.argv[3]);

for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  const picture = new Resvg(job.svg, { fitTo: { mode: "width", value: width } }).render();
  writeFileSync(job.png, picture.asPng());
  console.log(job.number);
}
