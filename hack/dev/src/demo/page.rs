//! How the demo looks: readable in a log, and coloured on a terminal.
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Server messages are one long line; they are folded here.
const WIDTH: usize = 112;

/// Where the demo writes.
#[derive(Debug)]
pub(super) struct Page {
    begun: Instant,
    steps: usize,
    step: usize,
    coloured: bool,
}

#[derive(Clone, Copy)]
enum Style {
    Plain = 0,
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

impl Page {
    /// A page for so many steps.
    pub(super) fn new(steps: usize) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let coloured = std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb;
        Self { begun: Instant::now(), steps, step: 0, coloured }
    }

    /// What this is about.
    pub(super) fn title(&self, text: &str) {
        say(&self.styled(Style::Bold, text));
    }

    /// The next step.
    pub(super) fn step(&mut self, text: &str) {
        self.step += 1;
        let time = self.styled(Style::Dim, &format!("({} s)", self.begun.elapsed().as_secs()));
        say(&format!("\n{} {time}", self.styled(Style::Bold, &format!("[{}/{}] {text}", self.step, self.steps))));
    }

    /// Which step it is, for messages.
    pub(super) fn here(&self) -> String {
        format!("step {} of {}", self.step, self.steps)
    }

    /// A sentence to the reader.
    pub(super) fn note(&self, text: &str) {
        for line in folded(text, WIDTH) {
            say(&format!("  {}", self.styled(Style::Dim, &line)));
        }
    }

    /// A command, as one would type it.
    pub(super) fn command(&self, text: &str) {
        for (number, line) in text.lines().enumerate() {
            say(&format!("  {} {}", if number == 0 { "$" } else { ">" }, self.styled(Style::Cyan, line)));
        }
    }

    /// A line that a command wrote.
    pub(super) fn output(&self, line: &str) {
        // Not folded: most of it is tables.
        say(&format!("    {}", self.styled(Style::Plain, line)));
    }

    /// A refusal that a command wrote.
    pub(super) fn refusal(&self, line: &str) {
        for line in folded(line, WIDTH) {
            say(&format!("    {}", self.styled(Style::Yellow, &line)));
        }
    }

    /// What was to be shown, and is.
    pub(super) fn good(&self, text: &str) {
        say(&format!("  {}", self.styled(Style::Green, &format!("✓ {text}"))));
    }

    /// What was to be shown, and is not.
    pub(super) fn bad(&self, text: &str) {
        say(&format!("  {}", self.styled(Style::Red, &format!("✗ {text}"))));
    }

    /// How long the page has been open, in seconds.
    pub(super) fn seconds(&self) -> u64 {
        self.begun.elapsed().as_secs()
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.coloured { format!("\u{1b}[{}m{text}\u{1b}[0m", style as u8) } else { text.to_owned() }
    }
}

/// Writes a line. Nobody may be reading any more (`| head`); the demo goes on to its end, which takes everything down.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The lines of a text that is folded at spaces; further ones are indented like the first. Lines that fit stay as they are.
fn folded(text: &str, width: usize) -> Vec<String> {
    if text.chars().count() <= width {
        return vec![text.to_owned()];
    }
    let indentation: String = text.chars().take_while(|c| *c == ' ').collect();
    let mut lines = vec![indentation.clone()];
    for word in text.split_whitespace() {
        let Some(last) = lines.last_mut() else { break };
        let is_empty = last.trim().is_empty();
        if !is_empty && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("{indentation}{word}"));
        } else {
            if !is_empty {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_at_spaces() {
        for (case, text, expected) in [
            ("empty", "", vec![""]),
            ("fits, spaces stay", "a   b", vec!["a   b"]),
            ("folded", "aaaa bbbb cccc", vec!["aaaa bbbb", "cccc"]),
            ("indented", "  aaaa bbbb cccc", vec!["  aaaa", "  bbbb", "  cccc"]),
            ("a word that does not fit", "aaaaaaaaaaaa b", vec!["aaaaaaaaaaaa", "b"]),
        ] {
            assert_eq!(folded(text, 10), expected, "{case}");
        }
    }
}
