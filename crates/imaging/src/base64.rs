//! Base64 as clients send it: with or without a `data:` prefix, padding and line breaks.

use crate::ImagingError;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The bytes of a base64 text or of a `data:...;base64,` link. Other links are refused; nothing is ever fetched.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, ImagingError> {
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") {
        return Err(ImagingError::Link(text.chars().take(80).collect()));
    }
    let payload = if lower.starts_with("data:") {
        text.split_once(";base64,")
            .map(|(_, payload)| payload)
            .ok_or_else(|| ImagingError::Base64("a data: link without ;base64,".to_owned()))?
    } else {
        text
    };
    let compact: Vec<u8> = payload.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    LENIENT.decode(compact).map_err(|error| ImagingError::Base64(error.to_string().to_lowercase()))
}

/// Bytes as base64, without a prefix.
pub fn encode_base64(bytes: &[u8]) -> String {
    LENIENT.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_clients_send() {
        for text in ["aGFsbG8=", "aGFsbG8", " aGFs\nbG8=", "data:image/png;base64,aGFsbG8="] {
            assert_eq!(decode_base64(text).unwrap(), b"hallo", "{text}");
        }
        assert_eq!(encode_base64(b"hallo"), "aGFsbG8=");
        assert_eq!(decode_base64("").unwrap(), b"");
        assert!(matches!(decode_base64("a*"), Err(ImagingError::Base64(_))));
        assert!(matches!(decode_base64("data:image/png,x"), Err(ImagingError::Base64(_))));
        assert!(matches!(decode_base64("HTTPS://example.org/a.png"), Err(ImagingError::Link(_))));
    }
}
