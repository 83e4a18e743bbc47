//! The 256 byte symbols that stand before the merges, in GPT-2's order: the printable bytes of Latin-1 first, then the
//! rest.

/// Whether GPT-2 spells `byte` by itself.
const fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

const fn bytes_in_order() -> [u8; 256] {
    let mut order = [0; 256];
    let mut count = 0;
    let mut pass = 0;
    while pass < 2 {
        let mut byte = 0;
        while byte < 256 {
            if is_printable(byte as u8) == (pass == 0) {
                order[count] = byte as u8;
                count += 1;
            }
            byte += 1;
        }
        pass += 1;
    }
    order
}

const fn inverse(order: &[u8; 256]) -> [u8; 256] {
    let mut symbols = [0; 256];
    let mut symbol = 0;
    while symbol < 256 {
        symbols[order[symbol] as usize] = symbol as u8;
        symbol += 1;
    }
    symbols
}

/// The byte of each symbol.
pub(super) const BYTE_OF_SYMBOL: [u8; 256] = bytes_in_order();
/// The symbol of each byte.
pub(super) const SYMBOL_OF_BYTE: [u8; 256] = inverse(&BYTE_OF_SYMBOL);
