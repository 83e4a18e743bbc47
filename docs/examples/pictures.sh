#!/usr/bin/env bash
# Text to image, the settings in a picture, image to image, and a larger picture: bash pictures.sh URL USER:PASSWORD
set -euo pipefail
url=$1 credentials=$2

# The body comes from stdin: with a picture inside it is too long for a command line.
call() {
  curl --fail-with-body --silent --show-error --user "$credentials" \
    --header "Content-Type: application/json" --data-binary @- "$url/sdapi/v1/$1"
}

# A picture in base64 has no characters that JSON would change.
image() { sed -n 's/.*"images\{0,1\}": *\[\{0,1\} *"\([A-Za-z0-9+/=]*\)".*/\1/p'; }

echo '{"prompt": "a red apple on a blue background", "steps": 20, "seed": 7}' |
  call txt2img | image | base64 --decode > apple.png

# Every picture carries the settings it was made with.
echo "{\"image\": \"$(base64 --wrap=0 apple.png)\"}" | call png-info
echo

echo "{\"init_images\": [\"$(base64 --wrap=0 apple.png)\"], \"prompt\": \"a green apple\",
  \"denoising_strength\": 0.6, \"steps\": 20, \"seed\": 7}" |
  call img2img | image | base64 --decode > variation.png

echo "{\"image\": \"$(base64 --wrap=0 variation.png)\", \"upscaler_1\": \"Lanczos\", \"upscaling_resize\": 2}" |
  call extra-single-image | image | base64 --decode > large.png
