//! Prompts, noise, schedules, samplers, guidance: the trajectory of one image.
