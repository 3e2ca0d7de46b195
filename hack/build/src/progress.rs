//! What somebody sees who waits: one line that changes in place on a terminal, a line now and then in a log.
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::ci;

/// Work that ends sooner is not mentioned.
const SHORT: Duration = Duration::from_millis(700);
/// Between two lines in a log.
const PERIOD: Duration = Duration::from_secs(30);
/// Between two changes of the line on a terminal.
const REFRESH: Duration = Duration::from_millis(100);
/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;
/// Back to the first column, and nothing behind the cursor.
const CLEAR: &str = "\r\x1b[K";

/// The progress of one piece of work, on stderr. Dropping it clears its line.
#[derive(Debug)]
pub struct Progress {
    title: String,
    begin: Instant,
    is_terminal: bool,
    /// When it was last written.
    written: Option<Instant>,
}

impl Progress {
    /// Begins a piece of work, such as `Building helm`. Nothing is written before the first [`Self::update`].
    pub fn begin(title: &str) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let is_terminal = std::io::stderr().is_terminal() && !ci::is_here() && !is_dumb;
        Self { title: title.to_owned(), begin: Instant::now(), is_terminal, written: None }
    }

    /// Whether the line changes in place.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Says how far the work is, and what is done now, unless that is empty. May be called at any rate; most calls write nothing.
    pub fn update(&mut self, detail: &str, activity: &str) {
        let period = if self.is_terminal { REFRESH } else { PERIOD };
        let is_due = match self.written {
            Some(written) => written.elapsed() >= period,
            None => self.begin.elapsed() >= SHORT,
        };
        if is_due {
            self.written = Some(Instant::now());
            let mut line = line(&self.title, detail, self.begin.elapsed());
            if !activity.is_empty() {
                // Behind all else, since it may be cut off.
                line = format!("{line} ({activity})");
            }
            self.write(&if self.is_terminal { format!("{CLEAR}{}", cut(&line, columns())) } else { line + "\n" });
        }
    }

    /// Writes a text of others, such as an error of the compiler, whole and above the line.
    pub fn print(&mut self, text: &str) {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.clear();
        self.write(&format!("{text}{end}"));
        if self.is_terminal {
            // Again below, at the next update.
            self.written = self.written.and_then(|written| written.checked_sub(REFRESH));
        }
    }

    /// Ends the work with a line that stays, if it was mentioned.
    pub fn finish(mut self, detail: &str) {
        if self.written.is_some() {
            let line = line(&self.title, detail, self.begin.elapsed());
            self.clear();
            self.write(&format!("{line}\n"));
        }
        self.written = None;
    }

    fn clear(&self) {
        if self.is_terminal && self.written.is_some() {
            self.write(CLEAR);
        }
    }

    /// That nobody reads stderr is no reason to stop.
    #[allow(clippy::unused_self, reason = "the one way to where this progress is written")]
    fn write(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes());
        let _ = stderr.flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(title: &str, detail: &str, time: Duration) -> String {
    format!("{title}: {detail}, {}", elapsed(time))
}

/// A time as one reads it on a clock: `48 s`, `3 min 12 s`.
fn elapsed(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// A line that is longer than the terminal is wide could not be cleared.
fn cut(line: &str, columns: usize) -> String {
    let most = columns.saturating_sub(1);
    if line.chars().count() <= most {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn columns() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => COLUMNS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_the_terminal() {
        for (case, columns, expected) in [("fits", 8, "abcdefg"), ("cut", 7, "abcde…"), ("no room", 0, "…")] {
            assert_eq!(cut("abcdefg", columns), expected, "{case}");
        }
    }

    #[test]
    fn times_are_read_as_on_a_clock() {
        for (seconds, expected) in [(0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (754, "12 min 34 s")] {
            assert_eq!(elapsed(Duration::from_secs(seconds)), expected);
        }
    }
}
