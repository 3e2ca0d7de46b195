//! Brotli streams: bounded, and either complete or refused.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

/// Bytes written per step.
const STEP: usize = 64 << 10;
/// Bytes that [`inflate`] keeps while the length of the stream is unknown.
///
/// A bomb goes on up to the limit, and the memory for it costs as much as finding out (a page fault for each 4 KiB). So
/// a first run only measures streams that are longer than this.
const PREFIX: usize = 1 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// More than the given number of bytes.
    TooLarge,
    /// Not a Brotli stream, truncated, or followed by other bytes.
    Corrupt(&'static str),
}

/// Inflates exactly one Brotli stream to at most `limit` bytes.
///
/// Large-window streams (a Google extension with windows of up to 1 GiB) are refused, as in the Go original. So the
/// window has at most 16 MiB.
pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let (length, output) = inflate(input, limit, PREFIX)?;
    if output.len() == length { Ok(output) } else { inflate(input, limit, length).map(|(_, output)| output) }
}

/// Returns the length of the inflated text and its beginning: at least `prefix` bytes, or all of a shorter text.
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
