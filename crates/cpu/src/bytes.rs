//! Elements of `f32` blocks as the bytes, or the integers, that they are made of.

/// The bytes of `elements`.
pub(crate) fn of(elements: &[f32]) -> &[u8] {
    // SAFETY: every byte of an `f32` is an initialised `u8`, and a `u8` needs no alignment.
    unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) }
}

/// The bytes of `elements`, to be written: any bytes are some `f32`.
pub(crate) fn of_mut(elements: &mut [f32]) -> &mut [u8] {
    // SAFETY: as above, and `elements` is borrowed mutably for as long.
    unsafe { std::slice::from_raw_parts_mut(elements.as_mut_ptr().cast(), size_of_val(elements)) }
}

/// As many integers as there are `elements`, to be written.
pub(crate) fn integers_of_mut(elements: &mut [f32]) -> &mut [i32] {
    // SAFETY: size and alignment are those of `f32`, and any bits are an integer and some `f32`; `elements` is borrowed
    // mutably for as long.
    unsafe { std::slice::from_raw_parts_mut(elements.as_mut_ptr().cast(), elements.len()) }
}
