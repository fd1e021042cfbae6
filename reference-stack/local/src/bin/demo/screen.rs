use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// Standard output, in colour where somebody sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    colour: bool,
}

/// Source: ECMA-48, Select Graphic Rendition.
#[derive(Clone, Copy)]
enum Style {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Cyan = 36,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
        }
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.colour {
            format!("\x1b[{}m{text}\x1b[0m", style as u8)
        } else {
            text.to_owned()
        }
    }

    /// Prints lines. A reader that went away, as in `cargo demo | head`, is no reason to panic: the demo still verifies.
    fn print(self, text: &str) {
        let mut output = std::io::stdout().lock();
        let _ = writeln!(output, "{text}");
        let _ = output.flush();
    }

    /// A chapter begins.
    pub(crate) fn title(self, text: &str) {
        self.print(&format!("\n{}", self.paint(Style::Bold, text)));
    }

    /// A step of the set-up begins.
    pub(crate) fn began(self, step: &str) {
        self.print(&format!("  {} {step} …", self.paint(Style::Cyan, "•")));
    }

    /// A step of the set-up is done.
    pub(crate) fn done(self, step: &str, time: Duration) {
        let time = self.paint(Style::Dim, &format!("({:.1} s)", time.as_secs_f64()));
        self.print(&format!(
            "  {} {step} {time}",
            self.paint(Style::Green, "✓")
        ));
    }

    /// Something was verified.
    pub(crate) fn verified(self, text: &str) {
        self.print(&format!("  {} {text}", self.paint(Style::Green, "✓")));
    }

    /// Something on the side.
    pub(crate) fn note(self, text: &str) {
        self.print(&format!("    {}", self.paint(Style::Dim, text)));
    }

    /// What the system said, indented.
    pub(crate) fn text(self, text: &str) {
        for line in text.lines() {
            self.print(&format!("    {line}"));
        }
    }

    /// A request line, or another thing that was done.
    pub(crate) fn action(self, text: &str) {
        self.print(&format!("  {} {text}", self.paint(Style::Cyan, "→")));
    }

    pub(crate) fn success(self, text: &str) {
        self.print(&format!("\n{}", self.paint(Style::Green, text)));
    }

    /// What went wrong, on standard error.
    pub(crate) fn error(self, text: &str) {
        let label = if std::io::stderr().is_terminal() {
            self.paint(Style::Red, "error:")
        } else {
            "error:".to_owned()
        };
        eprintln!("\n{label} {text}");
    }
}
