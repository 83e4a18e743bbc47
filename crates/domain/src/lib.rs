//! What a generation is: request, result, infotext, names and units.
