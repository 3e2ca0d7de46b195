//! What was measured beside what was to be reached: as a table, or as JSON.
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::machine;
use super::row::{Row, Target};

/// A figure, and how it came about.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) value: f64,
    pub(super) note: String,
}

impl Measured {
    pub(super) fn new(value: f64, note: impl Into<String>) -> Self {
        Self { value, note: note.into() }
    }
}

/// All figures so far.
#[derive(Debug)]
pub(super) struct Report {
    begun: Instant,
    machine: String,
    quick: bool,
    /// In the order of the table; a row without figures has not been measured yet.
    rows: Vec<(Row, Vec<Figure>)>,
}

#[derive(Debug)]
struct Figure {
    target: &'static Target,
    measured: Result<Measured, String>,
}

impl Figure {
    fn is_met(&self) -> bool {
        self.measured.as_ref().is_ok_and(|measured| measured.value <= self.target.at_most)
    }
}

impl Report {
    /// For these rows; the load of the machine is taken now.
    pub(super) fn new(rows: Vec<Row>, quick: bool) -> Self {
        let rows = rows.into_iter().map(|row| (row, Vec::new())).collect();
        Self { begun: Instant::now(), machine: machine::describe(), quick, rows }
    }

    pub(super) fn wants(&self, row: Row) -> bool {
        self.rows.iter().any(|(entry, _)| *entry == row)
    }

    /// What is going on, for whoever waits.
    pub(super) fn progress(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{:>5} s  {text}", self.begun.elapsed().as_secs());
    }

    /// Takes in what a row came to: as many values as it has targets, or why there are none.
    pub(super) fn add(&mut self, row: Row, measured: Result<Vec<Measured>>) {
        let values = match measured {
            Ok(values) if values.len() == row.targets().len() => values,
            Ok(values) => {
                let error = anyhow::anyhow!("{} values for {} targets", values.len(), row.targets().len());
                return self.failed(row, &error);
            }
            Err(error) => return self.failed(row, &error),
        };
        let figures: Vec<Figure> = row
            .targets()
            .iter()
            .zip(values)
            .map(|(target, measured)| Figure { target, measured: Ok(measured) })
            .collect();
        for figure in &figures {
            self.progress(&format!("{}: {}", figure.target.name, shown(figure)));
        }
        self.set(row, figures);
    }

    /// A row that could not be measured.
    pub(super) fn failed(&mut self, row: Row, error: &anyhow::Error) {
        let text = format!("{error:#}");
        self.progress(&format!("{} failed: {text}", row.name()));
        let figures = row.targets().iter().map(|target| Figure { target, measured: Err(text.clone()) });
        self.set(row, figures.collect());
    }

    fn set(&mut self, row: Row, figures: Vec<Figure>) {
        if let Some((_, place)) = self.rows.iter_mut().find(|(entry, _)| *entry == row) {
            *place = figures;
        }
    }

    fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.rows.iter().flat_map(|(_, figures)| figures)
    }

    /// The table, on stdout.
    pub(super) fn print_table(&self) {
        let kind = if self.quick { "QUICK RUN with small sizes: no result" } else { "full run" };
        let (machine, minutes) = (&self.machine, self.begun.elapsed().as_secs().div_ceil(60));
        let load = machine::load();
        let mut text = format!("\ncargo xtask bench, {kind}; {machine}, at the end {load} ({minutes} min)\n\n");
        let header = ["what", "original", "target", "measured", "met"].map(str::to_owned);
        let lines: Vec<[String; 5]> = std::iter::once(header)
            .chain(self.figures().map(|figure| {
                let target = figure.target;
                let met = match &figure.measured {
                    Ok(_) if figure.is_met() => "yes",
                    Ok(_) => "no",
                    Err(_) => "FAILED",
                };
                [
                    target.name.to_owned(),
                    target.original.to_owned(),
                    format!("<= {} {}", number(target.at_most), target.unit),
                    shown(figure),
                    met.to_owned(),
                ]
            }))
            .collect();
        let mut widths = [0; 5];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let rule = widths.map(|width| "-".repeat(width));
        for line in lines.iter().take(1).chain([&rule]).chain(lines.iter().skip(1)) {
            let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            text = text + "| " + &cells.join(" | ") + " |\n";
        }
        // Nobody may be reading any more (`| head`), and there is nothing left to do.
        let _ = write!(std::io::stdout(), "{text}");
    }

    /// The list, on stdout.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn print_json(&self) -> Result<()> {
        let mark = if self.quick { "[quick, no result] " } else { "" };
        let list: Vec<_> = self
            .figures()
            .map(|figure| {
                json!({
                    "name": format!("{mark}{}", figure.target.name),
                    "measured": figure.measured.as_ref().ok().map(|measured| measured.value),
                    "target": figure.target.at_most,
                    "unit": figure.target.unit,
                    "met": figure.is_met(),
                })
            })
            .collect();
        let text = serde_json::to_string_pretty(&list).context("write the figures as JSON")?;
        writeln!(std::io::stdout(), "{text}").context("write to stdout")
    }

    /// # Errors
    /// A row could not be measured; if `check`, a target is missed.
    pub(super) fn verdict(&self, check: bool) -> Result<()> {
        let failed: Vec<String> = self
            .rows
            .iter()
            .filter_map(|(row, figures)| {
                let error = figures
                    .first()
                    .map_or(Some("skipped"), |figure| figure.measured.as_ref().err().map(String::as_str));
                error.map(|error| format!("{}: {error}", row.name()))
            })
            .collect();
        if !failed.is_empty() {
            bail!("not measured:\n{}", failed.join("\n"));
        }
        let missed: Vec<&str> =
            self.figures().filter(|figure| !figure.is_met()).map(|figure| figure.target.name).collect();
        if check && !missed.is_empty() {
            bail!("missed: {}", missed.join("; "));
        }
        Ok(())
    }
}

fn shown(figure: &Figure) -> String {
    match &figure.measured {
        Ok(Measured { value, note }) if note.is_empty() => format!("{} {}", number(*value), figure.target.unit),
        Ok(Measured { value, note }) => format!("{} {} ({note})", number(*value), figure.target.unit),
        Err(_) => "-".to_owned(),
    }
}

/// Three digits behind the point at most, and none where there are none.
fn number(value: f64) -> String {
    let digits = if value.abs() < 2.0 { 3 } else { 1 };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, expected) in
            [(0.0, "0"), (0.125, "0.125"), (1.25, "1.25"), (50.0, "50"), (12.345, "12.3"), (1000.0, "1000")]
        {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn a_row_that_failed_is_neither_met_nor_hidden() {
        let mut report = Report::new(vec![Row::Prune, Row::Deletion], false);
        report.add(Row::Prune, Ok(vec![Measured::new(0.8, "")]));
        assert_eq!(report.verdict(false).unwrap_err().to_string(), "not measured:\nmr-deletion: skipped");
        report.add(Row::Deletion, Ok(vec![Measured::new(9.0, "")]));
        report.verdict(false).unwrap();
        assert!(report.verdict(true).unwrap_err().to_string().starts_with("missed: MR with"));
        report.add(Row::Deletion, Ok(vec![]));
        assert!(report.verdict(false).is_err());
        assert_eq!(report.figures().map(Figure::is_met).collect::<Vec<_>>(), [true, false]);
    }
}
