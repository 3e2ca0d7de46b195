//! Reads the value of one YAML document.

use serde_json::Value;

use crate::budget::Budget;
use crate::compose::{mend, parse};
use crate::construct::construct;
use crate::error::Fault;
use crate::text::Text;

/// Returns the value of a document, and the line where it starts. `line` is the number of the first line in `bytes`.
/// Line numbers in errors count alike.
pub(crate) fn read(bytes: Vec<u8>, line: usize, budget: &mut Budget) -> Result<(usize, Value), Fault> {
    let value = parse_until_mended(bytes, budget);
    let (start, value) =
        value.map_err(|fault| Fault { line: Some(fault.line.map_or(line, |at| line + at - 1)), ..fault })?;
    Ok((start.map_or(line, |start| line + start - 1), value))
}

fn parse_until_mended(bytes: Vec<u8>, budget: &mut Budget) -> Result<(Option<usize>, Value), Fault> {
    let mut text = Text::new(bytes)?;
    let depth = budget.limits().depth;
    loop {
        let failure = match parse(&text, depth) {
            Ok(arena) => {
                let value = construct(&arena, depth, budget)?;
                return Ok((arena.get(0).map(|root| root.line), value));
            }
            Err(failure) => failure,
        };
        if !mend(&mut text, &failure) || !budget.reparse(text.len()) {
            return Err(failure.fault);
        }
    }
}
