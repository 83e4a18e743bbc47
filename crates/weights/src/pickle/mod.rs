//! Reading what `torch.save` wrote, without Python and without running anything: a pickle is a program for a stack
//! machine, and this machine knows just the instructions and the names that checkpoints need. Everything else is
//! refused by name. Numbers stay in the file.
//!
//! The pickle instructions are those of Python's `pickletools`; the two file layouts those of `torch.serialization`.

mod globals;
mod legacy;
mod machine;
mod opcode;
mod tensors;
mod torch_zip;
mod value;
mod zip;

pub(crate) use legacy::read as read_legacy;
pub(crate) use torch_zip::read as read_zip;

/// Largest pickles read, in bytes; those of a checkpoint with optimiser state have a few MiB.
const MAX_PICKLE: usize = 32 << 20;
