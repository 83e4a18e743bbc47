"""Text to image, the settings in a picture, image to image, and a larger picture: python3 pictures.py URL USER:PASSWORD"""

import base64
import json
import sys
import urllib.request

url, credentials = sys.argv[1:3]


def call(path, body):
    request = urllib.request.Request(f"{url}/sdapi/v1/{path}", json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def save(name, image):
    with open(name, "wb") as file:
        file.write(base64.b64decode(image))


apple = call("txt2img", {"prompt": "a red apple on a blue background", "steps": 20, "seed": 7})["images"][0]
save("apple.png", apple)

# Every picture carries the settings it was made with.
print(call("png-info", {"image": apple})["info"])

body = {"init_images": [apple], "prompt": "a green apple", "denoising_strength": 0.6, "steps": 20, "seed": 7}
variation = call("img2img", body)["images"][0]
save("variation.png", variation)

body = {"image": variation, "upscaler_1": "Lanczos", "upscaling_resize": 2}
save("large.png", call("extra-single-image", body)["image"])
