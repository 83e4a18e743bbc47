//! CLIP tokenizer and text encoder, UNet and VAE, generic over the backend.
