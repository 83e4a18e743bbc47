// Text to image, the settings in a picture, image to image, and a larger picture: node pictures.mjs URL USER:PASSWORD

import { writeFile } from "node:fs/promises";

const [url, credentials] = process.argv.slice(2);

async function call(path, body) {
  const answer = await fetch(`${url}/sdapi/v1/${path}`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Authorization: `Basic ${Buffer.from(credentials).toString("base64")}`,
    },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

const save = (name, image) => writeFile(name, Buffer.from(image, "base64"));

const text = { prompt: "a red apple on a blue background", steps: 20, seed: 7 };
const apple = (await call("txt2img", text)).images[0];
await save("apple.png", apple);

// Every picture carries the settings it was made with.
console.log((await call("png-info", { image: apple })).info);

const change = { init_images: [apple], prompt: "a green apple", denoising_strength: 0.6, steps: 20, seed: 7 };
const variation = (await call("img2img", change)).images[0];
await save("variation.png", variation);

const enlarge = { image: variation, upscaler_1: "Lanczos", upscaling_resize: 2 };
await save("large.png", (await call("extra-single-image", enlarge)).image);
