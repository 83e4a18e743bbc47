//! Reading checkpoints: safetensors and allow-listed pickles, architecture detection, hashes.
