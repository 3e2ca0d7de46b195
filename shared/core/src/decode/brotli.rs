//! Brotli streams, bounded and complete or refused.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

/// Bytes written per step.
const STEP: usize = 64 << 10;
/// So much is kept of a stream whose length is not known yet.
///
/// A bomb goes on to the limit, and memory for that costs as much as finding out (a page fault for each 4 KiB). So of what
/// is longer, the length is found out first.
const PREFIX: usize = 1 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// More than the given number of bytes.
    TooLarge,
    /// Not a Brotli stream, cut off, or followed by something.
    Corrupt(&'static str),
}

/// Inflates exactly one Brotli stream to at most `limit` bytes.
///
/// Large-window streams (a Google extension with windows up to 1 GiB) are refused, as the Go original does; the window is
/// thus at most 16 MiB.
pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let (length, output) = inflate(input, limit, PREFIX)?;
    if output.len() == length { Ok(output) } else { inflate(input, limit, length).map(|(_, output)| output) }
}

/// The length of what is inflated, and what it begins with: at least so much as is to be kept, unless it is shorter.
fn inflate(input: &[u8], limit: usize, prefix: usize) -> Result<(usize, Vec<u8>), Error> {
    if input.is_empty() {
        return Err(Error::Corrupt("the value is empty, expected a Brotli stream"));
    }
    let alloc = StandardAlloc::default;
    let mut state = BrotliState::new_strict(alloc(), alloc(), alloc());
    let (mut length, mut output) = (0, Vec::new());
    let mut step = vec![0; STEP];
    let (mut available_in, mut input_offset, mut total) = (input.len(), 0, 0);
    loop {
        let (mut available_out, mut written) = (step.len(), 0);
        let result = BrotliDecompressStream(
            &mut available_in,
            &mut input_offset,
            input,
            &mut available_out,
            &mut written,
            &mut step,
            &mut total,
            &mut state,
        );
        length += written;
        if length > limit {
            return Err(Error::TooLarge);
        }
        if output.len() < prefix {
            output.extend_from_slice(step.get(..written).unwrap_or_default());
        }
        match result {
            BrotliResult::ResultSuccess if available_in == 0 => return Ok((length, output)),
            BrotliResult::ResultSuccess => return Err(Error::Corrupt("there are bytes after the Brotli stream")),
            BrotliResult::NeedsMoreOutput if written > 0 => {}
            BrotliResult::NeedsMoreInput => return Err(Error::Corrupt("the Brotli stream is cut off")),
            BrotliResult::NeedsMoreOutput | BrotliResult::ResultFailure => {
                return Err(Error::Corrupt("not a Brotli stream, or corrupt"));
            }
        }
    }
}
